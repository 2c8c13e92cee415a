"""Two montages side by side: the images at one end of a score, and those at the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from sundog.core.errors import InputError
from sundog.report.arrays import Pixels, as_pixels
from sundog.report.risk_content import Tile
from sundog.report.sheet import Sheet
from sundog.report.style import DPI, MUTED, RIGHT, UNKNOWN, WRONG, style

EDGE, GAP, BETWEEN = 0.12, 0.08, 0.42
_LOOKS = {True: ("✓ ", RIGHT), False: ("✗ ", WRONG), None: ("", UNKNOWN)}


def montage_figure(
    montages: Sequence[tuple[str, Sequence[Tile]]],
    *,
    columns: int = 5,
    rows: int = 5,
    cell: float = 0.97,
    digits: int = 3,
    title: str = "",
) -> Figure:
    """Draw montages side by side, each with its own heading.

    Args:
        montages: (heading, tiles); at most ``rows * columns`` tiles of each are drawn, in order,
            and the heading says how many. One without tiles says so.
        columns: images per row of a montage.
        rows: at most this many rows.
        cell: side of an image in inches.
        digits: significant digits of the largest score; the others have as many decimals.
        title: one line at the top.

    Returns:
        One figure; below each image ✓ or ✗ with the predicted class, then the label if it
        differs, then the score.

    Raises:
        InputError: no montage, or too many columns for a page.
    """
    if not montages or columns < 1 or rows < 1:
        raise InputError("montages", expected="at least one, of one column and row", got="less")
    drawn = [list(tiles)[: rows * columns] for _, tiles in montages]
    tall = max(1, max(math.ceil(len(tiles) / columns) for tiles in drawn))
    wide = columns * (cell + GAP) - GAP
    head = (0.42 if title else 0.1) + 0.3
    # Three lines of words where a label differs from its prediction, two elsewhere.
    below = 0.52 if any(tile.correct is False for tiles in drawn for tile in tiles) else 0.38
    step = cell + below
    with style():
        sheet = Sheet(
            2 * EDGE + len(montages) * (wide + BETWEEN) - BETWEEN, head + tall * step + 0.1
        )
        sheet.title(title, left=EDGE)
        for number, ((words, tiles), shown) in enumerate(zip(montages, drawn, strict=True)):
            left = EDGE + number * (wide + BETWEEN)
            count = f" (first {len(shown)} of {len(tiles)})" if len(shown) < len(tiles) else ""
            text, size = sheet.fit(f"{words}{count}", width=wide, size=10, bold=True)
            sheet.text(text, left, head - 0.27, size=size, bold=True)
            if not shown:
                sheet.text("no image", left, head + 0.1, colour=MUTED)
                continue
            lines = math.ceil(len(shown) / columns)
            padded = [*[t.pixels for t in shown], *[None] * (lines * columns - len(shown))]
            grid = [padded[row * columns : (row + 1) * columns] for row in range(lines)]
            box = sheet.axes(left, head, wide, lines * step - below)
            box.imshow(
                paste(grid, side=cell, gap=GAP, below=below, blank=(255, 255, 255)), aspect="auto"
            )
            box.set_axis_off()
            for place, tile in enumerate(shown):
                at = left + (place % columns) * (cell + GAP) + cell / 2
                down = head + (place // columns) * step + cell
                _caption(sheet, tile, at, down, cell, decimals([t.score for t in shown], digits))
    return sheet.figure


def paste(
    grid: Sequence[Sequence[NDArray[Any] | None]],
    *,
    side: float,
    gap: float,
    below: float,
    blank: tuple[int, int, int] = (226, 230, 234),
) -> Pixels:
    """Return rows of pictures as one picture, each centred in its square (in inches).

    One picture is many times faster to draw than one for each image. Pictures under 64 pixels keep
    their pixels, larger ones are smoothed; None is left blank.
    """
    across, down = max(len(row) for row in grid), len(grid)
    box = max(1, round(side * DPI))
    xs = [round(i * (side + gap) * DPI) for i in range(across)]
    ys = [round(i * (side + below) * DPI) for i in range(down)]
    page = Image.new("RGB", (xs[-1] + box, ys[-1] + box), "white")
    for top, row in zip(ys, grid, strict=True):
        for left, pixels in zip(xs, row, strict=False):
            if pixels is None:
                page.paste(Image.new("RGB", (box, box), blank), (left, top))
                continue
            array = np.asarray(pixels)
            grey = array.ndim == 3 and array.shape[2] == 1
            image = Image.fromarray(as_pixels(array[..., 0] if grey else array))
            scale = box / max(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            kind = Image.Resampling.NEAREST if max(image.size) < 64 else Image.Resampling.LANCZOS
            image = image.resize(size, kind)
            page.paste(image, (left + (box - size[0]) // 2, top + (box - size[1]) // 2))
    return np.asarray(page)


def _caption(
    sheet: Sheet, tile: Tile, middle: float, top: float, width: float, places: int
) -> None:
    mark, colour = _LOOKS[tile.correct]
    text, size = sheet.fit(
        tile.predicted or tile.label or "no label", width=width, size=7.5, smallest=6, before=mark
    )
    sheet.text(
        text, middle, top + 0.13, size=size, colour=colour, align="center", anchor="baseline"
    )
    lines = [f"is {tile.label}"] if tile.correct is False else []
    lines += [] if math.isnan(tile.score) else [number(tile.score, places)]
    for line, words in enumerate(lines):
        text, size = sheet.fit(words, width=width, size=7, smallest=6)
        sheet.text(
            text, middle, top + 0.265 + 0.135 * line, size=size, colour=MUTED, align="center",
            anchor="baseline",
        )  # fmt: skip


def decimals(values: Sequence[float], digits: int = 3) -> int:
    """Return how many decimals show this many significant digits of the largest value."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=1.0)
    return min(max(0, digits - 1 - math.floor(math.log10(largest))), 9) if largest else 1


def number(value: float, places: int) -> str:
    """Write a score with this many decimals and a real minus sign; tiny ones as 1.2e−09."""
    if not math.isfinite(value):
        return "∞" if value > 0 else ("−∞" if value < 0 else "–")
    text = f"{value:,.{places}f}" if places < 7 else f"{value:.1e}"
    return text.replace("-", "−")
