"""The gap of a slice, split over its tags."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

from sundog.core.errors import InputError

MOST_TAGS = 12
"""2^12 gaps are looked at; more tags in one slice are refused."""


def shapley_split(gaps: Mapping[frozenset[int], float], tags: tuple[int, ...]) -> dict[int, float]:
    """Return each tag's share of the gap of a slice; the shares sum to the gap.

    ``phi_t = sum over S in tags without t of |S|! (k - |S| - 1)! / k! (gap(S + t) - gap(S))`` with
    ``gap(no tag) = 0``: the mean of what the tag changes, over all orders in which the tags can be
    required. Exact.

    Args:
        gaps: gap (present minus absent) of every non-empty subset of ``tags``.
        tags: the tags of the slice, distinct, at most 12.

    Returns:
        Tag → share, in the unit of the gap; negative shares pull the outcome down. A slice with a
        large gap and one share near 0 has a tag that adds nothing.

    Raises:
        InputError: a subset without a gap, a repeated tag or too many.

    Source: Shapley, 1953; Pastor, de Alfaro & Baralis, 2021, SIGMOD (DivExplorer).
    """
    size = len(tags)
    if len(set(tags)) != size or not 0 < size <= MOST_TAGS:
        raise InputError("tags", expected=f"1 to {MOST_TAGS} distinct tags", got=f"{size} tags")
    try:
        value = {
            frozenset(subset): gaps[frozenset(subset)]
            for length in range(1, size + 1)
            for subset in combinations(tags, length)
        }
    except KeyError:
        raise InputError(
            "gaps", expected="given for every subset of the tags", got="a subset without one"
        ) from None
    value[frozenset()] = 0.0
    shares = dict.fromkeys(tags, 0.0)
    for tag in tags:
        rest = [other for other in tags if other != tag]
        for length in range(size):
            weight = 1 / (size * math.comb(size - 1, length))
            for subset in combinations(rest, length):
                without = frozenset(subset)
                shares[tag] += weight * (value[without | {tag}] - value[without])
    return shares
