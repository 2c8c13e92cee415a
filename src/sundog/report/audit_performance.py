"""Performance in the report of an audit: overall, by class and group, calibration, confusions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from sundog.core.audit.summary import AuditSummary, Group, Performance
from sundog.report import phrases
from sundog.report.audit_words import clip, known, points, share
from sundog.report.interval_chart import IntervalChart, IntervalRow
from sundog.report.section import Section
from sundog.report.table import Column, Table

TITLE = "How well it does, class by class"
DRAWN, ROWS, CONFUSIONS = 15, 200, 20
"""Groups drawn, groups in the table, confusions listed."""


def performance_section(summary: AuditSummary) -> list[Section]:
    """Return the section of performance, or none if it was not measured."""
    made = summary.performance
    if made is None:
        return []
    charts = [chart for groups in _columns(made) for chart in _chart(made, groups)]
    parts = [_table(groups) for groups in _columns(made)]
    return [
        Section(
            title=TITLE,
            text=[overall(made), *filter(None, [worst(made), calibration(made)])],
            charts=charts,
            parts=[*parts, *_confusions(made)],
        )
    ]


def overall(made: Performance) -> str:
    """Return how often the classifier is right, in one sentence."""
    accuracy = known(made.accuracy)
    if math.isnan(accuracy.value):
        return "How often it is right was not measured."
    return f"Right on {phrases.share(accuracy)} of {phrases.counted(accuracy.n, 'image')}."


def worst(made: Performance) -> str:
    """Return which group is worst, and by how much, in sentences; or nothing."""
    if made.worst is None:
        return ""
    text = (
        f"The model's error is highest on {name_of(made.worst)}: right on "
        f"{share(made.worst.accuracy)}. The interval accounts for having looked for the worst."
    )
    if made.gap is not None and not math.isnan(known(made.gap).value):
        text += f" Best minus worst group: {points(made.gap)}."
    small = sum(group.small for group in made.groups)
    if small:
        text += f" {phrases.counted(small, 'group')} had too few images to be in this comparison."
    return text


def calibration(made: Performance) -> str:
    """Return how far the probabilities are from the share that is right, or nothing."""
    value = known(made.ece)
    if math.isnan(value.value):
        return ""
    return (
        f"Expected calibration error {phrases.share(value, digits=1)}, n = {value.n:,}: by so much "
        "the stated probability differs from the share that is right, on average."
    )


def name_of(group: Group) -> str:
    """Return a group in words: ``class 'tench'`` or ``'tench, old' (class and camera)``."""
    name = f"'{clip(group.name, 60)}'"
    return f"class {name}" if group.column == "class" else f"{name} ({_what([group])})"


def _columns(made: Performance) -> list[list[Group]]:
    names = list(dict.fromkeys(group.column for group in made.groups))
    return [[group for group in made.groups if group.column == name] for name in names[:6]]


def _sorted(groups: Sequence[Group]) -> list[Group]:
    return sorted(groups, key=lambda g: (g.small, math.isnan(known(g.accuracy).value),
                                         known(g.accuracy).value))  # fmt: skip


def _chart(made: Performance, groups: Sequence[Group]) -> list[IntervalChart]:
    ordered = _sorted(groups)
    shown = ordered[:DRAWN]
    what = _what(groups)
    caption = f"Share right by {what}, lowest first"
    if len(ordered) > len(shown):
        caption += f" ({len(shown)} lowest of {len(ordered):,})"
    average = known(made.accuracy).value
    return [
        IntervalChart(
            rows=[
                IntervalRow(
                    clip(group.name, 60),
                    known(group.accuracy),
                    note="too few images to tell" if group.small else "",
                    muted=group.small,
                )
                for group in shown
            ],
            caption=caption,
            span=_span(shown),
            reference=None if math.isnan(average) else average,
            reference_name="" if math.isnan(average) else "all images",
            better="higher",
            count="images",
        )
    ]


def _span(groups: Sequence[Group]) -> tuple[float, float]:
    """Return an axis that starts below the lowest interval, at a round share."""
    ends = [known(group.accuracy).low for group in groups]
    low = min((end for end in ends if math.isfinite(end)), default=0.0)
    return min(math.floor(10 * low) / 10, 0.8), 1.0


def _table(groups: Sequence[Group]) -> Section:
    ordered = _sorted(groups)
    shown = ordered[:ROWS]
    what = _what(groups)
    frame = pd.DataFrame(
        [
            {
                what: clip(group.name, 60),
                "images": group.n,
                "accuracy": known(group.accuracy),
                "ece": known(group.ece),
            }
            for group in shown
        ]
    )
    more = len(ordered) - len(shown)
    caption = f"By {what}, lowest accuracy first."
    caption += " In grey italics: too few images to tell." if any(g.small for g in shown) else ""
    caption += f" {more:,} more are in audit.json." if more else ""
    return Section(
        title=f"Numbers by {what} ({len(ordered):,})",
        fold=True,
        tables=[
            Table(
                frame=frame,
                caption=caption,
                columns={
                    "images": Column(format="integer"),
                    "accuracy": Column(format="percent", digits=1, better="higher", mark=False),
                    "ece": Column(
                        "calibration error (ECE)",
                        format="percent",
                        digits=1,
                        better="lower",
                        mark=False,
                    ),
                },
                muted=[group.small for group in shown],
            )
        ],
    )


def _what(groups: Sequence[Group]) -> str:
    column = clip(groups[0].column, 40)
    return column if column == "class" else f"class and {column}"


def _confusions(made: Performance) -> list[Section]:
    if not made.confusions:
        return []
    frame = pd.DataFrame(
        [
            {"label": clip(label, 60), "predicted": clip(predicted, 60), "images": count}
            for label, predicted, count in made.confusions[:CONFUSIONS]
        ]
    )
    table = Table(
        frame=frame,
        caption="Which class is taken for which.",
        columns={"images": Column(format="integer")},
    )
    return [Section(title="Most frequent errors", fold=True, tables=[table])]
