"""Attention windows: cutting a map into them, joining them, and what may see what inside one."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor

APART = -100.0
"""Added to the score of two patches that only the cyclic shift has brought into one window."""


def cut_windows(
    maps: Float[Tensor, "batch side side channels"], window: int
) -> Float[Tensor, "batch windows places channels"]:
    """Return the windows of each map, row by row, and the patches of each, row by row."""
    batch, side, _, channels = maps.shape
    across = side // window
    parts = maps.view(batch, across, window, across, window, channels)
    return parts.transpose(2, 3).reshape(batch, across * across, window * window, channels)


def join_windows(
    windows: Float[Tensor, "batch windows places channels"], side: int
) -> Float[Tensor, "batch side side channels"]:
    """Put the windows of :func:`cut_windows` back in place."""
    batch, _, places, channels = windows.shape
    window = int(places**0.5)
    across = side // window
    parts = windows.view(batch, across, across, window, window, channels)
    return parts.transpose(2, 3).reshape(batch, side, side, channels)


@lru_cache(maxsize=8)
def relative_positions(window: int) -> Int64[Tensor, "places places"]:
    """Return the row of the bias table for each pair of patches of a window.

    The row is ``(dy + w - 1) (2w - 1) + (dx + w - 1)`` with (dy, dx) = first minus second.
    """
    axis = torch.arange(window)
    rows, columns = axis.repeat_interleave(window), axis.repeat(window)
    dy = rows[:, None] - rows[None, :] + window - 1
    dx = columns[:, None] - columns[None, :] + window - 1
    return dy * (2 * window - 1) + dx


@lru_cache(maxsize=16)
def shift_mask(side: int, window: int, shift: int) -> Float[Tensor, "windows places places"]:
    """Return 0 for pairs that were neighbours before the cyclic shift and -100 for the others.

    Args:
        side: patches per side of the map.
        window: patches per side of a window.
        shift: patches by which the map was rolled, 0 < shift < window.
    """
    place = torch.arange(side)
    band = (place >= side - window).long() + (place >= side - shift).long()
    regions = (3 * band[:, None] + band[None, :]).float()
    labels = cut_windows(regions[None, :, :, None], window)[0, :, :, 0]
    return torch.where(labels[:, :, None] == labels[:, None, :], 0.0, APART)
