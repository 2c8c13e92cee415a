"""Is a risk worth refusing images by: error among the images kept, over all shares kept."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.core.statistics import Estimate, auroc_interval, wilson_interval
from sundog.core.statistics.estimate import check_level

RESAMPLES = 1000
_CELLS = 50_000
"""Numbers per block of resamples: small blocks stay in the cache and are three times as fast."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class SelectiveScores:
    """How well a risk tells which predictions to refuse.

    Attributes:
        error: share of wrong predictions among all images, Wilson interval: what every score below
            but the last would be if the risk were noise (half of it for ``augrc``).
        aurc: mean over the shares kept of the error among the images kept; lower is better.
        excess_aurc: ``aurc`` minus that of the best possible order; 0 is perfect.
        augrc: mean over the shares kept of the share of all images that are kept and wrong;
            lower is better, from ``error²/2`` (perfect) over ``error/2`` (noise).
        risk_at_coverage: error among the 80 % of least risk; lower is better.
        coverage_at_risk: largest share of images that can be kept with at most 5 % error among
            them; higher is better.
        failure_auroc: P(a wrong prediction has a higher risk than a right one), ties count half;
            0.5 is noise, higher is better; NaN if all are right or all are wrong.
        coverage: the share kept in ``risk_at_coverage``.
        limit: the error allowed in ``coverage_at_risk``.
    """

    error: Estimate
    aurc: Estimate
    excess_aurc: Estimate
    augrc: Estimate
    risk_at_coverage: Estimate
    coverage_at_risk: Estimate
    failure_auroc: Estimate
    coverage: float
    limit: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dictionaries and numbers."""
        return asdict(self)


def selective_scores(
    risk: ArrayLike,
    correct: Bool[np.ndarray, " n"],
    *,
    coverage: float = 0.8,
    limit: float = 0.05,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SelectiveScores:
    """Score a risk by the predictions that are kept when the riskiest are refused.

    With images sorted from the least risk, ``E_i`` wrong ones among the first i of n, and ties
    in random order (the expectation over all orders, in closed form):
    ``aurc = mean_i E_i / i``; ``augrc = integral of E(c)/n over the coverage c``
    ``= (1 - failure_auroc) a (1 - a) + (1 - a)²/2`` for an accuracy a;
    ``risk_at_coverage = E_m / m`` with ``m = ceil(coverage n)``;
    ``coverage_at_risk = max {i : E_i / i <= limit} / n`` (0 if none).

    Args:
        risk: ``[n]``, HIGH = risky; infinite values are allowed, NaN is not. A representation
            score (high = common) must be negated.
        correct: ``bool[n]``, whether the prediction is right.
        coverage: share kept, in (0, 1].
        limit: error allowed, in [0, 1).
        level: confidence level of the percentile bootstrap over images; the intervals are widened
            to hold the value.
        resamples: bootstrap samples; 0 leaves out these intervals.
        seed: for the bootstrap. The order of the images does not matter.

    Raises:
        InputError: lengths that differ, NaN, values out of range.

    Source: Geifman & El-Yaniv, 2017, arXiv 1705.08500; Geifman et al., 2019, arXiv 1805.08206
    (E-AURC); Traub et al., 2024, arXiv 2407.01032 (AUGRC).
    """
    level = check_level(level)
    if not 0 < coverage <= 1 or not 0 <= limit < 1:
        raise InputError(
            "coverage and limit", expected="in (0, 1] and [0, 1)", got=f"{coverage} and {limit}"
        )
    ranks, wrong = _sorted_pairs(risk, correct)
    n = wrong.size
    names = ("aurc", "excess_aurc", "augrc", "risk_at_coverage", "coverage_at_risk")
    if n:
        values = _curve_scores(*_blocks(ranks[None], wrong[None]), coverage, limit)[:, 0]
    else:
        values = np.full(len(names), np.nan)
    ends = np.full((2, len(names)), np.nan)
    if n > 1 and resamples:
        rng = np.random.default_rng(derive_seed(seed, "selective"))
        rows = max(1, _CELLS // n)
        drawn = []
        for start in range(0, resamples, rows):
            picked = rng.integers(0, n, size=(min(rows, resamples - start), n))
            drawn.append(_curve_scores(*_blocks(ranks[picked], wrong[picked]), coverage, limit))
        ends = np.quantile(
            np.concatenate(drawn, axis=1), [(1 - level) / 2, (1 + level) / 2], axis=1
        )
    low, high = np.minimum(ends[0], values), np.maximum(ends[1], values)  # NaN stays NaN
    estimates = {
        name: Estimate(float(values[i]), float(low[i]), float(high[i]), n, level, "percentile")
        for i, name in enumerate(names)
    }
    return SelectiveScores(
        error=wilson_interval(int(wrong.sum()), n, level=level),
        failure_auroc=_failure_auroc(ranks, wrong, level=level),
        coverage=coverage,
        limit=limit,
        **estimates,
    )


def risk_coverage_curve(
    risk: ArrayLike, correct: Bool[np.ndarray, " n"], *, points: int | None = 200
) -> pd.DataFrame:
    """Return the error among the images kept, by the share kept.

    Args:
        risk: ``[n]``, HIGH = risky.
        correct: ``bool[n]``.
        points: at most so many rows, evenly spread over the coverage, the last always 1; None for
            one per image.

    Returns:
        Columns ``coverage``, ``kept`` (images), ``risk`` (error among them; ties in random order),
        ``generalised_risk`` (wrong and kept, of all images).

    Raises:
        InputError: lengths that differ, NaN.
    """
    ranks, wrong = _sorted_pairs(risk, correct)
    n = wrong.size
    counts, errors = _blocks(ranks[None], wrong[None])
    kept = np.arange(1, n + 1)
    if points is not None and n > points:
        kept = np.unique(np.rint(np.linspace(n / points, n, points)).astype(np.int64))
    ends = np.concatenate([[0], np.cumsum(counts[0])])
    at = np.interp(kept, ends, np.concatenate([[0], np.cumsum(errors[0])]))
    return pd.DataFrame(
        {"coverage": kept / n if n else [], "kept": kept, "risk": at / kept}
        | {"generalised_risk": at / n if n else []}
    )


def _sorted_pairs(
    risk: ArrayLike, correct: ArrayLike
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the dense ranks of the risk from 0, sorted, and whether each prediction is wrong."""
    values, right = np.asarray(risk, dtype=np.float64), np.asarray(correct)
    if values.ndim != 1 or right.shape != values.shape or right.dtype != bool:
        raise InputError(
            "risk and correct",
            expected="float[n] and bool[n]",
            got=f"{list(values.shape)} and {right.dtype}{list(right.shape)}",
        )
    missing = int(np.isnan(values).sum())
    if missing:
        raise InputError(
            "risk",
            expected="without NaN",
            got=f"NaN for {missing} of {values.size} images",
            hint="Drop them first and report how many there were.",
        )
    ranks = stats.rankdata(values, method="dense").astype(np.int64) - 1
    order = np.lexsort((right, ranks))
    return ranks[order], ~right[order]


