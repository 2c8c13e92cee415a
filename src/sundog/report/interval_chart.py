"""Rows of numbers with their intervals drawn to one scale, as text and SVG lines inside the page.

Unlike a picture of a chart it can be read aloud, searched, copied, printed sharp, and it bends to
the width of the screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.report.table import Format, format_number

STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Distances between ticks that read well."""
WIDE = 15
"""Characters of a number with its interval that need a wider column."""


@dataclass(frozen=True)
class IntervalRow:
    """One number.

    Attributes:
        name: of the row.
        value: with its interval and n; NaN is shown as a dash.
        note: small print beside the numbers, e.g. a p-value.
        muted: a control or a group too small to tell; drawn in grey.
        side: ``better``, ``worse`` or empty, where a test says so that the interval does not show;
            None: whether the interval leaves the reference out.
    """

    name: str
    value: Estimate
    note: str = ""
    muted: bool = False
    side: str | None = None


@dataclass(frozen=True)
class IntervalChart:
    """Rows on one axis.

    Attributes:
        rows: at least one, drawn in order.
        caption: what they are.
        format: ``percent``, ``points`` or ``decimal``.
        digits: decimals of the numbers.
        span: ends of the axis; None: [0, 1] for ``percent``, else what the rows need.
        reference: a value to mark with a line; intervals that leave it out are filled marks.
        reference_name: what the line is.
        better: which direction is better: a mark on the worse side of the reference is coloured.
        count: what ``n`` counts.
        filled: what a filled mark means.
    """

    rows: Sequence[IntervalRow]
    caption: str
    format: Format = "percent"
    digits: int = 0
    span: tuple[float, float] | None = None
    reference: float | None = None
    reference_name: str = ""
    better: Literal["lower", "higher"] | None = None
    count: str = "n"
    filled: str = "the interval leaves it out"


@dataclass(frozen=True)
class Track:
    """One row ready to be drawn: positions are percentages of the width."""

    name: str
    text: str
    interval: str
    n: int
    note: str
    left: str
    right: str
    at: str
    side: str
    muted: bool


@dataclass(frozen=True)
class DrawnChart:
    """A chart ready for a page."""

    caption: str
    tracks: list[Track]
    ticks: list[tuple[str, str]]
    reference: str
    reference_name: str
    legend: str
    count: str
    wide: bool


@dataclass(frozen=True)
class _Axis:
    """Ends of an axis, and how numbers on it are written."""

    low: float
    high: float
    format: Format
    digits: int

    def place(self, value: float) -> str:
        """Return a position in percent of the width; what lies outside is cut at the end."""
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(max(share, 0.0), 1.0):.2f}".rstrip("0").rstrip(".")

    def write(self, value: float) -> str:
        """Return a number as text."""
        return format_number(value, format=self.format, digits=self.digits)

    def ticks(self) -> list[tuple[str, str]]:
        """Return positions and texts of three to six round values."""
        reach = self.high - self.low
        step = next((s for s in STEPS if reach / s <= 3.2), reach)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        fine = self.format in ("percent", "points")
        digits = (0 if reach >= 0.04 else 1) if fine else (1 if reach >= 1 else 2)
        return [
            (self.place(tick), format_number(tick, format=self.format, digits=digits))
            for tick in (step * number for number in range(first, min(last, first + 5) + 1))
        ]


def draw_chart(chart: IntervalChart) -> DrawnChart:
    """Place every interval on the axis.

    Returns:
        Positions from 0 to 100; what lies outside of the axis is cut at its end.

    Raises:
        InputError: no row, or an empty axis.
    """
    if not chart.rows:
        raise InputError("interval chart", expected="at least one row", got="none")
    low, high = chart.span or _span(chart)
    if not low < high:
        raise InputError("axis", expected="low < high", got=f"{low:g} and {high:g}")
    axis = _Axis(low, high, chart.format, chart.digits)
    reference, legend = chart.reference, ""
    if reference is not None and chart.reference_name:
        legend = (
            f"Dotted line: {chart.reference_name} ({axis.write(reference)}). "
            f"Filled marks: {chart.filled}."
        )
    tracks = [_track(row, chart, axis) for row in chart.rows]
    return DrawnChart(
        caption=chart.caption,
        tracks=tracks,
        ticks=axis.ticks(),
        reference="" if reference is None else axis.place(reference),
        reference_name=chart.reference_name,
        legend=legend,
        count=chart.count,
        wide=any(len(track.text) + len(track.interval) > WIDE for track in tracks),
    )


def _track(row: IntervalRow, chart: IntervalChart, axis: _Axis) -> Track:
    value = row.value
    known = math.isfinite(value.value)
    bounded = known and math.isfinite(value.low) and math.isfinite(value.high)
    interval = ""
    if bounded:
        interval = f"[{axis.write(value.low)}, {axis.write(value.high)}]"
        interval = interval.replace("\u00a0%, ", ", ")
    return Track(
        name=row.name,
        text=axis.write(value.value),
        interval=interval,
        n=value.n,
        note=row.note,
        left=axis.place(value.low) if bounded else "",
        right=axis.place(value.high) if bounded else "",
        at=axis.place(value.value) if known else "",
        side=_side(value, chart) if row.side is None else row.side,
        muted=row.muted,
    )


def _side(value: Estimate, chart: IntervalChart) -> str:
    """Return ``worse``, ``better``, ``apart`` (neither is better) or empty: holds the reference."""
    if chart.reference is None:
        return "apart"
    if not (value.low > chart.reference or value.high < chart.reference):
        return ""
    if chart.better is None:
        return "apart"
    return "better" if (value.low > chart.reference) == (chart.better == "higher") else "worse"


def _span(chart: IntervalChart) -> tuple[float, float]:
    if chart.format == "percent":
        return 0.0, 1.0
    ends = [
        end
        for row in chart.rows
        for end in (row.value.value, row.value.low, row.value.high)
        if math.isfinite(end)
    ]
    ends += [] if chart.reference is None else [chart.reference]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room
