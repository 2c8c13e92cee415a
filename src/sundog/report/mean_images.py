"""The mean image of every window, from a stream of images: sums only, never all images at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sundog.core.errors import InputError
from sundog.report.arrays import Pixels, as_pixels


def mean_images(
    images: Iterable[tuple[NDArray[Any], int]], *, windows: int, side: int = 96
) -> list[Pixels | None]:
    """Return the mean image of every window.

    ``mean_w = round(1/n_w Σ_{i in w} x_i)`` in float64, after every image was fitted into a square
    of ``side`` pixels (its middle is cut out, so that shapes are not bent).

    Args:
        images: (picture, its window); any sizes, uint8 or float in [0, 1], grey or RGB. A window
            below 0 means that the picture belongs to none.
        windows: how many there are.
        side: of the mean images in pixels.

    Returns:
        One picture per window; None for a window without an image.

    Raises:
        InputError: a window that is not there, or a bad side.
    """
    if windows < 1 or side < 1:
        raise InputError("windows and side", expected="at least 1", got=f"{windows} and {side}")
    sums = np.zeros((windows, side, side, 3))
    counts = np.zeros(windows, np.int64)
    for pixels, window in images:
        if window >= windows:
            raise InputError("window", expected=f"below {windows}", got=str(window))
        if window < 0:
            continue
        sums[window] += square(pixels, side=side)
        counts[window] += 1
    return [
        np.rint(total / count).astype(np.uint8) if count else None
        for total, count in zip(sums, counts, strict=True)
    ]


def square(pixels: NDArray[Any], *, side: int) -> Pixels:
    """Return the middle square of a picture, resized to ``side`` pixels."""
    array = np.asarray(pixels)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    image = Image.fromarray(as_pixels(array))
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    middle = image.crop((left, top, left + edge, top + edge))
    if edge == side:
        return np.asarray(middle)
    return np.asarray(middle.resize((side, side), Image.Resampling.BOX if edge > side else 0))
