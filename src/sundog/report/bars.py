"""Mean scores as bars with 95 % intervals, and paired differences as a forest plot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.report.sheet import Sheet
from sundog.report.style import COLOURS, FAINT, INK, MUTED, style

_ROW, _LARGEST, _PLOT = 0.3, 50, 3.8


def bar_figure(
    table: pd.DataFrame,
    *,
    score: str = "mean deletion score",
    lower_is_better: bool | None = True,
    reference: float | None = None,
    reference_name: str = "",
    title: str = "",
    note: str = "",
    digits: int = 3,
) -> Figure:
    """Draw one bar per method with its interval, best at the top, controls hatched.

    Args:
        table: columns ``method`` (text), ``mean``, ``low``, ``high`` (the interval of the mean, not
            the standard deviation of the images); optional ``control`` (bool: a row that knows
            nothing of the classifier) and ``n``. At most 50 rows.
        score: what the bars are.
        lower_is_better: the direction, written in the axis label; sorts the bars. None: neither is
            better, largest first.
        reference: a value to mark with a dotted line, for instance chance.
        reference_name: its name.
        title: one line at the top.
        note: small print; n and the kind of interval are added.
        digits: decimals of the printed numbers.

    Returns:
        One figure.

    Raises:
        InputError: a column is missing, a value is not finite, or ``low <= mean <= high`` fails.
    """
    rows = _checked(table, ["method", "mean", "low", "high"])
    rows = rows.sort_values("mean", ascending=bool(lower_is_better), kind="stable")
    control = rows["control"].to_numpy(bool) if "control" in rows else np.zeros(len(rows), bool)
    with style():
        sheet, axes = _open(rows["method"].tolist(), title=title, values=1.6)
        for place, (row, is_control) in enumerate(zip(rows.itertuples(), control, strict=True)):
            mean, low, high = float(row.mean), float(row.low), float(row.high)  # type: ignore[arg-type]
            axes.barh(
                place,
                mean,
                height=0.66,
                color="#eef0f2" if is_control else "#7fb2d9",
                edgecolor=MUTED if is_control else COLOURS[0],
                linewidth=0.8,
                hatch="/////" if is_control else None,
            )
            _whisker(axes, place, low, high, colour=INK)
            _value(axes, place, f"{mean:.{digits}f}", f"[{low:.{digits}f}, {high:.{digits}f}]")
        edge = [0.0, *rows["low"], *rows["high"], *([] if reference is None else [reference])]
        margin = 0.04 * (max(edge) - min(edge) or 1)
        axes.set_xlim(min(edge) - (margin if min(edge) < 0 else 0), max(edge) + margin)
        if reference is not None:
            axes.axvline(reference, color=INK, linewidth=1, linestyle=(0, (1.5, 1.5)))
            axes.text(reference, -0.62, reference_name, fontsize=8, ha="center", va="bottom")
        directions = {True: "  (lower is better)", False: "  (higher is better)", None: ""}
        axes.set_xlabel(f"{score}{directions[lower_is_better]}", fontsize=9)
        sheet.note(_note(rows, note, controls=bool(control.any())), lines=2)
    return sheet.figure


def forest_figure(
    table: pd.DataFrame,
    *,
    score: str = "difference in deletion score",
    left_means: str = "",
    right_means: str = "",
    title: str = "",
    note: str = "",
    digits: int = 3,
) -> Figure:
    """Draw paired differences with their intervals against a line at zero.

    Args:
        table: columns ``comparison`` (for instance ``A − B``), ``difference``, ``low``, ``high``;
            optional ``p`` (corrected p-value, printed) and ``n``. At most 50 rows, drawn in order.
        score: what differs.
        left_means: what a negative difference means, for instance ``A better``.
        right_means: what a positive difference means.
        title: one line at the top.
        note: small print; n and the kind of interval are added.
        digits: decimals of the printed numbers.

    Returns:
        One figure; filled marks are intervals that leave zero out, open marks hold it.

    Raises:
        InputError: a column is missing, a value is not finite, or the interval does not hold the
            difference.
    """
    rows = _checked(table, ["comparison", "difference", "low", "high"])
    with style():
        has_p = "p" in rows
        sheet, axes = _open(
            rows["comparison"].tolist(),
            title=title,
            values=2.7 if has_p else 2.0,
            more=0.22,
            left=2.9,
        )
        reach = float(np.abs(rows[["low", "high"]].to_numpy(float)).max()) or 1.0
        axes.set_xlim(-1.1 * reach, 1.1 * reach)
        axes.axvline(0, color=INK, linewidth=0.9)
        for place, row in enumerate(rows.to_dict("records")):
            value, low, high = (float(row[name]) for name in ("difference", "low", "high"))
            clear = low > 0 or high < 0
            colour = COLOURS[0] if clear else MUTED
            _whisker(axes, place, low, high, colour=colour, width=1.5)
            fill = colour if clear else "white"
            axes.plot(
                [value],
                [place],
                marker="o",
                markersize=6,
                color=colour,
                markerfacecolor=fill,
                markeredgewidth=1.3,
            )
            numbers = f"[{low:+.{digits}f}, {high:+.{digits}f}]".replace("-", "−")
            if has_p:
                numbers += f"   {p_text(float(row['p']))}"
            _value(axes, place, f"{value:+.{digits}f}".replace("-", "−"), numbers)
        axes.set_xlabel(score, fontsize=9)
        bounds = axes.get_position()
        below = sheet.height * (1 - bounds.y0) + 0.62
        half = sheet.width * bounds.width / 2
        for words, start, align in (
            (left_means, bounds.x0, "left"),
            (right_means, bounds.x1, "right"),
        ):
            if words:
                text, size = sheet.fit(
                    words,
                    width=half - 0.1,
                    size=8.5,
                    before="◂ " if align == "left" else "",
                    after=" ▸" if align == "right" else "",
                )
                sheet.text(
                    text,
                    start * sheet.width,
                    below,
                    size=size,
                    align=align,
                    colour=MUTED,
                    anchor="baseline",
                )
        sheet.note(_note(rows, note, controls=False), lines=2)
    return sheet.figure


def p_text(value: float) -> str:
    """Write a p-value: three decimals, ``p < 0.001`` below that, ``p = –`` if there is none."""
    if math.isnan(value):
        return "p = –"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _checked(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(
            "table", expected=f"a frame with the columns {columns}", got=f"no {missing}"
        )
    if not 1 <= len(table) <= _LARGEST:
        raise InputError("table", expected=f"of 1 to {_LARGEST} rows", got=f"{len(table)} rows")
    values = table[columns[1:]].to_numpy(np.float64)
    middle, low, high = values.T
    if not np.isfinite(values).all():
        raise InputError("table", expected="finite in every row", got="NaN or infinite values")
    slack = 1e-9 * max(1.0, float(np.abs(values).max()))
    if not ((low <= middle + slack) & (middle <= high + slack)).all():
        raise InputError(
            f"interval of {columns[0]}",
            expected=f"around its {columns[1]}: low <= {columns[1]} <= high",
            got=f"{int((~((low <= middle) & (middle <= high))).sum())} rows where it is not",
        )
    return table


def _open(
    names: list[str], *, title: str, values: float, more: float = 0.0, left: float = 2.2
) -> tuple[Sheet, Axes]:
    """Open a sheet with one row per name: names at the left, room for values at the right."""
    head, foot = (0.5 if title else 0.15), 0.95 + more
    body = _ROW * len(names) + 0.1
    sheet = Sheet(left + _PLOT + values + 0.15, head + body + foot)
    sheet.title(title)
    axes = sheet.axes(left, head, _PLOT, body)
    axes.set_ylim(len(names) - 0.35, -0.65)
    axes.set_yticks([])
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, length=2.5, width=0.6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    for place, name in enumerate(names):
        words = str(name).replace("_", " ")
        text, size = sheet.fit(words, width=left - 0.3, size=9.5, smallest=8)
        if text.endswith("…"):
            text, size = sheet.fit(words, width=left - 0.3, size=7.5, lines=2, smallest=6)
        middle = head + body * (place + 0.65) / (len(names) + 0.3)
        one = "\n" not in text
        sheet.text(
            text,
            left - 0.1,
            middle,
            size=size,
            align="right",
            anchor="center_baseline" if one else "center",
        )
    return sheet, axes


def _whisker(
    axes: Axes, place: int, low: float, high: float, *, colour: str, width: float = 1.2
) -> None:
    axes.plot([low, high], [place, place], color=colour, linewidth=width, solid_capstyle="butt")
    for end in (low, high):
        axes.plot([end, end], [place - 0.13, place + 0.13], color=colour, linewidth=width)


def _value(axes: Axes, place: int, value: str, interval: str) -> None:
    """Write the numbers of a row at the right of the axes."""
    across = axes.get_yaxis_transform()
    axes.text(
        1.03, place, value, transform=across, fontsize=8.5, va="center_baseline", fontweight="bold"
    )
    start = 1.03 + (0.12 + 0.08 * len(value)) / _PLOT
    axes.text(
        start, place, interval, transform=across, fontsize=8, va="center_baseline", color=MUTED
    )


def _note(rows: pd.DataFrame, note: str, *, controls: bool) -> str:
    parts = []
    if "n" in rows:
        counts: NDArray[Any] = rows["n"].to_numpy()
        low, high = int(counts.min()), int(counts.max())
        parts.append(f"n = {low:,} images" if low == high else f"n = {low:,} to {high:,} images")
    parts.append("whiskers: 95 % interval of the mean")
    if controls:
        parts.append("hatched: control rows that know nothing of the classifier")
    text = "; ".join(parts)
    return f"{text[0].upper() if not text.startswith('n =') else 'n'}{text[1:]}. {note}".strip()
