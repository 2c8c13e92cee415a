"""Proportions: Wilson intervals, differences of two proportions, McNemar's exact test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import Estimate, check_level


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return a proportion with its Wilson score interval (no continuity correction).

    ``(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)``, always inside [0, 1].

    Args:
        successes: number of hits, 0 to ``n``.
        n: number of trials; 0 gives NaN.
        level: confidence level.

    Raises:
        InputError: negative counts, more successes than trials, a level outside (0, 1).

    Source: Wilson, 1927, JASA 22.
    """
    level = check_level(level)
    if n < 0 or not 0 <= successes <= n:
        raise InputError("successes", expected=f"between 0 and n = {n}", got=str(successes))
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, level, "wilson")
    z = float(stats.norm.ppf(0.5 + level / 2))
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return Estimate(p, low, high, n, level, "wilson")


def proportion_difference(
    successes_a: int, n_a: int, successes_b: int, n_b: int, *, level: float = 0.95
) -> Estimate:
    """Return ``p_a - p_b`` of two independent groups with Newcombe's hybrid score interval.

    Returns:
        The difference in [-1, 1]; ``n`` is the total of both groups; NaN if one group is empty.

    Raises:
        InputError: impossible counts.

    Source: Newcombe, 1998, Statistics in Medicine 17, 873-890, method 10.
    """
    a = wilson_interval(successes_a, n_a, level=level)
    b = wilson_interval(successes_b, n_b, level=level)
    if n_a == 0 or n_b == 0:
        return Estimate(math.nan, math.nan, math.nan, n_a + n_b, level, "newcombe")
    difference = a.value - b.value
    low = difference - math.hypot(a.value - a.low, b.high - b.value)
    high = difference + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(difference, low, high, n_a + n_b, level, "newcombe")


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p-value that A and B are right equally often on the same images.

    Given ``m = only_a + only_b`` discordant images, ``only_a`` is Binomial(m, 1/2) under the null;
    ``p = min(1, 2 P(X <= min(only_a, only_b)))``. No discordant image gives 1.

    Args:
        only_a: images that A alone gets right.
        only_b: images that B alone gets right.

    Raises:
        InputError: negative counts.

    Source: McNemar, 1947, Psychometrika 12.
    """
    if only_a < 0 or only_b < 0:
        raise InputError("Discordant counts", expected=">= 0", got=f"{only_a} and {only_b}")
    return min(1.0, 2.0 * float(stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


@dataclass(frozen=True)
class PairedProportions:
    """Two classifiers (or two versions of the images) judged on the same images.

    Attributes:
        difference: share right of A minus share right of B, with interval; > 0: A is better.
        p_value: McNemar's exact test, two-sided.
        both: images that both get right.
        only_a: images that A alone gets right.
        only_b: images that B alone gets right.
        neither: images that both get wrong.
    """

    difference: Estimate
    p_value: float
    both: int
    only_a: int
    only_b: int
    neither: int


def paired_proportions(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> PairedProportions:
    """Compare two paired lists of hits: difference of proportions and McNemar's exact test.

    The interval is Newcombe's hybrid score interval for paired data: the Wilson intervals of both
    margins joined with the correlation phi of the two (continuity-corrected, 0 if undefined).

    Args:
        a: ``bool[n]``, whether A is right on each image.
        b: ``bool[n]``, whether B is right on the same images.
        level: confidence level.

    Raises:
        InputError: different lengths, or values that are not boolean (0 and 1 count as boolean).

    Source: Newcombe, 1998, Statistics in Medicine 17, 2635-2650, method 10; McNemar, 1947.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(
            "a and b", expected="lists of equal length", got=f"{first.shape} and {second.shape}"
        )
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise InputError("a and b", expected="True or False (or 1 and 0)", got="other values")
    first, second = first.astype(bool), second.astype(bool)
    both = int((first & second).sum())
    only_a, only_b = int((first & ~second).sum()), int((~first & second).sum())
    neither = int((~first & ~second).sum())
    return PairedProportions(
        difference=_newcombe_paired(both, only_a, only_b, neither, level=check_level(level)),
        p_value=mcnemar_exact(only_a, only_b),
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=neither,
    )


def _newcombe_paired(
    both: int, only_a: int, only_b: int, neither: int, *, level: float
) -> Estimate:
    n = both + only_a + only_b + neither
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, level, "newcombe")
    a = wilson_interval(both + only_a, n, level=level)
    b = wilson_interval(both + only_b, n, level=level)
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    cross = float(both * neither - only_a * only_b)
    if cross > 0:
        cross = max(cross - n / 2, 0.0)
    phi = cross / math.sqrt(margins) if margins else 0.0
    difference = (only_a - only_b) / n
    below_a, above_a = a.value - a.low, a.high - a.value
    below_b, above_b = b.value - b.low, b.high - b.value
    low = below_a**2 - 2 * phi * below_a * above_b + above_b**2
    high = above_a**2 - 2 * phi * above_a * below_b + below_b**2
    return Estimate(
        difference,
        difference - math.sqrt(max(low, 0.0)),
        difference + math.sqrt(max(high, 0.0)),
        n,
        level,
        "newcombe",
    )
