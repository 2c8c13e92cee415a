"""The background that the images of a set share: black behind digits, white behind products.

A constellation of it is in every image, and what differs from it is what tells images apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from sundog.data.content import Pixels

SHARE_OF_PIXELS = 1 / 8
SHARE_OF_IMAGES = 0.8
"""A colour of the background fills at least an eighth of at least 80 % of the images."""

Colours = UInt8[np.ndarray, "colours 3"]
NO_COLOURS: Colours = np.zeros((0, 3), np.uint8)


def find_ground(images: Sequence[Pixels]) -> Colours:
    """Return the colours of the background of a set, most of the time none.

    Args:
        images: some of the set.
    """
    counts: Counter[int] = Counter()
    for pixels in images:
        wide = pixels.astype(np.int64)
        codes, times = np.unique(
            (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2], return_counts=True
        )
        counts.update(codes[times >= SHARE_OF_PIXELS * times.sum()].tolist())
    kept = sorted(code for code, n in counts.items() if n >= SHARE_OF_IMAGES * len(images))
    colours = [(code >> 16, code >> 8 & 255, code & 255) for code in kept]
    return np.array(colours, dtype=np.uint8).reshape(-1, 3)


def is_ground(
    pixels: np.ndarray, ground: Colours, tolerance: int
) -> Bool[np.ndarray, "height width"]:
    """Return where a pixel is within ``tolerance`` of a colour of the background.

    Args:
        pixels: ``[height, width, 3]`` of any number type.
        ground: colours of the background.
        tolerance: in 0..255 units, in every channel.
    """
    found = np.zeros(pixels.shape[:2], bool)
    for colour in ground.astype(np.float32):
        found |= (np.abs(pixels - colour) <= tolerance).all(axis=2)
    return found


def far_ground(
    pixels: np.ndarray, inside: Bool[np.ndarray, "height width"], ground: Colours, tolerance: int
) -> Bool[np.ndarray, "height width"]:
    """Return the background that touches nothing else ``inside``, not even at a corner."""
    if not len(ground):
        return np.zeros(pixels.shape[:2], bool)
    flat = is_ground(pixels, ground, tolerance)
    marks = inside & ~flat & (np.asarray(pixels) >= 0).all(axis=2)
    return np.asarray(flat & ~ndimage.binary_dilation(marks, np.ones((3, 3), bool)))
