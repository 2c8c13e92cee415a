"""Before and after: a panel per metric, a row per method, the baseline as a line through all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.report.debias_content import MethodResult
from sundog.report.metric_words import metric
from sundog.report.sheet import Sheet
from sundog.report.style import COLOURS, FAINT, INK, MUTED, style

MOST_ROWS, MOST_PANELS = 30, 4
_ROW, _LEFT, _GAP, _TOTAL = 0.36, 2.3, 0.3, 8.6


def before_after_figure(
    baseline: MethodResult,
    methods: Sequence[MethodResult],
    *,
    metrics: Sequence[str] = ("worst_group", "average", "gap", "flip_rate"),
    chosen: str = "",
    title: str = "",
) -> Figure:
    """Draw every method against the baseline: a line from before to after, with its interval.

    Args:
        baseline: the model before; its value is the vertical line, its interval the band.
        methods: the models after, drawn in the order given; at most 30, the note says how many
            there are. None: the baseline alone.
        metrics: one panel each, at most 4; those that the baseline does not have are left out.
        chosen: name of the method that is kept; drawn bold with a mark.
        title: one line at the top.

    Returns:
        One figure; blue: better than before, orange: worse, grey: the interval of the paired
        change holds zero or is not known.

    Raises:
        InputError: no metric that the baseline has.
    """
    panels = [name for name in metrics if name in baseline.scores][:MOST_PANELS]
    if not panels:
        raise InputError(
            "metrics", expected=f"among {list(baseline.scores)}", got=str(list(metrics))
        )
    shown = list(methods)[:MOST_ROWS]
    rows = [baseline, *shown]
    head, foot = (0.5 if title else 0.2) + 0.45, 0.9
    body = _ROW * len(rows)
    width = (_TOTAL - _GAP * (len(panels) - 1)) / len(panels)
    with style():
        sheet = Sheet(_LEFT + _TOTAL + 0.2, head + body + foot)
        sheet.title(title)
        for place, row in enumerate(rows):
            mark = "★ " if row.name == chosen else ""
            words = row.name.replace("_", " ")
            fits: Any = {"width": _LEFT - 0.3, "bold": bool(mark)}
            text, size = sheet.fit(words, size=9.5, smallest=7.5, before=mark, **fits)
            if text.endswith("…"):
                text, size = sheet.fit(words, size=7.5, smallest=6.5, lines=2, before=mark, **fits)
            sheet.text(
                text, _LEFT - 0.15, head + (place + 0.5) * _ROW, size=size, align="right",
                anchor="center" if "\n" in text else "center_baseline", bold=bool(mark),
                colour=MUTED if row is baseline else INK,
            )  # fmt: skip
        for number, name in enumerate(panels):
            look, left = metric(name), _LEFT + number * (width + _GAP)
            text, size = sheet.fit(look.title, width=width, size=9.5, bold=True)
            sheet.text(
                text, left + width / 2, head - 0.32, size=size, bold=True, align="center",
                anchor="baseline",
            )  # fmt: skip
            if look.better:
                sheet.text(
                    f"{look.better} is better", left + width / 2, head - 0.23, size=7.5,
                    colour=MUTED, align="center",
                )  # fmt: skip
            _panel(sheet.axes(left, head, width, body), rows, name)
        more = len(methods) - len(shown)
        seeds = sorted({row.seeds for row in rows})
        note = (
            "Vertical line and band: before, with its interval. Blue: better than before; orange: "
            "worse; grey: the paired interval holds zero, or there is none. Whiskers: intervals "
            f"over {' or '.join(str(s) for s in seeds)} seed{'s' if seeds != [1] else ''}."
        )
        note += f" ★ {chosen.replace('_', ' ')}: kept." if chosen else ""
        note += f" {more} further methods are in the table only." if more else ""
        sheet.note(note, lines=2)
    return sheet.figure


def _panel(axes: Axes, rows: Sequence[MethodResult], name: str) -> None:
    look = metric(name)
    before = estimate(rows[0].scores[name])
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([])
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=2.5, width=0.6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    if math.isfinite(before.value):
        axes.axvline(before.value, color=MUTED, linewidth=1)
    if math.isfinite(before.low):
        axes.axvspan(before.low, before.high, color="#eef0f2", zorder=0)
    ends = [before.value, before.low, before.high]
    for place, row in enumerate(rows):
        after = estimate(row.scores.get(name, math.nan))
        at = place + 0.5
        if not math.isfinite(after.value):
            axes.text(0.5, at, "–", transform=axes.get_yaxis_transform(), color=MUTED, fontsize=9,
                      ha="center", va="center_baseline")  # fmt: skip
            continue
        ends += [after.value, after.low, after.high]
        colour = MUTED if place == 0 else verdict_colour(row, name)
        if place and math.isfinite(before.value):
            axes.plot([before.value, after.value], [at, at], color=colour, linewidth=4, alpha=0.28,
                      solid_capstyle="butt")  # fmt: skip
        if math.isfinite(after.low):
            axes.plot([after.low, after.high], [at, at], color=colour, linewidth=1.3)
        grey = colour == MUTED
        axes.plot([after.value], [at], marker="o", markersize=6.5, color=colour, clip_on=False,
                  markerfacecolor="white" if grey else colour, markeredgewidth=1.4)  # fmt: skip
    finite = [value for value in ends if math.isfinite(value)] or [0.0, 1.0]
    room = 0.07 * (max(finite) - min(finite)) or 0.05
    axes.set_xlim(min(finite) - room, max(finite) + room)
    if look.share:
        decimals = 0 if max(finite) - min(finite) + 2 * room > 0.04 else 1
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals, symbol="\u00a0%"))


def verdict_colour(row: MethodResult, name: str) -> str:
    """Return the colour of a change: better, worse, or not shown to be either."""
    side = verdict(row, name)
    return {"better": COLOURS[0], "worse": COLOURS[1]}.get(side, MUTED)


def verdict(row: MethodResult, name: str) -> str:
    """Return ``better``, ``worse`` or empty, by whether the paired interval leaves zero out."""
    change, better = row.change.get(name), metric(name).better
    if change is None or not better or not (change.low > 0 or change.high < 0):
        return ""
    return "better" if (change.low > 0) == (better == "higher") else "worse"


def estimate(value: Estimate | float) -> Estimate:
    """Return a bare number as an estimate without an interval."""
    if isinstance(value, Estimate):
        return value
    return Estimate(float(value), math.nan, math.nan, 0, 0.95, "")
