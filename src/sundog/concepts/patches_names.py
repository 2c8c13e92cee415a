"""Names and pictures by which a person knows a patch again."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from sundog.concepts.patches_learn import Patch
from sundog.concepts.patches_stamp import Stamp
from sundog.concepts.photometric_colours import COLOUR_NAMES, name_colours
from sundog.concepts.photometric_view import to_lab
from sundog.data.content import Pixels

PREVIEW = 96
"""Previews are enlarged to about so many pixels, without smoothing."""


def name_patch(patch: Patch, number: int) -> str:
    """Return e.g. ``patch 3: orange marks, lower right``.

    The colours are those of its pixels (at most two, the more frequent first), without those of
    the background. A stamp that fills its box is a ``block``, any other is ``marks``; a pattern
    at a fixed place is a ``print``.
    The place is left out where it differs from image to image.
    """
    kind = patch.kind
    if isinstance(kind, Stamp):
        marks = kind.offsets[: len(kind.offsets) - kind.ground]
        height, width = marks.max(axis=0) - marks.min(axis=0) + 1
        pixels = max(len(marks), kind.area)
        what = "block" if pixels >= 0.8 * height * width else "marks"
        colours = kind.colours[: len(marks)]
    else:
        what = "print"
        bright = kind.means.mean(axis=1) > 0
        colours = np.where(bright[:, None], np.uint8(255), np.uint8(0)).repeat(3, axis=1)
    where = "" if patch.scatter > 0.12 else f", {_place(patch.centre)}"
    return f"patch {number}: {_colours(colours)} {what}{where}"


def _colours(colours: UInt8[np.ndarray, "pixels 3"]) -> str:
    counts = np.bincount(name_colours(to_lab(colours[None])).ravel(), minlength=len(COLOUR_NAMES))
    order = np.argsort(-counts, kind="stable")
    names = [COLOUR_NAMES[i] for i in order[:2] if counts[i] >= 0.2 * counts.sum()]
    return " and ".join(names)


def _place(centre: tuple[float, float]) -> str:
    row = ("upper", "", "lower")[min(2, int(centre[0] * 3))]
    column = ("left", "", "right")[min(2, int(centre[1] * 3))]
    return " ".join(word for word in (row, column) if word) or "middle"


def preview(picture: Pixels) -> Pixels:
    """Return a picture enlarged by a whole factor, each pixel a square."""
    factor = max(1, PREVIEW // max(picture.shape[:2]))
    return np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))
