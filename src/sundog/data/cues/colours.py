"""One colour per class: ten well-known ones, then generated ones."""

from __future__ import annotations

import colorsys

CLASS_COLOURS = (
    (0.1215, 0.4666, 0.7058),
    (0.5490, 0.3372, 0.2941),
    (1.0000, 0.4980, 0.0549),
    (0.1725, 0.6274, 0.1725),
    (0.8392, 0.1529, 0.1568),
    (0.5803, 0.4039, 0.7411),
    (0.8901, 0.4666, 0.7607),
    (0.7372, 0.7411, 0.1333),
    (0.0901, 0.7450, 0.8117),
    (0.4980, 0.4980, 0.4980),
)
"""The practical's colours of classes 0 to 9 (red, green, blue in [0, 1])."""
_HUE_STEP = 0.7548776662466927
"""Inverse of the plastic number: with the saturations and values below, 1,000 colours differ by
more than one 8-bit step."""


def class_colour(code: int) -> tuple[float, float, float]:
    """Return the colour of a class: the table, then evenly spread hues.

    Generated colours also walk through three saturations and three values, so that many
    classes stay distinct.
    """
    if code < len(CLASS_COLOURS):
        return CLASS_COLOURS[code]
    step = code - len(CLASS_COLOURS)
    saturation = (1.0, 0.7, 0.45)[step % 3]
    value = (0.95, 0.7, 0.45)[step // 3 % 3]
    return colorsys.hsv_to_rgb((step + 0.5) * _HUE_STEP % 1.0, saturation, value)
