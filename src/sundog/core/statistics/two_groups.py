"""Two independent groups: Fisher's exact test and intervals of the gap between them."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import Estimate, check_level, check_sample

Alternative = Literal["two-sided", "less", "greater"]
_SAME = 1 + 1e-7
"""Tables whose probabilities agree up to rounding count as equally likely."""


def fisher_p_values(
    hits_a: ArrayLike,
    n_a: ArrayLike,
    hits_b: ArrayLike,
    n_b: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
) -> NDArray[np.float64]:
    """Return Fisher's exact p-values that two groups are right equally often, one per pair.

    Given the margins, the hits of A are hypergeometric. Two-sided: the probability of all tables
    that are at most as likely as the one observed. The test equals the permutation test that
    shuffles right and wrong between the groups.

    Args:
        hits_a: right answers in group A, integers that broadcast with the others.
        n_a: size of group A.
        hits_b: right answers in group B.
        n_b: size of group B.
        alternative: ``two-sided``, ``less`` (A is right less often) or ``greater``.

    Returns:
        ``float64[m]`` in (0, 1]; 1 where a group is empty or all answers are equal.

    Raises:
        InputError: counts that are impossible, an unknown alternative.

    Source: Fisher, 1935, JRSS 98.
    """
    if alternative not in ("two-sided", "less", "greater"):
        raise InputError(
            "alternative", expected="two-sided, less or greater", got=repr(alternative)
        )
    columns = [np.atleast_1d(np.asarray(part)) for part in (hits_a, n_a, hits_b, n_b)]
    a, size_a, b, size_b = (part.ravel() for part in np.broadcast_arrays(*columns))
    if any(part.dtype.kind not in "iu" for part in (a, size_a, b, size_b)):
        raise InputError("Counts", expected="integers", got="other types")
    a, size_a, b, size_b = (part.astype(np.int64) for part in (a, size_a, b, size_b))
    if ((a < 0) | (a > size_a) | (b < 0) | (b > size_b)).any():
        raise InputError("Hits", expected="between 0 and the size of the group", got="others")
    result = np.ones(a.size)
    margins, which = np.unique(
        np.stack([size_a, a + b, size_a + size_b], axis=1), axis=0, return_inverse=True
    )
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(which.ravel(), minlength=len(margins)))
    for rows, (size, right, total) in zip(np.split(order, ends[:-1]), margins, strict=True):
        first, table = fisher_table(int(size), int(right), int(total), alternative=alternative)
        result[rows] = table[a[rows] - first]
    return result


def fisher_table(
    n_a: int, right: int, total: int, *, alternative: Alternative = "two-sided"
) -> tuple[int, NDArray[np.float64]]:
    """Return the p-value of every possible number of hits of group A, given the margins.

    Args:
        n_a: size of group A.
        right: right answers in both groups together.
        total: size of both groups together.
        alternative: as in :func:`fisher_p_values`.

    Returns:
        The smallest possible number of hits, and ``float64[possible hits]`` from there upwards.
    """
    first, last = max(0, right - (total - n_a)), min(n_a, right)
    hits = np.arange(first, last + 1)
    log = -(
        special.gammaln(hits + 1)
        + special.gammaln(right - hits + 1)
        + special.gammaln(n_a - hits + 1)
        + special.gammaln(total - right - n_a + hits + 1)
    )
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    if alternative == "less":
        table = np.cumsum(weight)
    elif alternative == "greater":
        table = np.cumsum(weight[::-1])[::-1]
    else:
        order = np.argsort(weight, kind="stable")
        ascending = weight[order]
        last_equal = np.searchsorted(ascending, weight * _SAME, side="right") - 1
        table = np.cumsum(ascending)[last_equal]
    return first, np.minimum(table, 1.0)


def newcombe_gap(
    share_a: float, n_a: float, share_b: float, n_b: float, *, level: float = 0.95
) -> Estimate:
    """Return ``share_a - share_b`` with Newcombe's hybrid score interval for any effective size.

    For whole numbers of images it is :func:`~sundog.core.statistics.proportion_difference`; a size
    with a fraction comes from :func:`effective_size` of images that are near-duplicates.

    Args:
        share_a: share right in group A, in [0, 1].
        n_a: effective size of group A, > 0 (0: the answer is NaN).
        share_b: share right in group B.
        n_b: effective size of group B.
        level: confidence level.

    Returns:
        The gap in [-1, 1]; > 0: A is right more often; ``n`` is the rounded total.

    Raises:
        InputError: shares outside [0, 1], negative sizes.

    Source: Newcombe, 1998, Statistics in Medicine 17, 873-890, method 10.
    """
    level = check_level(level)
    if n_a < 0 or n_b < 0:
        raise InputError("Group sizes", expected=">= 0", got=f"{n_a} and {n_b}")
    total = round(n_a + n_b)
    if n_a == 0 or n_b == 0:
        return Estimate(math.nan, math.nan, math.nan, total, level, "newcombe")
    if not (0 <= share_a <= 1 and 0 <= share_b <= 1):
        raise InputError("Shares", expected="in [0, 1]", got=f"{share_a} and {share_b}")
    z = float(stats.norm.ppf(0.5 + level / 2))
    low_a, high_a = _wilson(share_a, n_a, z)
    low_b, high_b = _wilson(share_b, n_b, z)
    gap = share_a - share_b
    low = gap - math.hypot(share_a - low_a, high_b - share_b)
    high = gap + math.hypot(high_a - share_a, share_b - low_b)
    return Estimate(gap, low, high, total, level, "newcombe")


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if share == 0 else (centre - half) / scale
    high = 1.0 if share == 1 else (centre + half) / scale
    return low, high


def effective_size(groups: ArrayLike) -> float:
    """Return how many independent images near-duplicates are worth, ``(sum n_g)² / sum n_g²``.

    Args:
        groups: one integer per image; equal ones are near-duplicates of each other.

    Returns:
        Between 1 and the number of images; 0 for none. It takes the images of a group to be
        perfectly alike, so an interval built on it is wide rather than narrow.

    Source: Kish, 1965, Survey Sampling.
    """
    sizes = np.unique(np.asarray(groups), return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.size else 0.0


def welch_gap(
    a: ArrayLike,
    b: ArrayLike,
    *,
    level: float = 0.95,
    effective: tuple[float, float] | None = None,
) -> Estimate:
    """Return ``mean(a) - mean(b)`` with Welch's t interval; the variances may differ.

    ``gap ± t_df sqrt(s_a²/n_a + s_b²/n_b)`` with Satterthwaite's df.

    Args:
        a: ``[n_a]`` values of group A, finite.
        b: ``[n_b]`` values of group B, finite.
        level: confidence level.
        effective: effective sizes of both groups when images repeat, from
            :func:`effective_size`; they replace n in the variance.

    Returns:
        The gap; > 0: A is larger. NaN for an empty group; without an interval if a group has
        fewer than two values (or is worth no more than one).

    Raises:
        InputError: values that are not finite.

    Source: Welch, 1947, Biometrika 34.
    """
    level = check_level(level)
    first, second = check_sample(a, name="a"), check_sample(b, name="b")
    n_a, n_b = effective or (float(first.size), float(second.size))
    total = round(n_a + n_b)
    if first.size == 0 or second.size == 0:
        return Estimate(math.nan, math.nan, math.nan, total, level, "welch")
    gap = float(first.mean() - second.mean())
    if min(first.size, second.size) < 2 or min(n_a, n_b) <= 1:
        return Estimate(gap, math.nan, math.nan, total, level, "welch")
    part_a, part_b = float(first.var(ddof=1)) / n_a, float(second.var(ddof=1)) / n_b
    error = part_a + part_b
    if error == 0:
        return Estimate(gap, gap, gap, total, level, "welch")
    df = error**2 / (part_a**2 / (n_a - 1) + part_b**2 / (n_b - 1))
    half = float(stats.t.ppf(0.5 + level / 2, df)) * math.sqrt(error)
    return Estimate(gap, gap - half, gap + half, total, level, "welch")
