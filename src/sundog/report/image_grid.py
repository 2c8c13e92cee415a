"""A grid of pictures, each with its label, its prediction and the probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.report.arrays import as_pictures, check_count
from sundog.report.captions import KEY, captions
from sundog.report.overlay import blend
from sundog.report.sheet import Sheet
from sundog.report.style import INK, style


def image_grid(
    images: Sequence[NDArray[Any]] | NDArray[Any],
    *,
    predictions: NDArray[Any],
    probabilities: NDArray[Any],
    class_names: Sequence[str],
    labels: NDArray[Any] | None = None,
    maps: NDArray[Any] | None = None,
    palette: str = "red_blue",
    percentile: float | None = None,
    title: str = "",
    columns: int = 4,
    per_page: int = 24,
    cell: float = 1.7,
) -> list[Figure]:
    """Draw pictures in a grid; above each its label, below it the prediction and its probability.

    Args:
        images: pictures ``[height, width, 3]``, ``uint8`` or float in [0, 1]; sizes may differ.
        predictions: int ``[n]``, index of the predicted class.
        probabilities: float ``[n]`` in [0, 1], of the predicted class.
        class_names: all classes.
        labels: int ``[n]``; -1 or None where unknown (then blue, with no mark).
        maps: one map per picture ``[height, width]`` to lay over it.
        palette: colours of the overlay, see :data:`~sundog.report.overlay.PALETTES`.
        percentile: display clipping of the overlay; off by default.
        title: one line at the top.
        columns: pictures in a row, 1 to 8.
        per_page: pictures on one figure, at least 1.
        cell: side of a picture in inches.

    Returns:
        One figure per page; green ✓ is right, red ✗ is wrong.

    Raises:
        InputError: counts differ, or a picture, map or index is not usable.
    """
    pictures = as_pictures(images)
    check_count("predictions", len(predictions), len(pictures))
    if maps is not None:
        check_count("maps", len(maps), len(pictures))
        pictures = [
            blend(picture, relevance, palette=palette, percentile=percentile)
            for picture, relevance in zip(pictures, maps, strict=True)
        ]
    if not 1 <= columns <= 8 or per_page < 1:
        raise InputError(
            "image grid",
            expected="of 1 to 8 columns and at least one picture per page",
            got=f"{columns} columns, {per_page} per page",
        )
    words = captions(
        predictions=predictions,
        probabilities=probabilities,
        class_names=class_names,
        labels=labels,
    )
    columns = min(columns, len(pictures))
    gap, edge, line = 0.16, 0.15, 0.2
    head = edge + (0.32 if title else 0)
    step = cell + 2 * line + 0.14
    rows_per_page = min(max(1, -(-per_page // columns)), int((19 - head) // step))
    size = rows_per_page * columns
    figures = []
    with style():
        for first in range(0, len(pictures), size):
            shown = range(first, min(first + size, len(pictures)))
            rows = -(-len(shown) // columns)
            sheet = Sheet(
                max(2 * edge + columns * cell + (columns - 1) * gap, 3.2), head + rows * step + 0.34
            )
            sheet.title(title)
            for place, index in enumerate(shown):
                left = edge + (place % columns) * (cell + gap)
                top = head + (place // columns) * step
                caption = words[index]
                if caption.label is not None:
                    text, points = sheet.fit(caption.label, width=cell, size=8.5)
                    sheet.text(
                        text,
                        left + cell / 2,
                        top + line - 0.06,
                        size=points,
                        colour=INK,
                        align="center",
                        anchor="baseline",
                    )
                sheet.picture(pictures[index], left, top + line, cell, cell)
                text, points = sheet.fit(
                    caption.prediction,
                    width=cell,
                    size=8.5,
                    bold=True,
                    before=caption.mark,
                    after=f"  {caption.probability}",
                )
                sheet.text(
                    text,
                    left + cell / 2,
                    top + line + cell + 0.15,
                    size=points,
                    colour=caption.colour,
                    bold=True,
                    align="center",
                    anchor="baseline",
                )
            known = labels is not None and bool((np.asarray(labels) != -1).any())
            sheet.note(
                f"Above: label. Below: prediction; {KEY}."
                if known
                else "Below each picture: prediction and its probability (no label).",
                lines=2,
            )
            figures.append(sheet.figure)
    return figures
