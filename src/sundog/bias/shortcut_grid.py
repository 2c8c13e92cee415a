"""The candidates that need no hint: windows, strips, frames, surrounds, whole-image properties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sundog.bias.shortcut_candidate import MARGINS, SMALL, Candidate
from sundog.data.components.component import Component

LARGEST, LARGEST_PRINT = 1 / 16, 1 / 6
"""A window with a larger share of the image is no candidate, unless it is filled with print."""
CAST_AREA = 0.8
"""The cast is part of the colour: the narrower account, if it pulls about as much."""
Box = tuple[float, float, float, float]
"""(top, left, height, width) as shares of the image."""


def window(box: Box, *, printed: bool = False) -> Candidate:
    """Return the candidate of a box; a larger one with ordinary content may hold a decisive piece
    of the object, such as the eyes of a face, and must pull more than one that is printed.
    """
    top, left, tall, wide = box
    area = tall * wide
    return Candidate(
        name=f"{_shape(tall, wide)}, {place(box)}",
        margin=MARGINS["part" if area <= SMALL else "printed" if printed else "large"],
        component=Component(
            "window",
            {
                "top": round(top, 6),
                "left": round(left, 6),
                "tall": round(tall, 6),
                "wide": round(wide, 6),
            },
        ),
        family="window",
        area=area,
    )


def coarse_windows() -> list[Candidate]:
    """Return 49 windows of a quarter of each side, half overlapping, and 16 strips."""
    steps = np.arange(7) / 8
    found = [window((float(y), float(x), 0.25, 0.25)) for y in steps for x in steps]
    found += [window((i / 8, 0.0, 1 / 8, 1.0)) for i in range(8)]
    found += [window((0.0, i / 8, 1.0, 1 / 8)) for i in range(8)]
    return found


def inner_windows(box: Box) -> list[Candidate]:
    """Return nine windows of half the sides of a box, half overlapping."""
    top, left, tall, wide = box
    return [
        window((top + i * tall / 4, left + j * wide / 4, tall / 2, wide / 2))
        for i in range(3)
        for j in range(3)
    ]


def whole_candidates() -> list[Candidate]:
    """Return frames, surrounds and properties of the whole image."""
    found = [
        Candidate(
            name=f"frame of {share:.0%} of the side",
            margin=MARGINS["part"],
            component=Component("frame", {"thick": share}),
            family="frame",
            area=1 - (1 - 2 * share) ** 2,
        )
        for share in (0.03, 0.06, 0.12)
    ]
    found += [
        Candidate(
            name=f"surround of the middle {keep:.0%}",
            margin=MARGINS["part"],
            component=Component("surround", {"keep": keep}),
            family="surround",
            area=1 - np.pi / 4 * min(keep, 1.0) ** 2,
        )
        for keep in (0.85, 1.0)
    ]
    words = {
        "colour": "colour cast or brightness",
        "cast": "colour cast",
        "illumination": "gradient of light",
        "detail": "blur, noise or fine texture",
        "compression": "JPEG compression",
        "placement": "place of the content",
    }
    found += [
        Candidate(
            name=text,
            margin=MARGINS[family],
            component=Component(family, {}),
            family=family,
            area=CAST_AREA if family == "cast" else 1.0,
        )
        for family, text in words.items()
    ]
    return found


def may_claim(candidate: Candidate, *, filled: bool = False) -> bool:
    """Return whether a window may become a claim: a larger one holds a piece of the object.

    Args:
        candidate: a window.
        filled: whether a class repeats most of its pixels.
    """
    return candidate.area <= (LARGEST_PRINT if filled else LARGEST) + 1e-9


def box_of(candidate: Candidate) -> Box | None:
    """Return the box of a window, None for other components."""
    if candidate.component is None or candidate.component.family != "window":
        return None
    given = candidate.component.parameters
    return given["top"], given["left"], given["tall"], given["wide"]


def overlap(first: Box, second: Box) -> float:
    """Return intersection over the smaller area, in [0, 1]."""
    tall = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    wide = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    smaller = min(first[2] * first[3], second[2] * second[3])
    return max(0.0, tall) * max(0.0, wide) / max(smaller, 1e-12)


def place(box: Box) -> str:
    """Return where a box lies, in words: ``upper left``, ``middle``, ``lower right``."""
    y, x = box[0] + box[2] / 2, box[1] + box[3] / 2
    row = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else "middle"
    column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "middle"
    return row if row == column else " ".join((row, column)).replace("middle middle", "middle")


def _shape(tall: float, wide: float) -> str:
    if wide > 0.9 and tall < 0.5:
        return "horizontal strip"
    if tall > 0.9 and wide < 0.5:
        return "vertical strip"
    return "patch"


def spread_apart(boxes: Sequence[Box], *, most: int) -> list[int]:
    """Return the positions of the first boxes that do not overlap an earlier one by half."""
    kept: list[int] = []
    for index, box in enumerate(boxes):
        if all(overlap(box, boxes[other]) <= 0.5 for other in kept):
            kept.append(index)
        if len(kept) == most:
            break
    return kept
