"""The lowest of several proportions, the largest gap between them, and their mean, with intervals.

A plain interval of the proportion that happened to come out lowest is too low: it was selected.
The intervals here hold for all proportions at once, so they hold for the selected one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sundog.core.statistics import Estimate, wilson_interval


def mean_of_proportions(hits: Sequence[int], sizes: Sequence[int], *, level: float) -> Estimate:
    """Return the mean of independent proportions, each counted once, with its MOVER interval.

    ``m - sqrt(sum (p_i - l_i)²) / k`` to ``m + sqrt(sum (u_i - p_i)²) / k`` with Wilson's ends
    l and u. A proportion of nothing counts as 0 without an error. ``n`` is the sum of the sizes.

    Source: Zou & Donner, 2008, Statistics in Medicine 27, 1693-1702.
    """
    parts = [wilson_interval(h, n, level=level) for h, n in zip(hits, sizes, strict=True)]
    total, k = sum(sizes), len(parts)
    if not k:
        return Estimate(math.nan, math.nan, math.nan, total, level, "mover")
    filled = [part for part in parts if part.n]
    mean = math.fsum(part.value for part in filled) / k
    below = math.sqrt(math.fsum((part.value - part.low) ** 2 for part in filled)) / k
    above = math.sqrt(math.fsum((part.high - part.value) ** 2 for part in filled)) / k
    return Estimate(mean, max(0.0, mean - below), min(1.0, mean + above), total, level, "mover")


def mean_of_differences(parts: Sequence[Estimate], *, level: float) -> Estimate:
    """Return the mean of independent differences, each counted once, with its MOVER interval.

    Differences of nothing (n = 0) are left out. ``n`` is the sum of the sizes.

    Source: Zou & Donner, 2008, Statistics in Medicine 27, 1693-1702.
    """
    filled = [part for part in parts if part.n]
    k, total = len(filled), sum(part.n for part in filled)
    if not k:
        return Estimate(math.nan, math.nan, math.nan, total, level, "mover")
    mean = math.fsum(part.value for part in filled) / k
    below = math.sqrt(math.fsum((part.value - part.low) ** 2 for part in filled)) / k
    above = math.sqrt(math.fsum((part.high - part.value) ** 2 for part in filled)) / k
    return Estimate(mean, max(-1.0, mean - below), min(1.0, mean + above), total, level, "mover")


def lowest_proportion(hits: Sequence[int], sizes: Sequence[int], *, level: float) -> Estimate:
    """Return the lowest of independent proportions; the interval is of the lowest true one.

    ``n`` is the size of the group that came out lowest. NaN without groups.
    """
    if not sizes:
        return Estimate(math.nan, math.nan, math.nan, 0, level, "wilson, simultaneous")
    each = level ** (1 / len(sizes))
    parts = [wilson_interval(h, n, level=each) for h, n in zip(hits, sizes, strict=True)]
    lowest = min(parts, key=lambda part: part.value)
    low, high = min(part.low for part in parts), min(part.high for part in parts)
    return Estimate(lowest.value, low, high, lowest.n, level, "wilson, simultaneous")


def largest_gap(hits: Sequence[int], sizes: Sequence[int], *, level: float) -> Estimate:
    """Return the highest minus the lowest of independent proportions, with the same promise.

    ``n`` is the number of images in all groups. NaN with fewer than two groups.
    """
    method = "newcombe, simultaneous"
    count = len(sizes)
    if count < 2:
        return Estimate(math.nan, math.nan, math.nan, sum(sizes), level, method)
    each = 1 - (1 - level) / (count * (count - 1) / 2)
    parts = [wilson_interval(h, n, level=each) for h, n in zip(hits, sizes, strict=True)]
    share, low, high = (
        np.array([getattr(part, end) for part in parts]) for end in ("value", "low", "high")
    )
    gaps = share[:, None] - share[None, :]  # Newcombe's interval of every ordered pair
    below = gaps - np.hypot((share - low)[:, None], (high - share)[None, :])
    np.fill_diagonal(below, -1.0)
    above = gaps + np.hypot((high - share)[:, None], (share - low)[None, :])
    np.fill_diagonal(above, -1.0)
    return Estimate(
        float(gaps.max()),
        max(0.0, float(below.max())),
        min(1.0, float(above.max())),
        sum(sizes),
        level,
        method,
    )
