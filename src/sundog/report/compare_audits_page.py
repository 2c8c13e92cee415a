"""The page of two audits: what got better, what got worse, what is gone, what is new."""

from __future__ import annotations

import pandas as pd

from sundog.core.audit.comparison import AuditComparison
from sundog.core.audit.cues import CueRecord
from sundog.core.audit.summary import Change
from sundog.core.inspection.finding import Finding
from sundog.core.statistics import Estimate
from sundog.report import phrases
from sundog.report.audit_changes import judged
from sundog.report.audit_words import clip, gap, known
from sundog.report.blocks import Tone
from sundog.report.interval_chart import IntervalChart, IntervalRow
from sundog.report.page import Page, Section
from sundog.report.table import Column, Table

TONES: dict[str, Tone] = {
    "better": "calm",
    "worse": "alarm",
    "mixed": "unsure",
    "no change shown": "plain",
}
WORDS = {
    "better": "Better",
    "worse": "Worse",
    "mixed": "Better and worse",
    "no change shown": "No change shown",
}
MOST = 60


def compare_audits_page(comparison: AuditComparison, *, command: str = "") -> Page:
    """Build the page.

    Args:
        comparison: the whole answer.
        command: how to reproduce.
    """
    model = {None: "not recorded", True: "the same weights", False: "other weights"}
    return Page(
        title="Before and after",
        headline=comparison.sentence,
        tone=TONES[comparison.outcome],
        word=WORDS[comparison.outcome],
        lead="Differences are paired over the images that both audits saw, where they were kept. A "
        "number whose interval holds zero is not shown to have changed.",
        sections=[
            *_changes(comparison),
            _findings(comparison),
            _cues(comparison),
            Section(
                title="What was compared",
                facts={
                    "before": clip(comparison.before),
                    "hash of the first audit": comparison.hashes[0],
                    "after": clip(comparison.after),
                    "hash of the second audit": comparison.hashes[1],
                    "images": "the same" if comparison.same_images else "not the same",
                    "classifier": model[comparison.same_model],
                },
            ),
            Section(
                title="Limits",
                text=["Two audits of different images differ for that reason too."],
                notes=list(comparison.notes),
            ),
            Section(title="How to reproduce", code=command or "see manifest.json"),
        ],
    )


def _changes(comparison: AuditComparison) -> list[Section]:
    if not comparison.changes:
        return []
    shown = comparison.changes[:MOST]
    hidden = len(comparison.changes) - len(shown)
    counts = [sum(judged(c) == side for c in comparison.changes) for side in ("better", "worse")]
    frame = pd.DataFrame(
        [
            {
                "what": clip(change.what),
                "before": known(change.before),
                "after": known(change.after),
                "change": known(change.difference),
                "n": change.difference.n,
                "shown to be": judged(change) or "–",
            }
            for change in shown
        ]
    )
    share = Column(format="percent", digits=1)
    return [
        Section(
            title="Numbers",
            text=[
                f"{phrases.counted(counts[0], 'number')} better, {counts[1]} worse, "
                f"{len(comparison.changes) - sum(counts)} not shown to differ."
            ],
            charts=[
                IntervalChart(
                    [IntervalRow(clip(change.what, 90), _turned(change)) for change in shown[:20]],
                    "Improvement in points; right of the line is better",
                    format="points",
                    digits=1,
                    reference=0.0,
                    reference_name="no change",
                    better="higher",
                )
            ],
            tables=[
                Table(
                    frame=frame,
                    caption="Intervals of the accuracies of classes hold together, and so do those "
                    "of the frozen slices.",
                    columns={
                        "before": share,
                        "after": share,
                        "change": Column("change (points)", format="points", digits=1),
                    },
                )
            ],
            notes=[f"{hidden} more are in comparison.json."] if hidden else [],
        )
    ]


def _turned(change: Change) -> Estimate:
    made = known(change.difference)
    if change.better == "higher":
        return made
    return Estimate(-made.value, -made.high, -made.low, made.n, made.level, made.method)


def _findings(comparison: AuditComparison) -> Section:
    found = comparison.findings
    rows = [_finding("gone", f, None) for f in found.fixed]
    rows += [_finding("remains", a, b) for a, b in found.remaining]
    rows += [_finding("new", None, f) for f in found.new]
    if not rows:
        return Section(title="Findings", text=["No significant finding in either audit."])
    points = Column(format="points", digits=0)
    return Section(
        title="Findings",
        tables=[
            Table(
                frame=pd.DataFrame(rows[:MOST]),
                caption="Gap in points, images with the concept minus those without, in each audit "
                "in which it was significant.",
                columns={"before": points, "after": points},
            )
        ],
        notes=[f"{len(rows) - MOST} more are in comparison.json."] if len(rows) > MOST else [],
    )


def _finding(state: str, before: Finding | None, after: Finding | None) -> dict[str, object]:
    one = before or after
    return {
        "finding": ""
        if one is None
        else clip(f"{one.class_name or 'all classes'}: {' + '.join(one.concepts)}"),
        "state": state,
        "before": None if before is None else gap(before.effect),
        "after": None if after is None else gap(after.effect),
    }


def _cues(comparison: AuditComparison) -> Section:
    found = comparison.cues
    rows = [_cue("gone", cue, None) for cue in found.fixed]
    rows += [_cue("remains", a, b) for a, b in found.remaining]
    rows += [_cue("new", None, cue) for cue in found.new]
    if not rows:
        return Section(title="Cues", text=["No cue was claimed in either audit."])
    points = Column(format="points", digits=0)
    return Section(
        title="Cues",
        tables=[
            Table(
                frame=pd.DataFrame(rows),
                caption="Flips beyond the control and accuracy that hangs on the cue, in points.",
                columns=dict.fromkeys(
                    ("flips before", "flips after", "reliance before", "reliance after"), points
                ),
            )
        ],
    )


def _cue(state: str, before: CueRecord | None, after: CueRecord | None) -> dict[str, object]:
    one = before or after
    return {
        "cue": "" if one is None else clip(one.name),
        "state": state,
        "flips before": None if before is None else known(before.excess),
        "flips after": None if after is None else known(after.excess),
        "reliance before": None if before is None else known(before.reliance),
        "reliance after": None if after is None else known(after.reliance),
    }
