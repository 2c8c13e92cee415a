"""Windows of equally many images along a score, and the trend of correctness along it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, auroc_interval
from sundog.core.statistics.estimate import check_level


def equal_windows(
    values: Float[np.ndarray, " n"],
    known: Bool[np.ndarray, " n"],
    *,
    windows: int,
    ids: Sequence[str] | None,
) -> Int[np.ndarray, " n"]:
    """Return windows whose sizes differ by at most one, larger ones first; -1 for NaN.

    Args:
        values: the score; the windows run from its lowest to its highest values.
        known: which values are not NaN.
        windows: how many; fewer if there are fewer images.
        ids: order of images of equal value; the position of the row if None.

    Raises:
        InputError: another number of ids, no known value.
    """
    if ids is not None and len(ids) != values.size:
        raise InputError("ids", expected=f"{values.size}, one per image", got=str(len(ids)))
    if not known.any():
        raise InputError("risk", expected="known for at least one image", got="NaN throughout")
    tie = np.arange(values.size) if ids is None else np.asarray(ids, dtype=str)
    order = np.lexsort((tie, values))
    order = order[known[order]]
    membership = np.full(values.size, -1, dtype=np.int64)
    for index, rows in enumerate(np.array_split(order, min(windows, order.size))):
        membership[rows] = index
    return membership


def frozen_windows(
    frozen: np.ndarray, values: Float[np.ndarray, " n"], known: Bool[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], int]:
    """Return the windows of an earlier run for each image, -1 for NaN, and how many there are.

    Args:
        frozen: integers: the window of each image; numbers: the highest value of each window but
            the last (a value belongs to the first window whose edge it does not exceed).
        values: the score.
        known: which values are not NaN.

    Raises:
        InputError: a membership of other images, edges that fall.
    """
    if frozen.dtype.kind in "iu":
        if frozen.shape != values.shape or (frozen < -1).any():
            raise InputError(
                "frozen",
                expected=f"the membership of the same {values.size} images, or edges",
                got=f"{frozen.dtype}{list(frozen.shape)}",
            )
        kept = np.where(known, frozen.astype(np.int64), -1)
        return kept, int(frozen.max()) + 1
    edges = frozen.astype(np.float64)
    if edges.ndim != 1 or np.isnan(edges).any() or (np.diff(edges) < 0).any():
        raise InputError("frozen", expected="edges that rise", got="others")
    return np.where(known, np.searchsorted(edges, values, side="left"), -1), edges.size + 1


def correctness_trend(
    risk: ArrayLike, correct: Bool[np.ndarray, " n"], *, level: float = 0.95
) -> Estimate:
    """Return Spearman's correlation of being right with a score, with an interval.

    With A = P(a wrong image scores higher than a right one), ties half: ``rho = s (1 - 2 A)``,
    where s depends on the ties and the number of right answers alone; the interval is Newcombe's
    of A, carried over.

    Args:
        risk: ``[n]`` without NaN.
        correct: ``bool[n]``.
        level: confidence level.

    Returns:
        In [-1, 1]: < 0: high values are wrong more often. NaN if all or none are right, or all
        values are equal.

    Source: Newcombe, 2006, Statistics in Medicine 25, 559-573.
    """
    level = check_level(level)
    values, right = np.asarray(risk, dtype=np.float64), np.asarray(correct, dtype=bool)
    n, k = values.size, int((~right).sum())
    ranks = stats.rankdata(values)
    spread = float(ranks.std()) if n else 0.0
    if k in (0, n) or spread == 0:
        return Estimate(math.nan, math.nan, math.nan, n, level, "newcombe")
    auroc = (float(ranks[~right].sum()) - k * (k + 1) / 2) / (k * (n - k))
    part = auroc_interval(auroc, float(k), float(n - k), level=level)
    scale = math.sqrt(k * (n - k)) / (2 * spread)
    ends = [max(-1.0, min(1.0, scale * (1 - 2 * a))) for a in (part.value, part.high, part.low)]
    return Estimate(ends[0], ends[1], ends[2], n, level, "newcombe")
