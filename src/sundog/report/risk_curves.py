"""Accuracy against risk: scores of equal-count windows with their intervals and mean images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.report.montage import paste
from sundog.report.risk_content import Windows
from sundog.report.sheet import Sheet
from sundog.report.style import COLOURS, DASHES, FAINT, INK, MUTED, style

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST_LINES = len(MARKERS)
LEFT, PLOT, RIGHT, BODY = 0.72, 7.1, 2.0, 2.9
_SMALLEST_PICTURE = 0.22


def risk_curve_figure(
    windows: Windows,
    *,
    low_words: str,
    high_words: str,
    field: str,
    measures: Sequence[str] = ("accuracy", "precision", "recall"),
    title: str = "",
) -> Figure:
    """Draw the scores of every window, in rising order of one field, above its mean image.

    Args:
        windows: what to draw.
        low_words: what the first window holds, for instance ``least represented``.
        high_words: what the last window holds.
        field: what the images are sorted by, written below the axis.
        measures: which scores, in this order; those that the windows do not have are left out, all
            if they have none of them. At most 7.
        title: one line at the top.

    Returns:
        One figure. A window without a score leaves a gap in the line, one without an interval has
        no whisker.
    """
    chosen = [name for name in measures if name in windows.measures] or list(windows.measures)
    series = {name: windows.measures[name] for name in chosen}
    about = [name for name in ("precision", "recall") if name in series and windows.positive]
    note = f"{' and '.join(about).capitalize()}: {windows.positive}." if about else ""
    return _draw(
        series,
        windows,
        score="share of the images" if len(series) > 1 else next(iter(series)),
        low_words=low_words,
        high_words=high_words,
        field=field,
        title=title,
        note=" ".join(part for part in (note, windows.note) if part),
    )


def frozen_curve_figure(
    before: Windows,
    after: Mapping[str, Windows],
    *,
    low_words: str,
    high_words: str,
    field: str,
    measure: str = "accuracy",
    before_name: str = "before",
    title: str = "",
) -> Figure:
    """Draw one score of the same windows before and after, one line for each model.

    Args:
        before: windows of the baseline; its mean images are shown.
        after: method -> windows with the same images.
        low_words: what the first window holds.
        high_words: what the last window holds.
        field: what the images were sorted by.
        measure: the score.
        before_name: name of the baseline.
        title: one line at the top.

    Raises:
        InputError: windows of other sizes than the baseline's, or without the score.
    """
    for name, windows in {before_name: before, **after}.items():
        if measure not in windows.measures:
            raise InputError(f"windows of {name}", expected=f"with {measure}", got="without it")
        if not np.array_equal(windows.n, before.n):
            raise InputError(
                f"windows of {name}",
                expected="the images of the baseline's windows",
                got=f"{len(windows.n)} windows of {int(np.sum(windows.n))} images",
                hint="Sort both by the scores of the baseline (frozen windows).",
            )
    return _draw(
        {name: w.measures[measure] for name, w in {before_name: before, **after}.items()},
        before,
        score=measure,
        low_words=low_words,
        high_words=high_words,
        field=field,
        title=title,
        note=" ".join(
            part
            for part in ("Same images in the same window for every model.", before.note)
            if part
        ),
    )


def _draw(
    series: Mapping[str, Sequence[Estimate]],
    windows: Windows,
    *,
    score: str,
    low_words: str,
    high_words: str,
    field: str,
    title: str,
    note: str,
) -> Figure:
    count, left_out = len(windows.n), list(series)[MOST_LINES:]
    shown = dict(list(series.items())[:MOST_LINES])
    picture = min(PLOT / count - 0.04, 0.68)
    strip = bool(len(windows.mean_images)) and picture >= _SMALLEST_PICTURE
    head, labels = (0.5 if title else 0.2), 0.32
    pictures = picture + 0.14 if strip else 0.0
    with style():
        sheet = Sheet(LEFT + PLOT + RIGHT, head + BODY + labels + pictures + 0.72)
        sheet.title(title)
        axes = sheet.axes(LEFT, head, PLOT, BODY)
        score, _ = sheet.fit(score, width=BODY, size=9, smallest=9)
        lowest = _dress(axes, shown, score=score, n=windows.n)
        ends = []
        for place, (name, estimates) in enumerate(shown.items()):
            look = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place]}
            last = _line(axes, estimates, place=place, lines=len(shown), **look)
            ends.append((name, last, look))
        _names(sheet, axes, ends, top=head)
        at = head + BODY + labels
        if strip:
            _pictures(sheet, windows.mean_images, top=at, side=picture, count=count)
            sheet.text(
                "mean\nimage", LEFT - 0.12, at + picture / 2, size=7.5, colour=MUTED,
                align="right", anchor="center",
            )  # fmt: skip
        _ends(sheet, low_words, high_words, field, top=at + pictures + 0.02)
        sheet.note(_note(windows, note, lowest, left_out, strip), lines=3)
    return sheet.figure


def _dress(
    axes: Axes, series: Mapping[str, Sequence[Estimate]], *, score: str, n: NDArray[Any]
) -> float:
    """Set the axes; return where the scale starts."""
    count = len(n)
    ends = [v for e in series.values() for one in e for v in (one.value, one.low, one.high)]
    finite = [value for value in ends if math.isfinite(value)] or [0.0, 1.0]
    lowest = max(0.0, math.floor((min(finite) - 0.02) * 10) / 10)
    highest = max(finite)
    axes.set_xlim(0, count)
    axes.set_ylim(lowest, highest + 0.04 * (highest - lowest or 1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(
        PercentFormatter(1, 0 if highest - lowest > 0.1 else 1, symbol="\u00a0%")
    )
    axes.set_ylabel(score, fontsize=9)
    share = np.concatenate([[0.0], np.cumsum(n) / max(1, int(np.sum(n)))])
    every = max(1, math.ceil(count / 20))
    ticks = list(range(0, count + 1, every))
    axes.set_xticks(ticks, [f"{100 * share[tick]:.0f}" for tick in ticks])
    axes.tick_params(labelsize=8.5, length=2.5, width=0.6)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    for tick in range(1, count):
        axes.axvline(tick, color="#eef0f2", linewidth=0.5, zorder=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return lowest


def _line(
    axes: Axes, estimates: Sequence[Estimate], *, place: int, lines: int, **look: Any
) -> float:
    """Draw one line with whiskers, moved a little so that lines do not hide each other."""
    shift = (place - (lines - 1) / 2) * min(0.11, 0.6 / lines)
    x = np.arange(len(estimates)) + 0.5 + shift
    values, low, high = (
        np.array([getattr(e, end) for e in estimates], dtype=np.float64)
        for end in ("value", "low", "high")
    )
    axes.vlines(x, low, high, color=look["color"], linewidth=1.1, alpha=0.75)
    axes.plot(
        x, values, linewidth=1.7, markersize=4.8, markeredgecolor="white", markeredgewidth=0.6,
        linestyle=DASHES[0], clip_on=False, zorder=3, **look,
    )  # fmt: skip
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else math.nan


def _names(
    sheet: Sheet, axes: Axes, ends: Sequence[tuple[str, float, Mapping[str, Any]]], *, top: float
) -> None:
    """Write the name of each line at its end, moved apart where lines end together."""
    low, high = axes.get_ylim()
    wanted = sorted(
        (top + BODY * (1 - ((low if math.isnan(last) else last) - low) / (high - low)), i)
        for i, (_, last, _) in enumerate(ends)
    )
    gap = 0.2
    tops: list[float] = []
    for at, _ in wanted:
        tops.append(max(at, tops[-1] + gap) if tops else at)
    over = max(0.0, tops[-1] - (top + BODY))
    for (_, index), at in zip(wanted, tops, strict=True):
        name, last, look = ends[index]
        words = name if math.isfinite(last) else f"{name} (no value)"
        text, size = sheet.fit(words.replace("_", " "), width=RIGHT - 0.5, size=9, bold=True)
        at -= over
        sheet.line(LEFT + PLOT + 0.1, at, LEFT + PLOT + 0.34, linewidth=1.7, color=look["color"])
        sheet.line(
            LEFT + PLOT + 0.22, at, LEFT + PLOT + 0.22, markersize=5, linewidth=0,
            markeredgecolor="white", markeredgewidth=0.6, **look,
        )  # fmt: skip
        sheet.text(text, LEFT + PLOT + 0.42, at, size=size, bold=True, anchor="center_baseline")


def _pictures(
    sheet: Sheet,
    pictures: Sequence[NDArray[Any] | None] | NDArray[Any],
    *,
    top: float,
    side: float,
    count: int,
) -> None:
    step = PLOT / count
    gap = step - side
    box = sheet.axes(LEFT + gap / 2, top, PLOT - gap, side)
    box.imshow(paste([list(pictures)], side=side, gap=gap, below=0), aspect="auto")
    box.set_axis_off()


def _ends(sheet: Sheet, low_words: str, high_words: str, field: str, *, top: float) -> None:
    middle, size = sheet.fit(f"percentile of the images by {field}", width=3.3, size=9)
    sheet.text(middle, LEFT + PLOT / 2, top, size=size, align="center", colour=INK)
    for words, at, align in (
        (f"◂ {low_words}", LEFT, "left"),
        (f"{high_words} ▸", LEFT + PLOT, "right"),
    ):
        text, size = sheet.fit(words, width=1.85, size=9, bold=True)
        sheet.text(text, at, top, size=size, align=align, bold=True, colour=MUTED)


def _note(windows: Windows, note: str, lowest: float, left_out: list[str], strip: bool) -> str:
    low, high = int(np.min(windows.n)), int(np.max(windows.n))
    parts = [
        f"n = {int(np.sum(windows.n)):,} images, "
        + (f"{low:,} in each window" if low == high else f"{low:,} to {high:,} in a window"),
    ]
    level = next((e.level for m in windows.measures.values() for e in m), 0.95)
    parts.append(f"whiskers: {level:.0%} intervals")
    if lowest > 0:
        parts.append(f"the scale starts at {lowest:.0%}")
    if left_out:
        parts.append(f"not drawn for room: {', '.join(left_out)}")
    if len(windows.mean_images) and not strip:
        parts.append(f"mean images of {len(windows.n)} windows are too small to draw")
    return f"{'; '.join(parts)}. {note}".strip()
