"""Pictures in rows, methods in columns, the deletion curves at the right."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.report.arrays import Pixels, as_pictures, check_count
from sundog.report.captions import KEY, Caption, captions
from sundog.report.curves import area, dress, legend_line, looks
from sundog.report.overlay import blend, meaning, scaled
from sundog.report.sheet import Sheet
from sundog.report.style import INK, MUTED, style

_EDGE, _NAME, _GAP = 0.15, 1.15, 0.07


def method_grid(
    images: Sequence[NDArray[Any]] | NDArray[Any],
    maps: Mapping[str, NDArray[Any]],
    *,
    predictions: NDArray[Any],
    probabilities: NDArray[Any],
    class_names: Sequence[str],
    labels: NDArray[Any] | None = None,
    curves: Mapping[str, NDArray[Any]] | None = None,
    fractions: NDArray[Any] | None = None,
    controls: Collection[str] = (),
    lower_is_better: bool = True,
    x_label: str = "pixels removed",
    palette: str = "red_blue",
    percentile: float | None = None,
    grey: bool = False,
    title: str = "",
    rows_per_page: int = 8,
    methods_per_page: int = 7,
    cell: float = 1.35,
) -> list[Figure]:
    """Draw every picture with the map of every method over it, and the curves beside.

    Args:
        images: pictures ``[height, width, 3]``, ``uint8`` or float in [0, 1].
        maps: method → maps ``[n, height, width]``, any scale; each map is scaled by its own
            largest magnitude for display.
        predictions: int ``[n]``.
        probabilities: float ``[n]`` in [0, 1], of the predicted class.
        class_names: all classes.
        labels: int ``[n]``; -1 or None where unknown.
        curves: method → probabilities ``[n, steps]``; may hold controls that have no map.
        fractions: float ``[steps]`` in [0, 1], share of pixels changed at each step; equal steps
            if not given.
        controls: names of rows that know nothing of the classifier; drawn in grey.
        lower_is_better: deletion True, insertion False; sorts the legend, best first.
        x_label: what changes along the curve.
        palette: colours of the overlay.
        percentile: display clipping; off by default.
        grey: draw the pictures in grey under the maps.
        title: one line at the top.
        rows_per_page: pictures on one figure, 1 to 10.
        methods_per_page: methods side by side on one figure, 1 to 8.
        cell: side of a picture in inches.

    Returns:
        One figure per page: first all rows of the first methods, then the next methods.

    Raises:
        InputError: counts or shapes differ, or no method.
    """
    pictures = as_pictures(images)
    if not maps:
        raise InputError("maps", expected="at least one method", got="none")
    for name, values in maps.items():
        check_count(f"maps of {name}", len(values), len(pictures))
    if not (1 <= rows_per_page <= 10 and 1 <= methods_per_page <= 8):
        raise InputError(
            "method grid",
            expected="of 1 to 10 rows and 1 to 8 methods per page",
            got=f"{rows_per_page} rows, {methods_per_page} methods",
        )
    check_count("predictions", len(predictions), len(pictures))
    words = captions(
        predictions=predictions,
        probabilities=probabilities,
        class_names=class_names,
        labels=labels,
    )
    steps = _steps(curves, fractions, len(pictures))
    names = list(maps)
    look = looks({name: name in controls for name in dict.fromkeys([*names, *(curves or {})])})
    note = f"{scaled(percentile)} {KEY[0].upper()}{KEY[1:]}."
    figures = []
    with style():
        for first_method in range(0, len(names), methods_per_page):
            chosen = names[first_method : first_method + methods_per_page]
            rest = [name for name in (curves or {}) if name not in maps]
            for first in range(0, len(pictures), rows_per_page):
                rows = range(first, min(first + rows_per_page, len(pictures)))
                legend = {
                    name: np.asarray((curves or {})[name], dtype=np.float64)
                    for name in [*chosen, *rest]
                    if name in (curves or {})
                }
                head = _EDGE + (0.3 if title else 0) + 0.42
                plot = 1.75 if legend else 0.0
                key = 2.0 if legend else 0.0
                grid = _EDGE + _NAME + (1 + len(chosen)) * (cell + _GAP)
                step = cell + 0.12
                width = grid + (0.45 + plot + key if legend else 0) + _EDGE
                foot = 0.55 + (0.16 if legend else 0)
                sheet = Sheet(width, head + len(rows) * step + foot)
                sheet.title(title)
                _headers(sheet, chosen, head=head, cell=cell)
                for place, index in enumerate(rows):
                    top = head + place * step
                    _row_name(sheet, words[index], top=top, cell=cell)
                    row: list[Pixels] = [pictures[index]]
                    row += [
                        blend(
                            pictures[index],
                            maps[name][index],
                            palette=palette,
                            percentile=percentile,
                            grey=grey,
                        )
                        for name in chosen
                    ]
                    for column, pixels in enumerate(row):
                        left = _EDGE + _NAME + column * (cell + _GAP)
                        sheet.picture(pixels, left, top, cell, cell)
                    if not legend:
                        continue
                    axes = sheet.axes(grid + 0.42, top + 0.04, plot, cell - 0.08)
                    for name, values in legend.items():
                        axes.plot(steps, values[index], **look[name])
                    last = place == len(rows) - 1
                    dress(axes, x_label=x_label if last else None, y_label=None, small=True)
                    _legend(
                        sheet,
                        {name: area(steps, values[index]) for name, values in legend.items()},
                        look,
                        lower_is_better=lower_is_better,
                        left=grid + 0.42 + plot + 0.12,
                        top=top + 0.02,
                        width=key - 0.12,
                        height=cell,
                    )
                if legend:
                    text, size = sheet.fit(
                        "probability of the predicted class", width=plot, size=8.5, lines=2
                    )
                    sheet.text(
                        text,
                        grid + 0.42 + plot / 2,
                        head - 0.08,
                        size=size,
                        align="center",
                        anchor="baseline",
                    )
                    better = "lower" if lower_is_better else "higher"
                    text, size = sheet.fit(
                        f"area under the curve ({better} is better)",
                        width=key - 0.12,
                        size=8.5,
                        lines=2,
                    )
                    sheet.text(text, grid + 0.54 + plot, head - 0.08, size=size, anchor="baseline")
                sheet.key(meaning(palette))
                sheet.note(note, lines=1)
                figures.append(sheet.figure)
    return figures


def _steps(
    curves: Mapping[str, NDArray[Any]] | None, fractions: NDArray[Any] | None, count: int
) -> NDArray[np.float64]:
    """Return the x positions of the curves after checking that all have the same shape."""
    if not curves:
        return np.zeros(0)
    shapes = {np.asarray(values).shape for values in curves.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2 or next(iter(shapes))[0] != count:
        raise InputError(
            "curves", expected=f"arrays [{count}, steps] of one shape", got=str(sorted(shapes))
        )
    steps = next(iter(shapes))[1]
    across = np.linspace(0, 1, steps) if fractions is None else np.asarray(fractions, np.float64)
    if across.shape != (steps,):
        raise InputError("fractions", expected=f"{steps} numbers", got=f"shape {across.shape}")
    return across


def _headers(sheet: Sheet, names: Sequence[str], *, head: float, cell: float) -> None:
    for column, name in enumerate(["image", *names]):
        text, size = sheet.fit(name.replace("_", " "), width=cell, size=9, lines=2, bold=column > 0)
        sheet.text(
            text,
            _EDGE + _NAME + column * (cell + _GAP) + cell / 2,
            head - 0.08,
            size=size,
            bold=column > 0,
            align="center",
            anchor="baseline",
            colour=INK if column else MUTED,
        )


def _row_name(sheet: Sheet, caption: Caption, *, top: float, cell: float) -> None:
    """Write label and prediction at the left of a row, each on at most two lines."""
    width = _NAME - 0.1
    middle = top + cell / 2
    if caption.label is not None:
        text, size = sheet.fit(caption.label, width=width, size=9, lines=2)
        sheet.text(text, _EDGE, middle - 0.08, size=size, anchor="bottom")
    text, size = sheet.fit(
        caption.prediction,
        width=width,
        size=9,
        lines=3,
        bold=True,
        before=caption.mark,
        after=f"  {caption.probability}",
    )
    sheet.text(text, _EDGE, middle, size=size, colour=caption.colour, bold=True)


def _legend(
    sheet: Sheet,
    areas: Mapping[str, float],
    look: Mapping[str, Mapping[str, Any]],
    *,
    lower_is_better: bool,
    left: float,
    top: float,
    width: float,
    height: float,
) -> None:
    order = sorted(areas, key=lambda name: areas[name] if lower_is_better else -areas[name])
    row = min(0.185, height / len(order))
    for place, name in enumerate(order):
        legend_line(
            sheet,
            name.replace("_", " "),
            areas[name],
            look[name],
            left=left,
            top=top + place * row,
            width=width,
            size=min(8.0, row * 44),
        )
