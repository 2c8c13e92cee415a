"""Accuracy epoch by epoch, one line per method, with the worst group below it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sundog.core.errors import InputError
from sundog.report.curves import line_look
from sundog.report.sheet import Sheet
from sundog.report.style import FAINT, MUTED, style

MOST_LINES = 12
_LEFT, _WIDE, _HIGH = 0.75, 3.7, 2.7


def epochs_figure(epochs: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw accuracy, and the worst group's if it is there, against the epoch.

    Args:
        epochs: columns ``method``, ``epoch``, ``accuracy``; optionally ``worst_group``, ``low``
            and ``high`` (of the accuracy), and ``seed``: several seeds are averaged, with the
            range of the seeds as the band.
        title: one line at the top.

    Raises:
        InputError: a column is missing, or there is no row.
    """
    missing = [name for name in ("method", "epoch", "accuracy") if name not in epochs.columns]
    if missing or not len(epochs):
        raise InputError(
            "epochs",
            expected="a frame with method, epoch and accuracy",
            got=f"no {missing}" if missing else "no row",
        )
    methods = list(dict.fromkeys(epochs["method"].astype(str)))
    shown = methods[:MOST_LINES]
    worst = "worst_group" in epochs and bool(epochs["worst_group"].notna().any())
    panels = ["accuracy", "worst_group"] if worst else ["accuracy"]
    head = (0.5 if title else 0.2) + 0.25
    with style():
        sheet = Sheet(_LEFT + len(panels) * (_WIDE + 0.65) + 1.75, head + _HIGH + 0.95)
        sheet.title(title)
        ends = [float(v) for name in panels for v in epochs[name] if math.isfinite(float(v))]
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        room = 0.06 * (high - low) or 0.02
        for number, column in enumerate(panels):
            left = _LEFT + number * (_WIDE + 0.65)
            axes = sheet.axes(left, head, _WIDE, _HIGH)
            for place, name in enumerate(shown):
                rows = epochs[epochs["method"].astype(str) == name]
                by = rows.groupby("epoch", sort=True)[column]
                mean, least, most = by.mean(), by.min(), by.max()
                if column == "accuracy" and {"low", "high"} <= set(epochs.columns):
                    least = rows.groupby("epoch", sort=True)["low"].mean()
                    most = rows.groupby("epoch", sort=True)["high"].mean()
                at = mean.index.to_numpy(np.float64)
                look = line_look(place)
                axes.fill_between(at, least, most, color=look["color"], alpha=0.13, linewidth=0)
                axes.plot(at, mean, marker="o" if len(at) == 1 else None, markersize=4, **look)
            axes.set_ylim(max(0.0, low - room), min(1.0, high + room) + 0.003)
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol="\u00a0%"))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
            first, last = float(epochs["epoch"].min()), float(epochs["epoch"].max())
            if first == last:
                axes.set_xlim(first - 1, last + 1)
            axes.set_xlabel("epoch", fontsize=9)
            axes.tick_params(labelsize=8.5, length=2.5, width=0.6)
            axes.grid(color=FAINT, linewidth=0.5)
            axes.set_axisbelow(True)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
            words = "accuracy" if column == "accuracy" else "accuracy of the worst group"
            sheet.text(words, left, head - 0.1, size=9.5, bold=True, anchor="baseline")
        at_left = _LEFT + len(panels) * (_WIDE + 0.65) - 0.4
        for place, name in enumerate(shown):
            top = head + 0.12 + 0.22 * place
            sheet.line(at_left, top, at_left + 0.28, **line_look(place))
            text, size = sheet.fit(name.replace("_", " "), width=1.65, size=9)
            sheet.text(text, at_left + 0.36, top, size=size, anchor="center_baseline")
        if len(methods) > len(shown):
            sheet.text(
                f"{len(methods) - len(shown)} more not drawn", at_left,
                head + 0.12 + 0.22 * len(shown), size=8, colour=MUTED,
            )  # fmt: skip
        seeds = epochs["seed"].nunique() if "seed" in epochs else 1
        sheet.note(
            "Band: the interval of each epoch."
            if {"low", "high"} <= set(epochs.columns)
            else f"Line: mean of {seeds} seeds; band: from the lowest to the highest seed."
            if seeds > 1
            else "One seed; no interval over trainings can be given."
        )
    return sheet.figure
