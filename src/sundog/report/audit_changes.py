"""Before and after in the report of an audit: the same images, the same cues, two classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sundog.core.audit.summary import AuditSummary, Change
from sundog.core.statistics import Estimate
from sundog.report import phrases
from sundog.report.audit_words import bare_share, clip, known
from sundog.report.interval_chart import IntervalChart, IntervalRow
from sundog.report.section import Section
from sundog.report.table import Column, Table

TITLE = "Before and after"
DRAWN, ROWS = 20, 200
KINDS = ("overall", "cue", "slice", "group")
"""Order of the kinds of change."""


def changes_section(summary: AuditSummary) -> list[Section]:
    """Return the section of changes, or none if there is no audit to compare with."""
    if not summary.changes:
        return []
    changes = list(summary.changes)
    before = summary.before or {}
    title = clip(before.get("title", "an earlier audit"))
    counts = {
        side: sum(judged(change) == side for change in changes) for side in ("better", "worse")
    }
    rest = len(changes) - sum(counts.values())
    text = (
        f"Compared with {title}: {phrases.counted(counts['better'], 'number')} better, "
        f"{counts['worse']} worse, {rest} not shown to differ. Differences are paired where the "
        "images are the same; one whose interval holds zero is not shown to be there. Frozen "
        "slices are the very images of the first audit's findings."
    )
    facts = [
        f"Earlier audit: {key} {clip(value)}." for key, value in before.items() if key != "title"
    ]
    return [
        Section(
            title=TITLE,
            text=[text],
            charts=[_chart(changes)],
            notes=facts,
            parts=[_table(changes)],
        )
    ]


def judged(change: Change) -> str:
    """Return ``better``, ``worse`` or empty, by whether the interval leaves zero out."""
    made = known(change.difference)
    if not (made.low > 0 or made.high < 0):
        return ""
    return "better" if (made.low > 0) == (change.better == "higher") else "worse"


def _chart(changes: Sequence[Change]) -> IntervalChart:
    """Return a chart of improvements: differences are turned so that right is better."""
    ordered = sorted(changes, key=lambda change: KINDS.index(change.kind))
    shown = ordered[:DRAWN]
    more = len(ordered) - len(shown)
    caption = "Improvement in points, on the same images"
    caption += f" ({len(shown)} of {len(ordered):,}; all are in the table)" if more else ""
    return IntervalChart(
        [
            IntervalRow(
                clip(change.what, 90) + (" (frozen slice)" if change.kind == "slice" else ""),
                _turned(change),
                note=f"{bare_share(change.before)} → {bare_share(change.after)}",
            )
            for change in shown
        ],
        caption,
        format="points",
        reference=0.0,
        reference_name="no change",
        better="higher",
        count="images",
    )


def _turned(change: Change) -> Estimate:
    made = known(change.difference)
    if change.better == "higher":
        return made
    return Estimate(-made.value, -made.high, -made.low, made.n, made.level, made.method)


def _table(changes: Sequence[Change]) -> Section:
    frame = pd.DataFrame(
        [
            {
                "what": clip(change.what),
                "before": known(change.before),
                "after": known(change.after),
                "difference": known(change.difference),
                "n": change.difference.n,
                "better is": change.better,
                "is it better": {"better": "better", "worse": "worse"}.get(
                    judged(change), "not shown"
                ),
            }
            for change in changes[:ROWS]
        ]
    )
    more = len(changes) - len(frame)
    return Section(
        title=f"All {len(changes):,} numbers before and after",
        fold=True,
        tables=[
            Table(
                frame=frame,
                caption="After minus before, on the same images."
                + (f" {more:,} more are in audit.json." if more else ""),
                columns={
                    "before": Column(format="percent", digits=1),
                    "after": Column(format="percent", digits=1),
                    "difference": Column("difference (points)", format="points", digits=1),
                    "n": Column("images", format="integer"),
                },
            )
        ],
    )
