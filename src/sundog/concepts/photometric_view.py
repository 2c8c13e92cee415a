"""The reduced copy of an image, in CIELAB, on which its photometric measures are taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import Image as Pillow

from sundog.data.content import Pixels

LONGER_SIDE = 256
"""Images are reduced to so many pixels before measuring, so that measures do not depend on the
resolution above it; smaller ones stay as they are."""

_CODES = np.arange(256) / 255
_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_RGB_TO_RELATIVE = (_RGB_TO_XYZ / _WHITE).T.astype(np.float32)

Lab = Float32[np.ndarray, "height width 3"]


@dataclass(frozen=True, eq=False)
class View:
    """An image as the measures see it.

    Attributes:
        pixels: the image at its own size, ``uint8[height, width, 3]``.
        lab: its reduced copy: L* in 0..100, a* (green to red), b* (blue to yellow).
    """

    pixels: Pixels
    lab: Lab

    @property
    def lightness(self) -> Float32[np.ndarray, "height width"]:
        """L* / 100, in [0, 1]."""
        return self.lab[:, :, 0] / 100

    @property
    def chroma(self) -> Float32[np.ndarray, "height width"]:
        """C* = sqrt(a*^2 + b*^2); 0 for grey, 134 for the purest blue of sRGB."""
        return np.hypot(self.lab[:, :, 1], self.lab[:, :, 2])


def view_image(pixels: Pixels) -> View:
    """Reduce an image by area averaging to 256 pixels at its longer side, and convert it."""
    height, width = pixels.shape[:2]
    reduced = pixels
    longer = max(height, width)
    if longer > LONGER_SIDE:
        size = [max(1, round(side * LONGER_SIDE / longer)) for side in (width, height)]
        picture = Pillow.fromarray(pixels).resize((size[0], size[1]), Pillow.Resampling.BOX)
        reduced = np.asarray(picture)
    return View(pixels=pixels, lab=to_lab(reduced))


def to_lab(pixels: Pixels) -> Lab:
    """Return CIELAB of sRGB bytes, white point D65 (r = g = b gives a* = b* = 0).

    ``L* = 116 f(Y) - 16, a* = 500 (f(X) - f(Y)), b* = 200 (f(Y) - f(Z))`` with X, Y, Z relative to
    white and ``f(t) = cbrt(t)`` above ``(6 / 29)^3``, linear below.

    Source: CIE 15:2004; IEC 61966-2-1 for sRGB.
    """
    relative = _LINEAR[pixels] @ _RGB_TO_RELATIVE
    bent = np.where(
        relative > (6 / 29) ** 3,
        np.cbrt(relative),
        relative * np.float32((29 / 6) ** 2 / 3) + np.float32(4 / 29),
    )
    x, y, z = bent[:, :, 0], bent[:, :, 1], bent[:, :, 2]
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)
    return lab.astype(np.float32, copy=False)
