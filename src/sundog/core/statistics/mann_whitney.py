"""Does a score order right images before wrong ones: AUROC with interval, Mann-Whitney's test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import Estimate, check_level, check_sample
from sundog.core.statistics.permutation import permutation_blocks
from sundog.core.statistics.two_groups import Alternative, effective_size

_EXACT_CELLS = 20_000_000
"""Work up to which the exact distribution of the rank sum is counted (about 20 ms)."""
_SKEW = 0.05
"""The normal distribution serves up to this skewness of the rank sum (0 without ties)."""


@dataclass(frozen=True)
class MannWhitney:
    """Whether scores differ between positive and negative images.

    Attributes:
        auroc: P(score of a positive > score of a negative) + P(equal)/2, with interval; > 0.5:
            positives score higher.
        p_value: of Mann-Whitney's test.
        method: how the p-value was made: ``exact`` (every split counted, ties included),
            ``normal`` (tie-corrected) or ``permutation`` (Monte Carlo with the +1 rule).
    """

    auroc: Estimate
    p_value: float
    method: str


def mann_whitney(
    scores: ArrayLike,
    positive: Bool[np.ndarray, " n"],
    *,
    alternative: Alternative = "two-sided",
    level: float = 0.95,
    groups: Int[np.ndarray, " n"] | None = None,
    permutations: int = 9999,
    seed: int | Sequence[int] = 0,
) -> MannWhitney:
    """Test whether positive images have other scores than negative ones.

    The rank sum of the positives (midranks under ties) against all splits of the same ranks.
    Exact for small samples; normal with tie correction and continuity correction where the rank
    sum is nearly symmetric; else, or when near-duplicates must stay together, by permutation.

    Args:
        scores: ``[n]``, finite.
        positive: which images are positive.
        alternative: ``two-sided``, ``less`` (positives score lower) or ``greater``.
        level: confidence level of the AUROC.
        groups: near-duplicates: permuted together, and the interval counts them as one.
        permutations: for the Monte Carlo p-value.
        seed: for the same.

    Returns:
        The test; NaN throughout if one side is empty, p = 1 if all scores are equal.

    Raises:
        InputError: shapes that differ, scores that are not finite.

    Source: Mann & Whitney, 1947; Streitberg & Roehmel, 1986 (exact under ties); interval:
    :func:`auroc_interval`.
    """
    values, chosen = check_sample(scores, name="scores"), np.asarray(positive)
    if chosen.shape != values.shape or chosen.dtype != bool:
        raise InputError(
            "positive",
            expected=f"bool[{values.size}]",
            got=f"{chosen.dtype}{list(chosen.shape)}",
        )
    if alternative not in ("two-sided", "less", "greater"):
        raise InputError(
            "alternative", expected="two-sided, less or greater", got=repr(alternative)
        )
    n, k = values.size, int(chosen.sum())
    if k == 0 or k == n:
        empty = Estimate(math.nan, math.nan, math.nan, n, check_level(level), "newcombe")
        return MannWhitney(empty, math.nan, "none")
    doubled = np.rint(2 * stats.rankdata(values)).astype(np.int64)
    total = int(doubled[chosen].sum())
    auroc = (total / 2 - k * (k + 1) / 2) / (k * (n - k))
    sizes = (float(k), float(n - k))
    if groups is not None:
        sizes = (effective_size(groups[chosen]), effective_size(groups[~chosen]))
    interval = auroc_interval(auroc, *sizes, level=level)
    if groups is not None:
        p, method = _monte_carlo(doubled, chosen, alternative, permutations, seed, groups)
    elif _work(n, k) <= _EXACT_CELLS:
        p, method = _exact(doubled, total, k, alternative), "exact"
    elif abs(_skewness(doubled, k)) <= _SKEW:
        p, method = _normal(doubled, total, k, alternative), "normal"
    else:
        p, method = _monte_carlo(doubled, chosen, alternative, permutations, seed, None)
    return MannWhitney(interval, p, method)


def auroc_interval(
    auroc: float, n_positive: float, n_negative: float, *, level: float = 0.95
) -> Estimate:
    """Return an AUROC with Newcombe's score interval, which has a width also at 0 and 1.

    The values ``a`` with ``|auroc - a| <= z sqrt(V(a))``, where
    ``V(a) = a(1-a) [1 + m(1-a)/(2-a) + m a/(1+a)] / (n_positive n_negative)`` and
    ``m = (n_positive + n_negative)/2 - 1``, by bisection.

    Args:
        auroc: in [0, 1].
        n_positive: (effective) number of positives, > 0.
        n_negative: (effective) number of negatives, > 0.
        level: confidence level.

    Raises:
        InputError: an AUROC outside [0, 1], an empty side.

    Source: Newcombe, 2006, Statistics in Medicine 25, 559-573, method 5; Hanley & McNeil, 1982.
    """
    level = check_level(level)
    if not 0 <= auroc <= 1 or n_positive <= 0 or n_negative <= 0:
        raise InputError(
            "AUROC and sizes", expected="in [0, 1] and > 0", got=f"{auroc}, {n_positive}"
        )
    z = float(stats.norm.ppf(0.5 + level / 2))
    m = max((n_positive + n_negative) / 2 - 1, 0.0)

    def outside(a: float) -> bool:
        spread = a * (1 - a) * (1 + m * (1 - a) / (2 - a) + m * a / (1 + a))
        return abs(auroc - a) > z * math.sqrt(spread / (n_positive * n_negative))

    ends = []
    for edge in (0.0, 1.0):
        kept, left = auroc, edge
        for _ in range(50):
            middle = (kept + left) / 2
            kept, left = (kept, middle) if outside(middle) else (middle, left)
        ends.append(edge if auroc == edge else kept)
    return Estimate(auroc, ends[0], ends[1], round(n_positive + n_negative), level, "newcombe")


def _work(n: int, k: int) -> float:
    small = min(k, n - k)
    if math.lgamma(n + 1) - math.lgamma(small + 1) - math.lgamma(n - small + 1) > 650:
        return math.inf  # more splits than a float can count
    return 2.0 * n * n * small * small


def _exact(doubled: NDArray[np.int64], total: int, k: int, alternative: Alternative) -> float:
    n = doubled.size
    everything = int(doubled.sum())
    if 2 * k > n:  # count the splits by their smaller side
        total, k = everything - total, n - k
        alternative = _FLIPPED[alternative]
    shares = _rank_sum_shares(np.sort(doubled).tobytes(), k)
    sums = np.arange(shares.size)
    if alternative == "less":
        picked = sums <= total
    elif alternative == "greater":
        picked = sums >= total
    else:  # n * sum - k * everything is a whole number: no rounding in the comparison
        picked = np.abs(n * sums - k * everything) >= abs(n * total - k * everything)
    return min(1.0, float(shares[picked].sum()))


_FLIPPED: dict[Alternative, Alternative] = {
    "less": "greater",
    "greater": "less",
    "two-sided": "two-sided",
}


@lru_cache(maxsize=256)
def _rank_sum_shares(doubled: bytes, k: int) -> Float[np.ndarray, " sums"]:
    """Return the share of all subsets of size ``k`` with each (doubled) rank sum."""
    ranks = np.frombuffer(doubled, dtype=np.int64)
    largest = int(ranks[ranks.size - k :].sum())
    counts = np.zeros((k + 1, largest + 1))
    counts[0, 0] = 1.0
    for rank in ranks.tolist():
        if rank <= largest:
            counts[1:, rank:] += counts[:-1, : largest + 1 - rank]
    shares = counts[k] / counts[k].sum()
    shares.setflags(write=False)
    return shares


def _skewness(doubled: NDArray[np.int64], k: int) -> float:
    """Return the skewness of the sum of ``k`` ranks drawn without replacement."""
    n = doubled.size
    centred = doubled - doubled.mean()
    spread = float((centred**2).mean())
    if n < 3 or spread == 0:
        return 0.0
    one = float((centred**3).mean()) / spread**1.5
    return one * (n - 2 * k) / (n - 2) * math.sqrt((n - 1) / (k * (n - k)))


def _normal(doubled: NDArray[np.int64], total: int, k: int, alternative: Alternative) -> float:
    n = doubled.size
    gap = (total - k * float(doubled.mean())) / 2
    spread = math.sqrt(
        k * (n - k) / (n * (n - 1)) * float(((doubled / 2 - (n + 1) / 2) ** 2).sum())
    )
    if spread == 0:
        return 1.0
    if alternative == "two-sided":
        return float(min(1.0, 2 * stats.norm.sf((abs(gap) - 0.5) / spread)))
    side = gap if alternative == "greater" else -gap
    return float(stats.norm.sf((side - 0.5) / spread))


def _monte_carlo(
    doubled: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    alternative: Alternative,
    permutations: int,
    seed: int | Sequence[int],
    groups: Int[np.ndarray, " n"] | None,
) -> tuple[float, str]:
    if permutations < 99:
        raise InputError("permutations", expected="at least 99", got=str(permutations))
    n, k = doubled.size, int(chosen.sum())
    centred = n * doubled - int(doubled.sum())
    observed = int(centred[chosen].sum())
    places = np.flatnonzero(chosen)
    rng = np.random.default_rng(seed)
    hits = 0
    for block in permutation_blocks(n, permutations=permutations, rng=rng, groups=groups):
        drawn = centred[block[:, places]].sum(axis=1) if k else np.zeros(len(block))
        if alternative == "two-sided":
            hits += int((np.abs(drawn) >= abs(observed)).sum())
        else:
            hits += int(
                (drawn >= observed if alternative == "greater" else drawn <= observed).sum()
            )
    return (1 + hits) / (1 + permutations), "permutation"
