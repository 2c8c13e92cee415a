"""In which order constellations are tried: those that mark a class, and those found everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import xlogy

Item = TypeVar("Item")


def distinction(
    count: Int64[np.ndarray, "keys"], size: int, total: Int64[np.ndarray, "keys"], images: int
) -> Float64[np.ndarray, "keys"]:
    """Return how much more frequent a constellation is in a group than in the rest.

    ``G = 2 sum observed ln(observed / expected)`` of the table of group and rest, 0 if it is not
    more frequent there; of the whole set its frequency.
    """
    if size == images:
        return count.astype(np.float64)
    rest = total - count
    g = 2 * (
        xlogy(count, count / size)
        + xlogy(size - count, 1 - count / size)
        + xlogy(rest, rest / (images - size))
        + xlogy(images - size - rest, 1 - rest / (images - size))
        - xlogy(total, total / images)
        - xlogy(images - total, 1 - total / images)
    )
    return np.where(count / size > rest / (images - size), np.maximum(g, 0), 0.0)


def in_turn(first: Sequence[Item], second: Sequence[Item]) -> list[Item]:
    """Return the items of two lists in turn; what is left of the longer one comes last."""
    pairs = zip_longest(((item,) for item in first), ((item,) for item in second), fillvalue=())
    return [item for pair in pairs for part in pair for item in part]