def _failure_auroc(
    ranks: Int[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], *, level: float
) -> Estimate:
    k, n = int(wrong.sum()), wrong.size
    if k in (0, n):
        return Estimate(math.nan, math.nan, math.nan, n, level, "newcombe")
    total = float(stats.rankdata(ranks)[wrong].sum())
    return auroc_interval(
        (total - k * (k + 1) / 2) / (k * (n - k)), float(k), float(n - k), level=level
    )


def _blocks(
    ranks: Int[np.ndarray, "draws n"], wrong: Bool[np.ndarray, "draws n"]
) -> tuple[Float[np.ndarray, "draws ranks"], Float[np.ndarray, "draws ranks"]]:
    """Return how many images, and how many wrong ones, have each rank."""
    draws = ranks.shape[0]
    size = int(ranks.max()) + 1 if ranks.size else 0
    cell = (ranks + size * np.arange(draws)[:, None]).ravel()
    counts = np.bincount(cell, minlength=size * draws).reshape(draws, size)
    errors = np.bincount(cell, weights=wrong.ravel(), minlength=size * draws)
    return counts.astype(np.float64), errors.reshape(draws, size)


def _curve_scores(
    counts: Float[np.ndarray, "draws ranks"],
    errors: Float[np.ndarray, "draws ranks"],
    coverage: float,
    limit: float,
) -> Float[np.ndarray, "scores draws"]:
    """Return aurc, excess, augrc, risk at a coverage, coverage at a risk, of each draw.

    Within a block of ties, the expected number of wrong ones rises in a straight line, so that
    ``sum_j (E + j m)/(N + j) = m b + (E - m N)(H_{N+b} - H_N)`` with the harmonic numbers H.
    """
    n = int(counts[0].sum())
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])
    after, wrong_after = np.cumsum(counts, axis=1), np.cumsum(errors, axis=1)
    before, wrong_before = after - counts, wrong_after - errors
    share = errors / np.maximum(counts, 1)
    steps = harmonic[after.astype(np.int64)] - harmonic[before.astype(np.int64)]
    aurc = (errors + (wrong_before - share * before) * steps).sum(axis=1) / n
    total = wrong_after[:, -1]
    right = (n - total).astype(np.int64)
    best = (total - right * (harmonic[n] - harmonic[right])) / n
    augrc = (counts * (wrong_before + wrong_after) / 2).sum(axis=1) / n**2
    kept = math.ceil(coverage * n - _ROUNDING)
    block = (after < kept).sum(axis=1)[:, None]
    inside = kept - np.take_along_axis(before, block, axis=1)
    risk = (
        np.take_along_axis(wrong_before, block, axis=1)
        + inside * np.take_along_axis(share, block, axis=1)
    )[:, 0] / kept
    # the last image of a block that may be kept: all of it, or as many as the slack before it pays
    slack = limit * before - wrong_before
    steeper = share > limit
    paid = np.floor(slack / np.where(steeper, share - limit, 1.0) + _ROUNDING)
    partly = before + np.clip(paid, 0, counts)
    whole = wrong_after <= limit * after + _ROUNDING
    reached = np.where(whole, after, np.where(steeper & (slack >= 0), partly, 0.0))
    return np.stack([aurc, aurc - best, augrc, risk, reached.max(axis=1) / n])
