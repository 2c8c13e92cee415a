"""An interval for a paired difference of shares whose two ends both keep their promise.

Decisions hang on single ends of this interval, also where all changes go one way (a cue that only
ever helps). There, in 20,000 simulated studies of 400 images at a nominal 0.6 % per end, Newcombe's
upper end misses in 1.8 % and Tango's lower end in 1.2 %; the wider of the two misses in 0.4 % and
0.1 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from scipy import stats

from sundog.core.statistics import Estimate, PairedProportions


def tango_score(difference: float, *, only_a: int, only_b: int, n: int) -> float:
    """Return Tango's score statistic of the hypothesis ``p_a - p_b = difference``.

    ``(b - c - n d) / sqrt(n (2 q + d (1 - d)))``, b and c the discordant counts and q the share of
    'B alone' that is most likely under the hypothesis; standard normal under it.

    Args:
        difference: in (-1, 1).
        only_a: images that count for A alone.
        only_b: images that count for B alone.
        n: all images, at least 1.

    Source: Tango, 1998, Statistics in Medicine 17, 891-908.
    """
    gap = only_a - only_b - n * difference
    first = 2 * n
    second = -only_a - only_b + (2 * n - only_a + only_b) * difference
    third = -only_b * difference * (1 - difference)
    root = math.sqrt(max(second * second - 4 * first * third, 0.0))
    share = max((root - second) / (2 * first), 0.0, -difference)
    variance = n * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def tango_interval(*, only_a: int, only_b: int, n: int, level: float) -> tuple[float, float]:
    """Return the differences that Tango's score does not reject, by bisection to 1e-12."""
    z = float(stats.norm.ppf(0.5 + level / 2))
    middle = (only_a - only_b) / n

    def score(difference: float) -> float:
        return tango_score(difference, only_a=only_a, only_b=only_b, n=n)

    low = _last(lambda d: score(d) > z, -1.0, middle)
    high = _last(lambda d: score(d) > -z, middle, 1.0)
    return low, high


def _last(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a condition that holds at the left stops to hold."""
    for _ in range(41):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2


def with_safe_limits(found: PairedProportions) -> PairedProportions:
    """Widen Newcombe's interval of a paired difference to hold Tango's as well."""
    newcombe = found.difference
    low, high = tango_interval(
        only_a=found.only_a, only_b=found.only_b, n=newcombe.n, level=newcombe.level
    )
    wide = Estimate(
        value=newcombe.value,
        low=min(newcombe.low, low),
        high=max(newcombe.high, high),
        n=newcombe.n,
        level=newcombe.level,
        method="newcombe or tango, the wider",
    )
    return replace(found, difference=wide)
