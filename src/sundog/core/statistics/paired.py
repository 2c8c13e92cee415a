"""Two measurements on the same images: mean difference, interval, sign-flip test, Wilcoxon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import Estimate, check_sample
from sundog.core.statistics.intervals import MeanMethod, mean_interval

EXACT_UP_TO = 16
"""Up to this many pairs every pattern of signs is counted (2^15 by symmetry)."""
_CELLS = 4_000_000


@dataclass(frozen=True)
class PairedDifference:
    """The mean of ``a - b`` over the same images, and whether it could be chance.

    Attributes:
        difference: mean of ``a - b`` with interval; > 0: ``a`` is larger.
        p_value: sign-flip permutation test of a symmetric difference around 0, two-sided.
        p_wilcoxon: Wilcoxon's signed-rank test, two-sided; asks about ranks, not the mean.
        exact: whether ``p_value`` counts every sign pattern (else Monte Carlo with the +1 rule).
        wins: pairs with ``a > b``.
        losses: pairs with ``a < b``; the rest are ties.
    """

    difference: Estimate
    p_value: float
    p_wilcoxon: float
    exact: bool
    wins: int
    losses: int


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    level: float = 0.95,
    method: MeanMethod = "t",
    permutations: int = 9999,
    seed: int = 0,
) -> PairedDifference:
    """Compare two lists of values measured on the same images.

    Args:
        a: ``[n]`` values, finite.
        b: ``[n]`` values of the same images in the same order.
        level: confidence level of the interval.
        method: ``t``, ``bca`` or ``percentile``.
        permutations: random sign patterns when there are more than 16 pairs.
        seed: for the random sign patterns and the bootstrap.

    Raises:
        InputError: different lengths or values that are not finite.

    Source: Fisher, 1935 (sign flips); Wilcoxon, 1945; Phipson & Smyth, 2010, arXiv 1603.05766
    (the +1 rule: a Monte Carlo p-value is never 0).
    """
    first, second = check_sample(a, name="a"), check_sample(b, name="b")
    if first.size != second.size:
        raise InputError(
            "a and b", expected="lists of equal length", got=f"{first.size} and {second.size}"
        )
    delta = first - second
    p = sign_flip_p_values(delta[:, None], permutations=permutations, seed=seed)
    return PairedDifference(
        difference=mean_interval(delta, level=level, method=method, seed=seed),
        p_value=float(p[0]),
        p_wilcoxon=wilcoxon_p_value(delta),
        exact=delta.size <= EXACT_UP_TO,
        wins=int((delta > 0).sum()),
        losses=int((delta < 0).sum()),
    )


def sign_flip_p_values(
    differences: ArrayLike, *, permutations: int = 9999, seed: int = 0
) -> NDArray[np.float64]:
    """Return the two-sided sign-flip p-value of each column's mean difference.

    ``p`` = share of sign patterns s with ``|sum(s d)| >= |sum(d)|``; all patterns for up to 16
    rows, else ``(1 + hits) / (1 + permutations)``. All columns share the patterns, so that many
    comparisons cost one matrix product.

    Args:
        differences: ``[n, columns]`` paired differences; NaN marks a missing pair and counts as
            absent (a zero adds nothing to any pattern).
        permutations: random patterns for more than 16 rows.
        seed: same seed, same p-values.

    Returns:
        ``float64[columns]`` in (0, 1]; NaN for a column without any pair; 1 if all are 0.

    Raises:
        InputError: not two axes, or infinite values.
    """
    delta = np.asarray(differences, dtype=np.float64)
    if delta.ndim != 2:
        raise InputError("differences", expected="[n, columns]", got=f"shape {delta.shape}")
    if np.isinf(delta).any():
        raise InputError("differences", expected="finite or NaN", got="infinity")
    if permutations < 99:
        raise InputError("permutations", expected="at least 99", got=str(permutations))
    present = ~np.isnan(delta)
    delta = np.where(present, delta, 0.0)
    # Sums that are equal in exact arithmetic differ by rounding; they count as equal.
    bound = np.abs(delta.sum(axis=0)) - 1e-9 * np.abs(delta).sum(axis=0)
    n, columns = delta.shape
    hits = np.zeros(columns, dtype=np.int64)
    if n <= EXACT_UP_TO:
        total = 1 << max(n - 1, 0)
        pattern = (np.arange(total)[:, None] >> np.arange(n)) & 1
        hits = (np.abs((1.0 - 2.0 * pattern) @ delta) >= bound).sum(axis=0)
        p = hits / total
    else:
        rng = np.random.default_rng(seed)
        # The block size depends on n alone, so that the patterns do not depend on the columns.
        rows = max(1, _CELLS // n)
        for start in range(0, permutations, rows):
            size = min(rows, permutations - start)
            bits = np.frombuffer(rng.bytes(size * ((n + 7) // 8)), dtype=np.uint8)
            bits = np.unpackbits(bits.reshape(size, -1), axis=1, count=n)
            hits += (np.abs((1.0 - 2.0 * bits) @ delta) >= bound).sum(axis=0)
        p = (1 + hits) / (1 + permutations)
    return np.where(present.any(axis=0), p, math.nan)


def wilcoxon_p_value(differences: ArrayLike) -> float:
    """Return Wilcoxon's two-sided signed-rank p-value.

    The statistic is the sum of the signed ranks of ``|d|`` (ties ranked midway, zeros dropped):
    all sign patterns for up to 16 pairs, else normal with variance ``sum(rank²)``, which is exact
    under ties.

    Args:
        differences: ``[n]`` paired differences, finite.

    Returns:
        The p-value; 1 if all differences are zero, NaN if there is none.

    Source: Wilcoxon, 1945, Biometrics Bulletin 1.
    """
    delta = check_sample(differences, name="differences")
    if delta.size == 0:
        return math.nan
    delta = delta[delta != 0]
    signed = np.sign(delta) * stats.rankdata(np.abs(delta))
    if delta.size == 0:
        return 1.0
    if delta.size <= EXACT_UP_TO:
        return float(sign_flip_p_values(signed[:, None])[0])
    z = float(signed.sum()) / math.sqrt(float((signed**2).sum()))
    return float(2 * stats.norm.sf(abs(z)))
