"""Reliability diagram: how often the classifier is right when it says that it is so sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, wilson_interval
from sundog.report.risk_content import Reliability
from sundog.report.sheet import Sheet
from sundog.report.style import COLOURS, FAINT, INK, MUTED, style

_LEFT, _SIDE, _COUNTS = 0.75, 3.5, 0.85
_COLUMNS = ("from", "to", "n", "confidence", "accuracy")


def reliability_figure(reliability: Reliability, *, title: str = "") -> Figure:
    """Draw accuracy against confidence with intervals, and how many images each bin holds.

    Points below the dashed line: more sure than right (overconfident). Bins without an image are
    left out and counted.

    Args:
        reliability: see :class:`Reliability`.
        title: one line at the top.

    Raises:
        InputError: a column is missing, or there is no bin.
    """
    table = reliability.table
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing or not len(table):
        raise InputError(
            "reliability",
            expected=f"a frame with the columns {list(_COLUMNS)} and a row per bin",
            got=f"no {missing}" if missing else "no row",
        )
    rows = table.to_dict("records")
    filled = [(row, bin_accuracy(row)) for row in rows if int(row["n"]) > 0]
    total = int(table["n"].sum())
    head = 0.5 if title else 0.2
    with style():
        sheet = Sheet(_LEFT + _SIDE + 3.1, head + _SIDE + 0.2 + _COUNTS + 0.85)
        sheet.title(title)
        axes = sheet.axes(_LEFT, head, _SIDE, _SIDE)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for row, accuracy in filled:
            x, y = float(row["confidence"]), accuracy.value
            axes.plot([x, x], [x, y], color=COLOURS[1], linewidth=4, alpha=0.25, zorder=2,
                      solid_capstyle="butt")  # fmt: skip
            axes.vlines(x, accuracy.low, accuracy.high, color=COLOURS[0], linewidth=1.3, zorder=3)
            axes.plot([x], [y], marker="o", markersize=5.5, color=COLOURS[0], zorder=4,
                      markeredgecolor="white", markeredgewidth=0.7, clip_on=False)  # fmt: skip
        axes.set_ylabel("share that is right", fontsize=9)
        axes.tick_params(labelbottom=False)
        below = sheet.axes(_LEFT, head + _SIDE + 0.2, _SIDE, _COUNTS)
        edges = [float(row["from"]) for row in rows] + [float(rows[-1]["to"])]
        below.stairs(table["n"].to_numpy(dtype=float), edges, fill=True, color="#c9ced4")
        below.stairs(table["n"].to_numpy(dtype=float), edges, color=MUTED, linewidth=0.7)
        below.set_ylabel("images", fontsize=9)
        below.set_xlabel("probability of the predicted class", fontsize=9)
        below.set_ylim(0, 1.05 * max(1.0, float(table["n"].max())))
        below.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
        for part in (axes, below):
            part.set_xlim(0, 1)
            part.xaxis.set_major_formatter(PercentFormatter(xmax=1, symbol="\u00a0%"))
            part.tick_params(labelsize=8.5, length=2.5, width=0.6)
            part.grid(color=FAINT, linewidth=0.5)
            part.set_axisbelow(True)
            for side in ("top", "right"):
                part.spines[side].set_visible(False)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol="\u00a0%"))
        _words(sheet, reliability.ece, total, top=head)
        empty = len(rows) - len(filled)
        sheet.note(
            "Whiskers: 95\u00a0% intervals of the share right."
            + (f" {empty} of {len(rows)} bins hold no image." if empty else ""),
            lines=2,
        )
    return sheet.figure


def bin_accuracy(row: Mapping[Any, Any]) -> Estimate:
    """Return the accuracy of a bin with its interval; Wilson's, if the row has none."""
    value, n = float(row["accuracy"]), int(row["n"])
    if n < 1 or not math.isfinite(value):
        return Estimate(math.nan, math.nan, math.nan, 0, 0.95, "wilson")
    low, high = (float(row.get(f"accuracy_{end}", math.nan)) for end in ("low", "high"))
    if math.isnan(low) or math.isnan(high):
        return wilson_interval(round(value * n), n)
    return Estimate(value, low, high, n, 0.95, "wilson")


def _words(sheet: Sheet, ece: Estimate | float, total: int, *, top: float) -> None:
    left = _LEFT + _SIDE + 0.35
    value = ece.value if isinstance(ece, Estimate) else float(ece)
    sheet.text("expected calibration error", left, top + 0.05, size=9, colour=MUTED)
    sheet.text(
        "–" if math.isnan(value) else f"{100 * value:.1f} points",
        left,
        top + 0.25,
        size=15,
        bold=True,
    )
    if isinstance(ece, Estimate) and math.isfinite(ece.low):
        sheet.text(
            f"[{100 * ece.low:.1f}, {100 * ece.high:.1f}]", left, top + 0.55, size=9, colour=MUTED
        )
    lines = (f"n = {total:,} images", "on the dashed line: as sure as right",
             "below it: more sure than right", "above it: less sure than right")  # fmt: skip
    for place, words in enumerate(lines):
        text, size = sheet.fit(words, width=2.6, size=9)
        sheet.text(text, left, top + 0.85 + 0.22 * place, size=size, colour=INK)
