"""What SpRAy compares of a map: where its relevance lies, or how it looks around its hottest spot.

Both keep the positive part alone (what speaks for the class) and divide by its sum, so that a map
counts by its shape and not by how sure the model is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64

from sundog.core.errors import InputError


def pool_maps(
    maps: Float[np.ndarray, "maps height width"], grid: int
) -> Float[np.ndarray, "maps rows columns"]:
    """Return area means over at most ``grid`` x ``grid`` cells, in float32.

    A cell that covers a pixel in part takes that part of it; a side that is shorter than ``grid``
    stays as it is.

    Args:
        maps: finite, of one size.
        grid: cells per side, at least 2.

    Raises:
        InputError: maps of another shape or not finite, or a grid under 2.
    """
    if grid < 2:
        raise InputError("grid", expected="at least 2", got=str(grid))
    values = check_maps(maps)
    rows = _cell_weights(values.shape[1], min(grid, values.shape[1]))
    columns = _cell_weights(values.shape[2], min(grid, values.shape[2]))
    return (rows @ values @ columns.T).astype(np.float32)


def fixed_features(
    maps: Float[np.ndarray, "maps height width"], *, grid: int
) -> Float[np.ndarray, "maps features"]:
    """Return the share of the positive relevance in each cell: two maps are near if they agree.

    Args:
        maps: finite; a map without positive relevance becomes zeros.
        grid: cells per side.

    Source: Lapuschkin et al., 2019, arXiv 1902.10178 (maps on a small grid).
    """
    shares = relevance_shares(maps)
    height, width = shares.shape[1:]
    pooled = pool_maps(shares, grid) * (height * width)
    return (pooled / (pooled.shape[1] * pooled.shape[2])).reshape(len(pooled), -1)


def free_features(
    maps: Float[np.ndarray, "maps height width"], *, grid: int, spot: float
) -> Float[np.ndarray, "maps features"]:
    """Return the relevance around each map's hottest window: two maps are near if spots look alike.

    The window of side ``spot`` with the most relevance is found to a pixel, and the window with one
    more side on each edge is cut out, zeros outside the image: the same spot gives the same
    features wherever it is. The magnitude of the Fourier transform is invariant too, but holds
    whatever else the map shows (spots on busy maps: tau 2.6 sd above the null, here 3.5 sd).

    Args:
        maps: finite; a map without positive relevance becomes zeros.
        grid: cells per side of what is cut out, at most.
        spot: side of the window as a share of the shorter side of the map.
    """
    shares = relevance_shares(maps)
    side = spot_side(shares.shape[1:], spot)
    top, left = hottest_windows(shares, side)
    around = np.pad(shares, ((0, 0), (side, side), (side, side)))
    steps = np.arange(3 * side)
    rows = top[:, None] + steps
    columns = left[:, None] + steps
    cut = around[np.arange(len(shares))[:, None, None], rows[:, :, None], columns[:, None, :]]
    pooled = pool_maps(cut, grid)
    cell = (3 * side) ** 2 / (pooled.shape[1] * pooled.shape[2])
    return (pooled * np.float32(cell)).reshape(len(pooled), -1)


def spot_side(size: tuple[int, ...], spot: float) -> int:
    """Return the side of the window in pixels, at least 1.

    Raises:
        InputError: a share outside (0, 0.5].
    """
    if not 0 < spot <= 0.5:
        raise InputError("spot", expected="in (0, 0.5]", got=repr(spot))
    return max(1, round(spot * min(size)))


def hottest_windows(
    shares: Float[np.ndarray, "maps height width"], side: int
) -> tuple[Int64[np.ndarray, "maps"], Int64[np.ndarray, "maps"]]:
    """Return top and left of the square of ``side`` pixels with the largest sum in each map."""
    inside = window_sums(shares, side, side)
    best = inside.reshape(len(inside), -1).argmax(axis=1)
    return best // inside.shape[2], best % inside.shape[2]


def window_sums(
    shares: Float[np.ndarray, "maps height width"], tall: int, wide: int
) -> Float[np.ndarray, "maps tops lefts"]:
    """Return the sum inside every box of ``tall`` x ``wide`` pixels, by its top left pixel."""
    total = np.pad(shares.astype(np.float64), ((0, 0), (1, 0), (1, 0)))
    total = total.cumsum(axis=1).cumsum(axis=2)
    upper, lower = total[:, :-tall], total[:, tall:]
    return lower[:, :, wide:] - lower[:, :, :-wide] - upper[:, :, wide:] + upper[:, :, :-wide]


def relevance_shares(
    maps: Float[np.ndarray, "maps height width"],
) -> Float[np.ndarray, "maps height width"]:
    """Return the positive part of each map divided by its sum; zeros where there is none."""
    positive = np.maximum(check_maps(maps), 0).astype(np.float32)
    total = positive.sum(axis=(1, 2), keepdims=True, dtype=np.float64)
    return (positive / np.where(total > 0, total, 1)).astype(np.float32)


def check_maps(
    maps: Float[np.ndarray, "maps height width"],
) -> Float[np.ndarray, "maps height width"]:
    """Return the maps as an array.

    Raises:
        InputError: another number of axes, an empty axis, or values that are not finite.
    """
    values = np.asarray(maps)
    if values.ndim != 3 or 0 in values.shape:
        raise InputError("maps", expected="an array [maps, height, width]", got=str(values.shape))
    if not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
        raise InputError("maps", expected="finite floating point numbers", got=str(values.dtype))
    return values


def _cell_weights(pixels: int, cells: int) -> Float[np.ndarray, "cells pixels"]:
    """Return rows that average the pixels of each cell, by the part of a pixel that it covers."""
    edges = np.linspace(0, pixels, cells + 1)
    low, high = np.maximum.outer(edges[:-1], np.arange(pixels)), edges[1:, None]
    covered = np.clip(np.minimum(high, np.arange(1, pixels + 1)) - low, 0, None)
    return covered * (cells / pixels)
