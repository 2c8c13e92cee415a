"""What a picture and a map must look like before they are drawn; plain numpy, never torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from sundog.core.errors import InputError

Pixels = UInt8[np.ndarray, "height width 3"]
"""One RGB picture, 0 to 255."""
Map = Float[np.ndarray, "height width"]
"""One attribution per pixel, any scale."""
Mask = Bool[np.ndarray, "height width"]


def as_pixels(image: NDArray[Any]) -> Pixels:
    """Return one picture as ``uint8[height, width, 3]``.

    Args:
        image: ``[height, width, 3]`` or ``[height, width]`` (grey), ``uint8`` or float in [0, 1];
            floats are rounded to the nearest of 256 levels.

    Raises:
        InputError: another shape, dtype or range.
    """
    array = np.asarray(image)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        channels_first = array.ndim == 3 and array.shape[0] == 3
        hint = "Move the channels last: image.transpose(1, 2, 0)." if channels_first else ""
        raise InputError(
            "image", expected="an array [height, width, 3]", got=f"shape {array.shape}", hint=hint
        )
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError("image", expected="uint8, or float in [0, 1]", got=f"dtype {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise InputError(
            "image",
            expected="in [0, 1] when it is float",
            got=f"values from {low:.4g} to {high:.4g}",
            hint="Undo the normalisation or divide by 255.",
        )
    return np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)


def as_pictures(images: Sequence[NDArray[Any]] | NDArray[Any]) -> list[Pixels]:
    """Return every picture of a batch or list (sizes may differ) as :data:`Pixels`.

    Raises:
        InputError: no picture, or one that :func:`as_pixels` refuses.
    """
    pictures = [as_pixels(np.asarray(image)) for image in images]
    if not pictures:
        raise InputError("images", expected="at least one picture", got="none")
    return pictures


def as_map(values: NDArray[Any], *, shape: tuple[int, int], name: str = "map") -> Map:
    """Return one map as ``float64[height, width]`` that fits a picture of that shape.

    Raises:
        InputError: another shape, or a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape != tuple(shape):
        raise InputError(
            name,
            expected=f"as large as its picture, {shape[0]} × {shape[1]}",
            got=f"shape {array.shape}",
            hint="Resize the map to the image first.",
        )
    if not np.isfinite(array).all():
        raise InputError(
            name, expected="finite", got=f"{int((~np.isfinite(array)).sum())} values that are not"
        )
    return array


def as_mask(values: NDArray[Any], *, shape: tuple[int, int]) -> Mask:
    """Return one mask as ``bool[height, width]`` that fits a picture of that shape.

    Raises:
        InputError: another shape or dtype.
    """
    array = np.asarray(values)
    if array.shape != tuple(shape) or array.dtype != np.bool_:
        raise InputError(
            "mask",
            expected=f"bool and as large as its picture, {shape[0]} × {shape[1]}",
            got=f"{array.dtype} of shape {array.shape}",
        )
    return array


def check_count(name: str, got: int, expected: int) -> None:
    """Refuse an argument that has not one entry per picture.

    Raises:
        InputError: the two counts differ.
    """
    if got != expected:
        raise InputError(name, expected=f"one per picture, {expected}", got=str(got))
