"""What a comparison of two groups could have shown: power and the smallest detectable gap."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import special, stats

from sundog.core.errors import InputError
from sundog.core.statistics.two_groups import Alternative

Direction = Literal["drop", "rise", "either", "both"]
_EXACT_CELLS = 400_000
"""Tables of two groups up to which Fisher's rejection region is laid out (about 30 ms, 20 MB)."""
_STEPS = 16
"""Bisections of the gap: to 1 / 2^16 = 0.00002."""
_SAME = 1 + 1e-7


def fisher_power(
    n_present: int,
    n_absent: int,
    rate_present: float,
    rate_absent: float,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> float:
    """Return the probability that Fisher's exact test finds a gap of this size.

    ``sum over all tables that the test rejects of P(table)``, both groups binomial. Exact, except
    for large groups (about 1,500 and 1,500, or 300 and 20,000), where the normal distribution with
    continuity correction is off by less than 0.04 (the smallest gap by less than 0.005).

    Args:
        n_present: images with the concept, >= 0.
        n_absent: images without it.
        rate_present: share right with the concept, in [0, 1].
        rate_absent: share right without it.
        alpha: level of the test (already corrected for the number of tests).
        alternative: ``two-sided``, ``less`` (tests for a drop alone) or ``greater``.

    Returns:
        In [0, 1]; 0 for an empty group.

    Raises:
        InputError: sizes, rates or a level out of range.

    Source: Fisher, 1935; Casagrande, Pike & Smith, 1978, Biometrics 34 (the correction).
    """
    _check(n_present, n_absent, (rate_present, rate_absent), alpha)
    if n_present == 0 or n_absent == 0:
        return 0.0
    rejected = _rejected(n_present, n_absent, rate_absent, alpha, alternative)
    if rejected is None:
        return _normal_power(n_present, n_absent, rate_present, rate_absent, alpha, alternative)
    return min(1.0, float(_binomial(n_present, rate_present) @ rejected))


def smallest_detectable_gap(
    n_present: int,
    n_absent: int,
    rate_absent: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    direction: Direction = "either",
    alternative: Alternative = "two-sided",
) -> float:
    """Return the smallest gap in accuracy that the data would have shown with this power.

    The smallest ``g`` with ``fisher_power(rate_absent ± g) >= power``, by bisection.

    Args:
        n_present: images with the concept.
        n_absent: images without it.
        rate_absent: share right without the concept, in [0, 1].
        alpha: level of one test, corrected for how many were made.
        power: probability of finding the gap, in (0, 1).
        direction: ``drop`` (the concept hurts), ``rise`` (it helps), ``either``: the smaller of
            the two, or ``both``: the larger, so that a gap of this size is found whichever way it
            goes (a direction in which no possible gap would be found does not count).
        alternative: ``two-sided``, or the one side that was tested.

    Returns:
        The absolute gap in (0, 1]; NaN if not even the largest possible gap would be found.

    Raises:
        InputError: sizes, rates, a level or a power out of range, an unknown direction.

    Source: see :func:`fisher_power`.
    """
    if direction not in ("drop", "rise", "either", "both"):
        raise InputError("direction", expected="drop, rise, either or both", got=repr(direction))
    _check(n_present, n_absent, (rate_absent, rate_absent), alpha)
    if not 0 < power < 1:
        raise InputError("power", expected="between 0 and 1", got=str(power))
    found = []
    for sign in {"drop": (-1,), "rise": (1,)}.get(direction, (-1, 1)):
        largest = rate_absent if sign < 0 else 1 - rate_absent
        if largest <= 0:
            continue

        def reached(gap: float, sign: int = sign) -> bool:
            rate = min(1.0, max(0.0, rate_absent + sign * gap))
            return (
                fisher_power(
                    n_present, n_absent, rate, rate_absent, alpha=alpha, alternative=alternative
                )
                >= power
            )

        if reached(largest):
            found.append(_bisect(reached, largest))
    return (max if direction == "both" else min)(found, default=math.nan)


def smallest_detectable_mean_gap(
    n_present: int,
    n_absent: int,
    spread: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Return the smallest gap of two means that a two-sided t test would have shown.

    ``(t_{1-alpha/2} + t_{power}) spread sqrt(1/n_present + 1/n_absent)`` with
    ``n_present + n_absent - 2`` degrees of freedom.

    Args:
        n_present: images with the concept.
        n_absent: images without it.
        spread: standard deviation inside the groups, >= 0.
        alpha: level of one test, corrected for how many were made.
        power: probability of finding the gap.

    Returns:
        The absolute gap, in the unit of the values; NaN with fewer than two images on a side.

    Raises:
        InputError: sizes, a level or a power out of range, a spread that is not finite.

    Source: Student, 1908; Harrison & Brady, 2004, Stata Journal 4 (the two t quantiles).
    """
    _check(n_present, n_absent, (0.0, 0.0), alpha)
    if not 0 < power < 1:
        raise InputError("power", expected="between 0 and 1", got=str(power))
    if not (math.isfinite(spread) and spread >= 0):
        raise InputError("spread", expected="finite and >= 0", got=str(spread))
    if min(n_present, n_absent) < 2:
        return math.nan
    df = n_present + n_absent - 2
    quantiles = float(special.stdtrit(df, 1 - alpha / 2)) + float(special.stdtrit(df, power))
    return quantiles * spread * math.sqrt(1 / n_present + 1 / n_absent)


def _check(n_present: int, n_absent: int, rates: tuple[float, float], alpha: float) -> None:
    if n_present < 0 or n_absent < 0:
        raise InputError("Group sizes", expected=">= 0", got=f"{n_present} and {n_absent}")
    if not all(0 <= rate <= 1 for rate in rates):
        raise InputError("Rates", expected="in [0, 1]", got=f"{rates[0]} and {rates[1]}")
    if not 0 < alpha < 1:
        raise InputError("alpha", expected="between 0 and 1", got=str(alpha))


def _bisect(reached: Callable[[float], bool], largest: float) -> float:
    """Return the smallest gap up to ``largest`` that is reached, from above."""
    below, above = 0.0, largest
    for _ in range(_STEPS):
        middle = (below + above) / 2
        below, above = (below, middle) if reached(middle) else (middle, above)
    return above


def _binomial(n: int, rate: float) -> Float[np.ndarray, " hits"]:
    """Return P(0), ..., P(n) of a binomial; :func:`scipy.stats.binom.pmf`, without its overhead."""
    hits = np.arange(n + 1)
    log = _log_choose(n) + special.xlogy(hits, rate) + special.xlog1py(n - hits, -rate)
    return np.exp(log)


@lru_cache(maxsize=64)
def _log_choose(n: int) -> Float[np.ndarray, " hits"]:
    factorials = special.gammaln(np.arange(1, n + 2, dtype=np.float64))
    return factorials[-1] - factorials - factorials[::-1]


@lru_cache(maxsize=1024)
def _rejected(
    n_present: int, n_absent: int, rate_absent: float, alpha: float, alternative: Alternative
) -> Float[np.ndarray, " hits"] | None:
    """Return P(rejected | hits of the present group) for 0, ..., n_present; None if too large."""
    spread = math.sqrt(n_absent * rate_absent * (1 - rate_absent))
    reach, middle = 7 * spread + 10, n_absent * rate_absent
    first, last = max(0, math.floor(middle - reach)), min(n_absent, math.ceil(middle + reach))
    absent = np.arange(first, last + 1)
    rights = np.arange(first, last + n_present + 1)
    width = min(min(n_present, n_absent) + 1, _window(n_present, n_absent))
    if rights.size * width + (n_present + 1) * absent.size > _EXACT_CELLS:
        return None
    lowest, highest = _accepted(n_present, n_absent, rights, width, alpha, alternative)
    hits = np.arange(n_present + 1)[:, None]
    row = hits + absent[None, :] - first
    outside = (hits < lowest[row]) | (hits > highest[row])
    shares = outside @ _binomial(n_absent, rate_absent)[first : last + 1]
    shares.setflags(write=False)
    return np.asarray(shares, dtype=np.float64)


def _window(n_present: int, n_absent: int) -> int:
    """Return how many numbers of hits around the mean hold all but 1e-15 of a hypergeometric."""
    total = n_present + n_absent
    return 2 * math.ceil(9 * math.sqrt(n_present * n_absent / total) / 2 + 30) + 1


def _accepted(
    n_present: int,
    n_absent: int,
    rights: NDArray[np.int64],
    width: int,
    alpha: float,
    alternative: Alternative,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for every total of right answers, the range of hits that the test accepts.

    The hypergeometric has one mode, so the hits with ``p > alpha`` are one range around it.
    """
    total = n_present + n_absent
    least = np.maximum(0, rights - n_absent)
    most = np.minimum(n_present, rights)
    mean = np.rint(rights * n_present / total).astype(np.int64)
    start = np.clip(mean - width // 2, least, np.maximum(most - width + 1, least))
    hits = start[:, None] + np.arange(width)[None, :]
    valid = hits <= most[:, None]
    safe = np.where(valid, hits, start[:, None])
    factorials = special.gammaln(np.arange(1, total + 2, dtype=np.float64))
    right = rights[:, None]
    log = (_log_choose(n_present)[safe] + _log_choose(n_absent)[right - safe]) - (
        factorials[-1] - factorials[right] - factorials[total - right]
    )
    weight = np.where(valid, np.exp(log), 0.0)
    if alternative == "less":
        p = np.cumsum(weight, axis=1)
    elif alternative == "greater":
        p = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    else:
        order = np.argsort(weight, axis=1, kind="stable")
        ascending = np.take_along_axis(weight, order, axis=1)
        sums = np.cumsum(ascending, axis=1)
        # Two tables, one on each side of the mode, may be equally likely; never three.
        twin = ascending[:, 1:] <= ascending[:, :-1] * _SAME
        sums[:, :-1] = np.where(twin, sums[:, 1:], sums[:, :-1])
        p = np.empty_like(sums)
        np.put_along_axis(p, order, sums, axis=1)
    accepted = valid & (p > alpha)
    some = accepted.any(axis=1)
    lowest = start + accepted.argmax(axis=1)
    highest = start + width - 1 - accepted[:, ::-1].argmax(axis=1)
    return np.where(some, lowest, most + 1), np.where(some, highest, most)


def _normal_power(
    n_present: int,
    n_absent: int,
    rate_present: float,
    rate_absent: float,
    alpha: float,
    alternative: Alternative,
) -> float:
    both = 1 / n_present + 1 / n_absent
    pooled = (n_present * rate_present + n_absent * rate_absent) / (n_present + n_absent)
    under_null = math.sqrt(pooled * (1 - pooled) * both)
    error = math.sqrt(
        rate_present * (1 - rate_present) / n_present + rate_absent * (1 - rate_absent) / n_absent
    )
    gap = rate_present - rate_absent
    z = float(stats.norm.isf(alpha / 2 if alternative == "two-sided" else alpha))
    sides = {"two-sided": (-1, 1), "less": (-1,), "greater": (1,)}[alternative]
    chance = 0.0
    for side in sides:
        excess = side * gap - both / 2 - z * under_null
        chance += float(stats.norm.cdf(excess / error)) if error > 0 else float(excess > 0)
    return min(1.0, chance)
