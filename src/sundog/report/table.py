"""Tables of a page: a data frame with formats, directions and intervals becomes cells of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate

Format = Literal["auto", "text", "integer", "decimal", "percent", "points", "p"]
"""``percent``: a share in [0, 1]; ``points``: a difference of shares, signed; ``p``: a p-value."""
NOTHING = "–"
LONG = 18
"""Characters of a word beyond which it may be broken."""


@dataclass(frozen=True)
class Column:
    """How one column is shown.

    Attributes:
        title: the header; the name of the column with spaces if empty.
        format: see :data:`Format`; ``auto`` chooses from the type.
        digits: decimals of ``decimal``, ``percent`` and ``points``.
        better: which direction is better; written in the header.
        mark: whether the best cell is marked too; no, where rows are not rivals (for instance
            one model under several conditions).
    """

    title: str = ""
    format: Format = "auto"
    digits: int = 3
    better: Literal["lower", "higher"] | None = None
    mark: bool = True


@dataclass(frozen=True)
class Table:
    """A data frame with words; the first column names the rows.

    Attributes:
        frame: at least one row and column; cells may be numbers, text, booleans or
            :class:`~sundog.core.statistics.Estimate` (shown with its interval).
        caption: what the table says.
        columns: name → how it is shown; others by their type.
        muted: bool per row; a control row is shown in grey.
    """

    frame: pd.DataFrame
    caption: str
    columns: Mapping[str, Column] = field(default_factory=dict)
    muted: Sequence[bool] = ()


@dataclass(frozen=True)
class Cell:
    """One cell: the number, its interval (small), whether it is the best of its column."""

    text: str
    interval: str = ""
    numeric: bool = False
    best: bool = False

    @property
    def long(self) -> bool:
        """Whether a word (a path, a hash) must break for the table to fit a phone or paper."""
        return any(len(word) > LONG for word in self.text.split())


@dataclass(frozen=True)
class Header:
    """One column header with the direction spelt out."""

    text: str
    direction: str
    numeric: bool


@dataclass(frozen=True)
class Shown:
    """A table ready for a page."""

    caption: str
    headers: list[Header]
    rows: list[list[Cell]]
    muted: list[bool]


def show(table: Table) -> Shown:
    """Turn a table into text.

    Returns:
        Headers and rows; the best cell of a column with a direction is marked (ties all), muted
        rows left out of the race; missing values are a dash.

    Raises:
        InputError: an empty frame, columns that are not in it, or ``muted`` of another length.
    """
    frame = table.frame
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise InputError("table", expected="at least one row and column", got=str(frame.shape))
    unknown = [name for name in table.columns if name not in frame.columns]
    if unknown:
        raise InputError(
            "columns", expected=f"among {list(map(str, frame.columns))}", got=str(unknown)
        )
    muted = [bool(value) for value in table.muted] or [False] * len(frame)
    if len(muted) != len(frame):
        raise InputError("muted", expected=f"one per row, {len(frame)}", got=str(len(muted)))
    headers, columns = [], []
    for position, name in enumerate(frame.columns):
        column = table.columns.get(name, Column())
        cells = [_cell(value, column) for value in frame.iloc[:, position]]
        if column.better is not None and column.mark:
            cells = _mark(cells, list(frame.iloc[:, position]), column.better, muted)
        columns.append(cells)
        headers.append(
            Header(
                text=column.title or str(name).replace("_", " "),
                direction=f"{column.better} is better" if column.better else "",
                numeric=all(cell.numeric or cell.text == NOTHING for cell in cells),
            )
        )
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Shown(caption=table.caption, headers=headers, rows=rows, muted=muted)


def format_number(value: float, *, format: Format = "auto", digits: int = 3) -> str:
    """Write one number; a minus sign is a minus, thousands are apart, nothing is a dash.

    Raises:
        InputError: unknown format.
    """
    if format not in get_args(Format):
        raise InputError("format", expected=f"one of {get_args(Format)}", got=repr(format))
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if format == "integer":
        text = f"{round(value):,}"
    elif format == "percent":
        text = f"{100 * value:.{digits}f}\u00a0%"
    elif format == "points":
        text = f"{100 * value:+.{digits}f}"
    elif format == "p":
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    elif format == "decimal":
        text = f"{value:.{digits}f}"
    else:
        text = f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.3g}"
    # "-0.000" is a zero that lost its digits.
    if text.startswith("-") and not any(c in "123456789" for c in text):
        text = ("+" if format == "points" else "") + text[1:]
    return text.replace("-", "−") if "e" not in text else text


def _cell(value: Any, column: Column) -> Cell:
    shown = {"format": column.format, "digits": column.digits}
    if isinstance(value, Estimate):
        text = format_number(value.value, **shown)  # type: ignore[arg-type]
        if math.isnan(value.low):
            return Cell(text, "", numeric=True)
        ends = [format_number(end, **shown) for end in (value.low, value.high)]  # type: ignore[arg-type]
        return Cell(text, f"[{ends[0]}, {ends[1]}]".replace("\u00a0%, ", ", "), numeric=True)
    if isinstance(value, bool | np.bool_):
        return Cell("yes" if value else "no")
    if value is None or value is pd.NA or value is pd.NaT:
        return Cell(NOTHING)
    if isinstance(value, int | np.integer) and column.format == "auto":
        return Cell(format_number(float(value), format="integer"), numeric=True)
    if isinstance(value, int | float | np.integer | np.floating) and column.format != "text":
        return Cell(format_number(float(value), **shown), numeric=True)  # type: ignore[arg-type]
    return Cell(str(value))


def _mark(cells: list[Cell], values: list[Any], better: str, muted: Sequence[bool]) -> list[Cell]:
    numbers = [
        float(v.value if isinstance(v, Estimate) else v) if _is_number(v) else math.nan
        for v in values
    ]
    raced = [n for n, out in zip(numbers, muted, strict=True) if not out and not math.isnan(n)]
    if len(raced) < 2:
        return cells
    best = min(raced) if better == "lower" else max(raced)
    return [
        Cell(cell.text, cell.interval, cell.numeric, best=number == best and not out)
        for cell, number, out in zip(cells, numbers, muted, strict=True)
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, Estimate | int | float | np.integer | np.floating) and not isinstance(
        value, bool
    )
