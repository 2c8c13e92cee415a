"""Strips of pictures: images with a concept above images without it, wrong predictions marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from sundog.core.errors import InputError
from sundog.report.arrays import Pixels, as_pixels
from sundog.report.sheet import Sheet
from sundog.report.style import DPI, MUTED, RIGHT, WRONG, style

_MARKS = {True: ("✓ ", RIGHT), False: ("✗ ", WRONG), None: ("", MUTED)}


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture of a strip.

    Attributes:
        pixels: the picture.
        predicted: words below it: what was predicted, or any name.
        correct: whether that is the label; None: not a prediction, no mark.
    """

    pixels: NDArray[Any]
    predicted: str
    correct: bool | None


@dataclass(frozen=True, eq=False)
class Strip:
    """A row of pictures with a title; an empty row says so."""

    title: str
    shots: Sequence[Shot]


def strips_figure(strips: Sequence[Strip], *, cell: float = 1.15, columns: int = 8) -> Figure:
    """Draw strips one below the other, at most ``columns`` pictures each.

    Args:
        strips: at least one.
        cell: side of a picture in inches.
        columns: pictures per strip, 1 to 12.

    Returns:
        One figure; below each picture ✓ or ✗ and the predicted class.

    Raises:
        InputError: no strip, or a bad number of columns.
    """
    if not strips or not 1 <= columns <= 12:
        raise InputError("strips", expected="at least one, of 1 to 12 columns", got="other")
    widest = max(max((len(s.shots[:columns]) for s in strips), default=1), 4)
    gap, edge, head, foot = 0.1, 0.12, 0.24, 0.24
    step = head + cell + foot
    with style():
        sheet = Sheet(2 * edge + widest * (cell + gap) - gap, edge + len(strips) * step)
        for row, strip in enumerate(strips):
            top = edge + row * step
            text, size = sheet.fit(strip.title, width=sheet.width - 2 * edge, size=9, bold=True)
            sheet.text(text, edge, top, size=size, bold=True)
            if not strip.shots:
                sheet.text("no image", edge, top + head + 0.1, colour=MUTED)
            shots = strip.shots[:columns]
            if shots:
                wide = len(shots) * (cell + gap) - gap
                box = sheet.axes(edge, top + head - 0.02, wide, cell)
                box.imshow(_row(shots, cell=cell, gap=gap), aspect="auto")
                box.set_axis_off()
            for place, shot in enumerate(shots):
                mark, colour = _MARKS[shot.correct]
                text, size = sheet.fit(shot.predicted, width=cell, size=7.5, before=mark)
                sheet.text(
                    text,
                    edge + place * (cell + gap) + cell / 2,
                    top + head + cell + 0.12,
                    size=size,
                    colour=colour,
                    align="center",
                    anchor="baseline",
                )
    return sheet.figure


def _row(shots: Sequence[Shot], *, cell: float, gap: float) -> Pixels:
    """Return the pictures of a strip side by side on white, each centred in its square.

    One picture for a strip is many times faster to draw than one for each image.
    """
    side, space = round(cell * DPI), round(gap * DPI)
    row = Image.new("RGB", (len(shots) * (side + space) - space, side), "white")
    for place, shot in enumerate(shots):
        image = Image.fromarray(as_pixels(shot.pixels))
        scale = side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        kind = Image.Resampling.NEAREST if max(image.size) < 64 else Image.Resampling.LANCZOS
        image = image.resize(size, kind)
        left = place * (side + space) + (side - size[0]) // 2
        row.paste(image, (left, (side - size[1]) // 2))
    return np.asarray(row)
