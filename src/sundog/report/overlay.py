"""Lay a map over its picture: positive relevance in one colour, negative in another.

``a = clip(map / scale, -1, 1)``, ``scale = max |map|`` of that picture, then

``out = (1 - |a|) · picture + |a| · colour``, ``colour`` = *for* where ``a > 0``, *against* where
``a < 0``. A map of zeros leaves the picture unchanged. The scaling is for the eye only: two
pictures side by side cannot be compared in strength, only in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sundog.core.errors import InputError, UnknownNameError
from sundog.report.arrays import Map, Mask, as_map, as_pixels


@dataclass(frozen=True)
class Palette:
    """Two colours, RGB in [0, 1]: relevance for the explained class, and against it."""

    positive: tuple[float, float, float]
    negative: tuple[float, float, float]


PALETTES: dict[str, Palette] = {
    "red_blue": Palette((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    # A pair that stays apart in protanopia, deuteranopia, tritanopia and in grey print.
    "orange_purple": Palette((1.0, 0.60, 0.0), (0.30, 0.10, 0.55)),
    # For pictures that are themselves red or blue: no natural photograph is full of these.
    "magenta_cyan": Palette((1.0, 0.0, 0.85), (0.0, 0.85, 1.0)),
}


def get_palette(name: str) -> Palette:
    """Return the palette called ``name``.

    Raises:
        UnknownNameError: no such palette; suggests the nearest.
    """
    if name not in PALETTES:
        raise UnknownNameError("palette", name, PALETTES)
    return PALETTES[name]


SCALED = "Each map is scaled by its own maximum."


def scaled(percentile: float | None) -> str:
    """Return what a map is scaled by, in a sentence; ``percentile`` as in :func:`display_scale`."""
    if percentile is None:
        return SCALED
    return f"Each map is scaled by its own {percentile:g}th percentile; higher values are clipped."


def meaning(name: str) -> list[tuple[tuple[float, float, float], str]]:
    """Return the legend of a palette: colour and what it says of the explained class."""
    palette = get_palette(name)
    return [
        (palette.positive, "speaks for the predicted class"),
        (palette.negative, "speaks against it"),
    ]


def display_scale(relevance: Map, *, percentile: float | None = None) -> Map:
    """Scale a map to [-1, 1] by its largest magnitude, for display.

    Args:
        relevance: any scale, ``[height, width]``.
        percentile: in (0, 100]; if given, the scale is that percentile of ``|map|`` instead of the
            maximum and what is larger saturates: it shows the weak parts of a map with a few huge
            values. Falls back to the maximum where the percentile is zero. Never used for scores.

    Returns:
        The scaled map; zeros for a map of zeros.

    Raises:
        InputError: percentile outside (0, 100].
    """
    magnitude = np.abs(relevance)
    peak = float(magnitude.max())
    if percentile is not None:
        if not 0 < percentile <= 100:
            raise InputError("percentile", expected="in (0, 100]", got=repr(percentile))
        peak = float(np.percentile(magnitude, percentile)) or peak
    if peak == 0:
        return np.zeros_like(relevance)
    return np.clip(relevance / peak, -1, 1)


def blend(
    image: NDArray[Any],
    relevance: NDArray[Any],
    *,
    palette: str = "red_blue",
    percentile: float | None = None,
    grey: bool = False,
) -> NDArray[Any]:
    """Lay a map over one picture.

    Args:
        image: ``[height, width, 3]``, ``uint8`` or float in [0, 1].
        relevance: ``[height, width]``, any scale, signed or not.
        palette: a name in :data:`PALETTES`; ``orange_purple`` is safe for colour-blind readers.
        percentile: see :func:`display_scale`; off by default.
        grey: take the colour out of the picture first, so that only the map has colour.

    Returns:
        A picture of the same shape and dtype.

    Raises:
        InputError: shapes do not fit, or a value is not finite.
        UnknownNameError: unknown palette.

    Source:
        Blending with opacity equal to relevance, as in introductory saliency practicals.
    """
    original = np.asarray(image)
    pixels = as_pixels(original)
    colours = get_palette(palette)
    if np.issubdtype(original.dtype, np.floating):
        base = np.clip(original.astype(np.float64), 0, 1)
        if base.ndim == 2:
            base = np.repeat(base[..., None], 3, axis=2)
    else:
        base = pixels / 255.0
    if grey:
        base = np.repeat((base @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=2)
    height, width = pixels.shape[:2]
    strength = display_scale(as_map(relevance, shape=(height, width)), percentile=percentile)
    alpha = np.abs(strength)[..., None]
    colour = np.where(strength[..., None] >= 0, colours.positive, colours.negative)
    out = (1 - alpha) * base + alpha * colour
    if np.issubdtype(original.dtype, np.floating):
        return out.astype(original.dtype)
    return np.rint(out * 255).astype(np.uint8)


def grow(mask: Mask, radius: int) -> Mask:
    """Grow a mask by ``radius`` pixels in all eight directions (a square dilation)."""
    padded = np.pad(mask, radius)
    height, width = mask.shape
    rows = np.zeros((height, width + 2 * radius), dtype=bool)
    for shift in range(2 * radius + 1):
        rows |= padded[shift : shift + height]
    out = np.zeros_like(mask)
    for shift in range(2 * radius + 1):
        out |= rows[:, shift : shift + width]
    return out


def outline_region(mask: Mask) -> Mask:
    """Close the small gaps of a mask, with a margin, so that its outline is one readable shape.

    A cue made of stripes or letters would otherwise be a bundle of lines that hides what it marks.
    """
    radius = max(1, round(0.015 * max(mask.shape)))
    return grow(mask, radius)
