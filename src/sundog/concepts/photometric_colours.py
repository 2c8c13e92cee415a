"""Twelve colour names in CIELAB, and the share of an image that has each.

A pixel gets the first name whose range it lies in (L* lightness, C* chroma, h hue angle in
degrees, ``h = atan2(b*, a*)``):

====== ====================================================================
name   range
====== ====================================================================
black  L* < 8, or L* < 20 and C* < 20
white  L* >= 85 and C* < 10
grey   C* < 10
pink   345 <= h < 50 and L* >= 65; 345 <= h < 15 and L* >= 50
brown  15 <= h < 50, L* < 55, C* < 42; 50 <= h < 85 outside orange, L* < 85;
       85 <= h < 100 and L* < 45
red    345 <= h < 50
orange 50 <= h < 78, L* >= 55 and C* >= 45
yellow 50 <= h < 112
green  112 <= h < 170
cyan   170 <= h < 225
blue   225 <= h < 308
purple 308 <= h < 345
====== ====================================================================

Skin and wood are brown. The limits were set on the CSS colours of these names.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from sundog.concepts.photometric_view import Lab

COLOUR_NAMES = (
    *("black", "white", "grey", "pink", "brown", "red"),
    *("orange", "yellow", "green", "cyan", "blue", "purple"),
)


def name_colours(lab: Lab) -> Int64[np.ndarray, "height width"]:
    """Return the position in :data:`COLOUR_NAMES` of each pixel's colour."""
    light, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
    from_red = (hue - 345) % 360  # 0 where red begins, 65 where orange does
    reddish = from_red < 65
    warm = (hue >= 50) & (hue < 85)
    orange = (hue >= 50) & (hue < 78) & (light >= 55) & (chroma >= 45)
    brown = (
        ((hue >= 15) & (hue < 50) & (light < 55) & (chroma < 42))
        | (warm & ~orange & (light < 85))
        | ((hue >= 85) & (hue < 100) & (light < 45))
    )
    return np.select(
        [
            (light < 8) | ((light < 20) & (chroma < 20)),
            (light >= 85) & (chroma < 10),
            chroma < 10,
            (reddish & (light >= 65)) | ((from_red < 30) & (light >= 50)),
            brown,
            reddish,
            orange,
            (hue >= 50) & (hue < 112),
            (hue >= 112) & (hue < 170),
            (hue >= 170) & (hue < 225),
            (hue >= 225) & (hue < 308),
        ],
        list(range(11)),
        default=11,
    ).astype(np.int64)


def colour_shares(lab: Lab) -> dict[str, float]:
    """Return the share of the pixels, in [0, 1], that has each colour; the shares sum to 1."""
    counts = np.bincount(name_colours(lab).ravel(), minlength=len(COLOUR_NAMES))
    total = int(counts.sum())
    return {name: int(c) / total for name, c in zip(COLOUR_NAMES, counts, strict=True)}
