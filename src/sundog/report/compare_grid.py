"""The same pictures seen by two classifiers: their maps side by side, the cue outlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, withStroke
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.report.arrays import Mask, as_mask, as_pictures, check_count
from sundog.report.captions import Caption, captions, class_name
from sundog.report.overlay import blend, meaning, outline_region, scaled
from sundog.report.sheet import Sheet
from sundog.report.style import INK, MUTED, style

_EDGE, _NAME, _GAP, _BLOCK = 0.15, 1.2, 0.07, 0.2


@dataclass(frozen=True)
class ModelView:
    """What one classifier says of the pictures.

    Attributes:
        name: its run id, as in the tables.
        predictions: int ``[n]``.
        probabilities: float ``[n]`` in [0, 1], of the predicted class.
        maps: method → maps ``[n, height, width]``, of the class that this classifier predicts.
    """

    name: str
    predictions: NDArray[Any]
    probabilities: NDArray[Any]
    maps: Mapping[str, NDArray[Any]]


def compare_grid(
    images: Sequence[NDArray[Any]] | NDArray[Any],
    models: Sequence[ModelView],
    *,
    class_names: Sequence[str],
    labels: NDArray[Any] | None = None,
    cue_class: NDArray[Any] | None = None,
    masks: NDArray[Any] | None = None,
    palette: str = "red_blue",
    percentile: float | None = None,
    grey: bool = False,
    title: str = "",
    rows_per_page: int = 8,
    cell: float = 1.45,
) -> list[Figure]:
    """Draw each picture, then for every method the map of every model over it.

    Args:
        images: pictures ``[height, width, 3]``, ``uint8`` or float in [0, 1].
        models: two to four classifiers with the same methods; names must differ.
        class_names: all classes.
        labels: int ``[n]``; -1 or None where unknown.
        cue_class: int ``[n]``, the class that the planted cue stands for; -1 where there is none.
        masks: bool ``[n, height, width]``, where the cue is; outlined on every picture.
        palette: colours of the overlay.
        percentile: display clipping; off by default.
        grey: draw the pictures in grey under the maps.
        title: one line at the top.
        rows_per_page: pictures on one figure, 1 to 10.
        cell: side of a picture in inches.

    Returns:
        One figure per page.

    Raises:
        InputError: names repeat, methods or counts differ, or the page would be too wide.
    """
    pictures = as_pictures(images)
    methods = _checked(models, len(pictures))
    if not 1 <= rows_per_page <= 10:
        raise InputError("rows_per_page", expected="from 1 to 10", got=str(rows_per_page))
    for name, values in (("labels", labels), ("cue_class", cue_class), ("masks", masks)):
        if values is not None:
            check_count(name, len(values), len(pictures))
    words = [
        captions(
            predictions=model.predictions,
            probabilities=model.probabilities,
            class_names=class_names,
            labels=labels,
        )
        for model in models
    ]
    block = len(models) * (cell + _GAP) + _BLOCK
    grid_left = _EDGE + _NAME + cell + _BLOCK
    width = max(grid_left + len(methods) * block - _BLOCK + _EDGE, 6.6)
    head, step = _EDGE + (0.3 if title else 0) + 0.7, cell + 0.32
    figures = []
    with style():
        for first in range(0, len(pictures), rows_per_page):
            rows = range(first, min(first + rows_per_page, len(pictures)))
            sheet = Sheet(width, head + len(rows) * step + 0.55)
            sheet.title(title)
            _headers(sheet, methods, models, head=head, left=grid_left, cell=cell, block=block)
            for place, index in enumerate(rows):
                top = head + place * step
                height, wide = pictures[index].shape[:2]
                mask = None if masks is None else as_mask(masks[index], shape=(height, wide))
                cue = -1 if cue_class is None else int(cue_class[index])
                _row_name(
                    sheet,
                    words[0][index].label,
                    class_name(cue, class_names) if cue >= 0 else None,
                    top=top,
                    cell=cell,
                )
                _outlined(sheet.picture(pictures[index], _EDGE + _NAME, top, cell, cell), mask)
                for column, method in enumerate(methods):
                    for which, model in enumerate(models):
                        left = grid_left + column * block + which * (cell + _GAP)
                        over = blend(
                            pictures[index],
                            model.maps[method][index],
                            palette=palette,
                            percentile=percentile,
                            grey=grey,
                        )
                        _outlined(sheet.picture(over, left, top, cell, cell), mask)
                        _prediction(sheet, words[which][index], left=left, top=top, cell=cell)
            sheet.key(meaning(palette))
            outlined = "" if masks is None else "Dashed outline: where the cue is. "
            sheet.note(
                f"{outlined}{scaled(percentile)} "
                "Under each map: what that model predicts, ✓ right, ✗ wrong.",
                lines=1,
            )
            figures.append(sheet.figure)
    return figures


def _checked(models: Sequence[ModelView], count: int) -> list[str]:
    """Return the methods that all models share, after checking the models."""
    names = [model.name for model in models]
    if not 2 <= len(models) <= 4 or len(set(names)) != len(names):
        raise InputError(
            "models", expected="two to four with different names", got=f"{len(names)} named {names}"
        )
    methods = list(models[0].maps)
    for model in models:
        check_count(f"predictions of {model.name}", len(model.predictions), count)
        if set(model.maps) != set(methods) or not methods:
            raise InputError(
                "maps",
                expected="of the same methods for every model",
                got=f"{sorted(methods)} and {sorted(model.maps)}",
            )
        for method, values in model.maps.items():
            check_count(f"{method} maps of {model.name}", len(values), count)
    return methods


def _headers(
    sheet: Sheet,
    methods: Sequence[str],
    models: Sequence[ModelView],
    *,
    head: float,
    left: float,
    cell: float,
    block: float,
) -> None:
    """Write the method over its group with a rule, and the model over each column."""
    sheet.text(
        "image",
        _EDGE + _NAME + cell / 2,
        head - 0.08,
        size=9,
        colour=MUTED,
        align="center",
        anchor="baseline",
    )
    for column, method in enumerate(methods):
        start = left + column * block
        group = block - _BLOCK - _GAP
        text, size = sheet.fit(method.replace("_", " "), width=group, size=10, bold=True)
        sheet.text(
            text,
            start + group / 2,
            head - 0.5,
            size=size,
            bold=True,
            align="center",
            anchor="baseline",
        )
        sheet.line(start, head - 0.42, start + group, color=MUTED, linewidth=0.7)
        for which, model in enumerate(models):
            text, size = sheet.fit(model.name, width=cell, size=9, lines=2)
            sheet.text(
                text,
                start + which * (cell + _GAP) + cell / 2,
                head - 0.08,
                size=size,
                align="center",
                anchor="baseline",
            )


def _row_name(sheet: Sheet, label: str | None, cue: str | None, *, top: float, cell: float) -> None:
    """Write the label and the class of the cue at the left of a row."""
    middle = top + cell / 2
    parts = [("label", label), ("cue of", cue)]
    shown = [(kind, value) for kind, value in parts if value is not None]
    top = middle - 0.25 * len(shown)
    for kind, value in shown:
        sheet.text(kind, _EDGE, top, size=7.5, colour=MUTED)
        text, size = sheet.fit(value, width=_NAME - 0.12, size=9, lines=2, bold=True)
        sheet.text(text, _EDGE, top + 0.13, size=size, bold=True, colour=INK)
        top += 0.5


def _prediction(sheet: Sheet, caption: Caption, *, left: float, top: float, cell: float) -> None:
    text, size = sheet.fit(
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
        top + cell + 0.15,
        size=size,
        bold=True,
        colour=caption.colour,
        align="center",
        anchor="baseline",
    )


def _outlined(axes: Axes, mask: Mask | None) -> None:
    """Draw the outline of a mask, white under black, so that it shows on any picture."""
    if mask is None or not mask.any():
        return
    region = np.pad(outline_region(mask), 1).astype(float)
    height, width = mask.shape
    x = np.clip(np.arange(-1, width + 1), -0.4, width - 0.6)
    y = np.clip(np.arange(-1, height + 1), -0.4, height - 0.6)
    drawn = axes.contour(
        x, y, region, levels=[0.5], colors="black", linewidths=1.0, linestyles="dashed"
    )
    drawn.set_path_effects([withStroke(linewidth=2.4, foreground="white"), Normal()])
