"""Does a risk tell foreign images from known ones: AUROC, AUPR both ways, FPR at 95 % TPR."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.core.statistics import Estimate, auroc_interval
from sundog.core.statistics.estimate import check_level

RESAMPLES = 1000
_CELLS = 50_000
"""Numbers per block of resamples: small blocks stay in the cache and are three times as fast."""


@dataclass(frozen=True)
class DetectionScores:
    """How well a score tells outlying images from inlying ones.

    Attributes:
        auroc: P(an outlying image scores higher than an inlying one), ties count half; 0.5 is
            noise, higher is better. Newcombe's interval.
        aupr_out: average precision of finding the outlying images; noise gives their share.
        aupr_in: average precision of finding the inlying images; noise gives their share.
        fpr95_out: share of inlying images flagged when at least 95 % of the outlying ones are;
            lower is better.
        fpr95_in: share of outlying images accepted when at least 95 % of the inlying ones are;
            lower is better.
        n_in: inlying images.
        n_out: outlying images.
        share_out: what ``aupr_out`` would be by chance.
    """

    auroc: Estimate
    aupr_out: Estimate
    aupr_in: Estimate
    fpr95_out: Estimate
    fpr95_in: Estimate
    n_in: int
    n_out: int
    share_out: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dictionaries and numbers."""
        return asdict(self)


def detection_scores(
    inlying: ArrayLike,
    outlying: ArrayLike,
    *,
    tpr: float = 0.95,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> DetectionScores:
    """Score how well a risk separates two sets of images.

    Average precision: ``sum_t (recall_t - recall_{t-1}) precision_t`` over the thresholds t from
    the top, images of equal score together. FPR: at the strictest threshold whose TPR reaches
    ``tpr``, images at the threshold counted as flagged (accepted). Both conventions of the
    literature are given: OpenOOD takes the outlying, ODIN the inlying images as positive.

    Args:
        inlying: ``[n_in]`` scores of known images, HIGH = outlying; infinite values are allowed,
            NaN is not. A representation score (high = common) must be negated.
        outlying: ``[n_out]`` scores of foreign images.
        tpr: true-positive rate of the two FPR, in (0, 1].
        level: confidence level.
        resamples: bootstrap samples, both sets drawn apart (percentile); 0 leaves out these
            intervals.
        seed: for the bootstrap. The order of the images does not matter.

    Returns:
        The scores; NaN throughout if a set is empty.

    Raises:
        InputError: NaN, more than one axis, a TPR out of range.

    Source: Davis & Goadrich, 2006, ICML; Hendrycks & Gimpel, 2017, arXiv 1610.02136; Liang et al.,
    2018, arXiv 1706.02690 (FPR95); Zhang et al., 2023, arXiv 2306.09301 (OpenOOD); Newcombe, 2006.
    """
    level = check_level(level)
    if not 0 < tpr <= 1:
        raise InputError("tpr", expected="in (0, 1]", got=str(tpr))
    known, foreign = _scores(inlying, "inlying"), _scores(outlying, "outlying")
    n_in, n_out = known.size, foreign.size
    n = n_in + n_out
    names = ("aupr_out", "aupr_in", "fpr95_out", "fpr95_in")
    if not n_in or not n_out:
        nothing = Estimate(math.nan, math.nan, math.nan, n, level, "percentile")
        return DetectionScores(nothing, nothing, nothing, nothing, nothing, n_in, n_out, math.nan)
    ranks = stats.rankdata(np.concatenate([known, foreign]), method="dense").astype(np.int64) - 1
    size = int(ranks.max()) + 1
    inside, outside = np.sort(ranks[:n_in]), np.sort(ranks[n_in:])
    values = _threshold_scores(_counts(inside[None], size), _counts(outside[None], size), tpr)[:, 0]
    ends = np.full((2, len(names)), np.nan)
    if resamples and n_in > 1 and n_out > 1:
        rng = np.random.default_rng(derive_seed(seed, "detection"))
        rows = max(1, _CELLS // n)
        drawn = []
        for start in range(0, resamples, rows):
            draws = min(rows, resamples - start)
            first = inside[rng.integers(0, n_in, size=(draws, n_in))]
            second = outside[rng.integers(0, n_out, size=(draws, n_out))]
            drawn.append(_threshold_scores(_counts(first, size), _counts(second, size), tpr))
        ends = np.quantile(
            np.concatenate(drawn, axis=1), [(1 - level) / 2, (1 + level) / 2], axis=1
        )
    low, high = np.minimum(ends[0], values), np.maximum(ends[1], values)  # NaN stays NaN
    estimates = {
        name: Estimate(float(values[i]), float(low[i]), float(high[i]), n, level, "percentile")
        for i, name in enumerate(names)
    }
    ordered = stats.rankdata(np.concatenate([inside, outside]))
    auroc = (float(ordered[n_in:].sum()) - n_out * (n_out + 1) / 2) / (n_in * n_out)
    return DetectionScores(
        auroc=auroc_interval(auroc, float(n_in), float(n_out), level=level),
        n_in=n_in,
        n_out=n_out,
        share_out=n_out / n,
        **estimates,
    )


def _scores(values: ArrayLike, name: str) -> Float[np.ndarray, " n"]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(name, expected="one-dimensional", got=f"shape {array.shape}")
    missing = int(np.isnan(array).sum())
    if missing:
        raise InputError(
            name,
            expected="without NaN",
            got=f"NaN for {missing} of {array.size} images",
            hint="Drop them first and report how many there were.",
        )
    return array


def _counts(ranks: Int[np.ndarray, "draws n"], size: int) -> Float[np.ndarray, "draws ranks"]:
    draws = ranks.shape[0]
    cell = (ranks + size * np.arange(draws)[:, None]).ravel()
    return np.bincount(cell, minlength=size * draws).reshape(draws, size).astype(np.float64)


def _threshold_scores(
    inside: Float[np.ndarray, "draws ranks"],
    outside: Float[np.ndarray, "draws ranks"],
    tpr: float,
) -> Float[np.ndarray, "4 draws"]:
    """Return AUPR and FPR, the outlying images positive and then the inlying ones."""
    down_in, down_out = inside[:, ::-1], outside[:, ::-1]
    rows = []
    for score in (_average_precision, _false_positives):
        rows.append(score(down_out, down_in, tpr))
        rows.append(score(inside, outside, tpr))
    return np.stack(rows)


def _average_precision(
    positive: Float[np.ndarray, "draws ranks"], negative: Float[np.ndarray, "draws ranks"], _: float
) -> Float[np.ndarray, " draws"]:
    true, false = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    precision = true / np.maximum(true + false, 1)
    average: Float[np.ndarray, " draws"] = (positive * precision).sum(axis=1) / true[:, -1]
    return average


def _false_positives(
    positive: Float[np.ndarray, "draws ranks"],
    negative: Float[np.ndarray, "draws ranks"],
    tpr: float,
) -> Float[np.ndarray, " draws"]:
    true, false = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    enough = math.ceil(tpr * float(true[0, -1]) - 1e-9)
    first = (true < enough).sum(axis=1)[:, None]
    share: Float[np.ndarray, " draws"] = (
        np.take_along_axis(false, first, axis=1)[:, 0] / false[:, -1]
    )
    return share
