"""Finding a stamp: a few pixels of given colours at given offsets, whatever lies between them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from sundog.data.content import Pixels

ANCHORS = 6
"""Pixels that are compared first, at every place of an image."""


def match_stamp(
    pixels: Pixels,
    offsets: Int64[np.ndarray, "stamp 2"],
    colours: UInt8[np.ndarray, "stamp 3"],
    tolerance: int,
) -> tuple[float, tuple[int, int]]:
    """Return the largest share of a stamp's pixels found at one place, and that place.

    The share at a place is ``|{k : max_c |x(place + o_k) - colour_k| <= tolerance}| / K``; it
    counts only where at least half of the anchors (the first six) are found (0 otherwise).

    Args:
        pixels: shrunk to the stamp's scale.
        offsets: (row, column) of each pixel, >= 0, the box beginning at 0.
        colours: of each pixel.
        tolerance: how far a pixel may be from its colour, in 0..255 units.
    """
    height = pixels.shape[0] - int(offsets[:, 0].max())
    width = pixels.shape[1] - int(offsets[:, 1].max())
    if height < 1 or width < 1:
        return 0.0, (0, 0)
    anchors = min(ANCHORS, len(offsets))
    votes = np.zeros((height, width), np.uint8)
    found: dict[bytes, Bool[np.ndarray, "..."]] = {}
    for number in range(anchors):
        (row, column), colour = offsets[number], colours[number]
        name = colour.tobytes()
        if name not in found:
            found[name] = near(pixels, colour, tolerance)
        votes += found[name][row : row + height, column : column + width]
        if 2 * (int(votes.max()) + anchors - 1 - number) < anchors:
            return 0.0, (0, 0)  # the anchors that are left cannot make up for it
    rows, columns = np.nonzero(2 * votes >= anchors)
    if not len(rows):
        return 0.0, (0, 0)
    shares = np.zeros(len(rows))
    for (row, column), colour in zip(offsets, colours, strict=True):
        values = pixels[rows + row, columns + column]
        shares += near(values, colour, tolerance)
    best = int(shares.argmax())
    return float(shares[best]) / len(offsets), (int(rows[best]), int(columns[best]))


def as_planes(pixels: Pixels) -> Pixels:
    """Return the same image, its channels one after the other in memory: faster to compare."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0)


def near(
    pixels: UInt8[np.ndarray, "... 3"], colour: UInt8[np.ndarray, "3"], tolerance: int
) -> Bool[np.ndarray, "..."]:
    """Return where all three channels are within ``tolerance`` of a colour."""
    low = np.maximum(colour.astype(np.int16) - tolerance, 0).astype(np.uint8)
    span = (np.minimum(colour.astype(np.int16) + tolerance, 255) - low).astype(np.uint8)
    # Below ``low`` the difference wraps around to a number above ``span``.
    close = np.asarray((pixels[..., 0] - low[0]) <= span[0])
    for channel in (1, 2):
        if not close.any():
            break
        close &= (pixels[..., channel] - low[channel]) <= span[channel]
    return close


def shrink(pixels: Pixels, factor: int) -> Pixels:
    """Return the means over squares of side ``factor``, rounded; a rest at the edge is left out."""
    if factor == 1 or min(pixels.shape[:2]) < 2 * factor:
        return pixels
    height, width = (side // factor for side in pixels.shape[:2])
    cut = pixels[: height * factor, : width * factor].astype(np.uint16)
    summed = cut.reshape(height, factor, width, factor, 3).sum(axis=(1, 3))
    return ((summed + factor**2 // 2) // factor**2).astype(np.uint8)
