"""Findings in the report of an audit: where the error is higher, the images, what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from sundog.core.audit.summary import AuditSummary
from sundog.core.inspection.finding import Effect, Evidence, Finding
from sundog.core.inspection.wording import claim as ranked_claim
from sundog.core.statistics import Estimate, wilson_interval
from sundog.report import phrases
from sundog.report.audit_commands import Commands
from sundog.report.audit_pictures import Shelf
from sundog.report.audit_words import (
    SPURIOUS,
    adjusted,
    class_named,
    clip,
    dismissed,
    gap,
    images_of,
    people,
    percent,
    quoted,
    remarks,
    sentence,
    size,
)
from sundog.report.blocks import Action, Badge, Gallery, Photo
from sundog.report.interval_chart import IntervalChart, IntervalRow
from sundog.report.section import Section
from sundog.report.table import Column, Table

TITLE = "Where its error is higher"
OPEN, PICTURED, ROWS, ACROSS = 3, 10, 300, 8
"""Findings shown open, with pictures, in the table; pictures of a row."""
STRIPS = {
    "present": "With it (random sample)",
    "absent": "Without it (random sample)",
    "top": "Most of it (illustration)",
    "bottom": "Least of it (illustration)",
}


def findings_section(summary: AuditSummary, shelf: Shelf, commands: Commands) -> list[Section]:
    """Return the section of findings, or none if nothing was found."""
    ordered = order_findings(summary)
    if not ordered:
        return []
    pictured = ordered[:PICTURED]
    parts = [
        _one(finding, summary, shelf, number=number)
        for number, finding in enumerate(pictured, start=1)
    ]
    return [
        Section(
            title=TITLE,
            text=[
                "Inside each class, images with a concept are compared with images without it. A "
                "gap says that the error differs, not why: the concept may go together with the "
                "cause. p-values are corrected for everything that was looked at."
            ],
            action=Action(
                "Say of each finding whether the concept belongs to the class; then mend the "
                "classifier with what was confirmed.",
                f"{commands.review}\n{commands.debias}\n{commands.again}",
            ),
            parts=[*parts, _all(ordered, summary)],
        )
    ]


def order_findings(summary: AuditSummary) -> list[Finding]:
    """Return the findings in order: own ones, other views of the same, those people rejected."""

    def last(finding: Finding) -> tuple[bool, bool]:
        return dismissed(summary, finding.id), bool(finding.explained_by)

    return sorted((f for f in summary.findings if str(f.kind) != "cue"), key=last)


def standing(summary: AuditSummary) -> list[Finding]:
    """Return the findings that stand on their own and that nobody rejected."""
    return [
        finding
        for finding in order_findings(summary)
        if not finding.explained_by and not dismissed(summary, finding.id)
    ]


def where(finding: Finding, *, without: bool = False) -> str:
    """Return which images: ``tench images with 'water'``."""
    link = "without" if without else "with"
    return f"{images_of(finding.class_name)} {link} {_together(finding)}"


def error_claim(finding: Finding) -> str:
    """Return one sentence: on which images the model's error is higher, and by how much."""
    effect = finding.effect
    if finding.source == "ranking" or effect.present is None or effect.absent is None:
        return sentence(ranked_claim(finding))
    worse = where(finding, without=finding.direction == "helps")
    sizes = f"n = {effect.n_present:,} with it, {effect.n_absent:,} without"
    by = size(gap(effect), negative=finding.direction != "helps")
    pair = (effect.present, effect.absent)
    first, second = pair if finding.direction != "helps" else reversed(pair)
    if effect.metric == "accuracy":
        return (
            f"The model's error is higher on {worse}: {percent(1 - first)} wrong against "
            f"{percent(1 - second)}, a difference of {by} ({sizes})."
        )
    return (
        f"The model is less sure of {worse}: the label gets a mean probability of {percent(first)} "
        f"against {percent(second)}, a difference of {by} ({sizes})."
    )


def _one(finding: Finding, summary: AuditSummary, shelf: Shelf, *, number: int) -> Section:
    return Section(
        title=f"{number}. {class_named(finding.class_name) or 'All classes'}: {_names(finding)}",
        badges=_badges(finding, summary),
        text=[error_claim(finding), *filter(None, [_more(finding)])],
        galleries=_galleries(finding, summary, shelf),
        charts=_chart(finding),
        action=Action(_advice(finding, summary)),
        notes=remarks(finding.note, summary.judged_before.get(finding.id)),
        fold=number > OPEN,
    )


def _badges(finding: Finding, summary: AuditSummary) -> list[Badge]:
    found = [Badge(f"{adjusted(finding.p_adjusted)} over {finding.tests:,} tests")]
    again = finding.replication
    if again is None:
        found.append(Badge("not repeated on another half"))
    else:
        words = {
            "confirmed": "confirmed on the other half of the images",
            "not confirmed": "not confirmed on the other half of the images",
        }.get(again.status, "halves too small to repeat it")
        found.append(Badge(words, "plain" if again.status == "confirmed" else "unsure"))
    if finding.explained_by:
        found.append(Badge(f"another view of {quoted(finding.explained_by)}"))
    confirmed = summary.verdicts.get(finding.id) in SPURIOUS
    found.append(Badge(people(summary, finding.id), "alarm" if confirmed else "plain"))
    return found


def _more(finding: Finding) -> str:
    parts = []
    if finding.errors is not None and finding.expected_errors is not None:
        parts.append(
            f"{phrases.counted(finding.errors, 'error')} on the images with it, where "
            f"{finding.expected_errors:.1f} were to be expected"
        )
    again = finding.replication
    if again is not None and again.effect is not None and again.effect.gap is not None:
        parts.append(
            "the half of the images that had no part in the search gives "
            f"{size(gap(again.effect), negative=finding.direction != 'helps')} "
            f"(n = {again.effect.n_present:,} with, {again.effect.n_absent:,} without)"
        )
    return sentence("; ".join(parts))


def _chart(finding: Finding) -> list[IntervalChart]:
    effect = finding.effect
    if effect.metric != "accuracy" or effect.present is None or effect.absent is None:
        return []
    rows = [
        IntervalRow("with it", _error(effect.present, effect.n_present)),
        IntervalRow("without it", _error(effect.absent, effect.n_absent)),
    ]
    return [IntervalChart(rows, "Share wrong", count="images")]


def _error(accuracy: float, n: int) -> Estimate:
    return wilson_interval(min(n, max(0, n - round(accuracy * n))), n)


def _galleries(finding: Finding, summary: AuditSummary, shelf: Shelf) -> list[Gallery]:
    found: list[Gallery] = []
    for strip, title in STRIPS.items():
        chosen = [e for e in finding.evidence if e.strip == strip and e.image in summary.images]
        photos = [_photo(evidence, summary, shelf) for evidence in chosen[:ACROSS]]
        whole = [photo for photo in photos if photo is not None]
        if whole and len(found) < 2:
            found.append(Gallery(title, whole))
    if found:
        return found
    files = summary.pictures.get(finding.id, ())[: 2 * ACROSS]
    what = f"{where(finding)}"
    plain = [shelf.photo(file, words="", alt=f"One of the {what}") for file in files]
    seen = [photo for photo in plain if photo is not None]
    return [Gallery("Images of this finding", seen)] if seen else []


def _photo(evidence: Evidence, summary: AuditSummary, shelf: Shelf) -> Photo | None:
    card = summary.images[evidence.image]
    return shelf.photo(
        card.thumbnail,
        words=clip(card.predicted, 40),
        alt=f"{clip(card.class_name, 40)}, predicted {clip(card.predicted, 40)}",
        correct=card.correct,
    )


def _advice(finding: Finding, summary: AuditSummary) -> str:
    if dismissed(summary, finding.id):
        return f"Nothing: {people(summary, finding.id)}. It is left out of the repairs."
    if finding.explained_by:
        return f"Look at {quoted(finding.explained_by)} first: mending it may mend this too."
    effect = finding.effect
    few = where(finding, without=finding.direction == "helps")
    count = effect.n_absent if finding.direction == "helps" else effect.n_present
    if finding.direction == "helps":
        lean = f"It may lean on {_together(finding)}. "
        if summary.verdicts.get(finding.id) in SPURIOUS:
            return f"{lean}Mend the classifier, or collect more {few} (there are {count:,})."
        return (
            f"{lean}If that does not belong to the class, mend the classifier, or collect more "
            f"{few} (there are {count:,})."
        )
    return (
        f"Collect or weight up {few} (there are {count:,}), and check their labels; do not rely on "
        "it there until a second audit shows the difference gone."
    )


def _all(ordered: Sequence[Finding], summary: AuditSummary) -> Section:
    shown = ordered[:ROWS]
    frame = pd.DataFrame([_row(finding, summary) for finding in shown])
    if (frame["score"] == "accuracy").all():
        frame = frame.drop(columns="score")
    more = len(ordered) - len(shown)
    caption = "Every finding; intervals are 95 %, p-values corrected for all tests."
    if more:
        caption += f" {more:,} more are in audit.json."
    return Section(
        title=f"{phrases.counted(len(ordered), 'finding')} in one table",
        fold=True,
        tables=[
            Table(
                frame=frame,
                caption=caption,
                columns={
                    "with": Column("with it", format="percent", digits=0),
                    "without": Column("without it", format="percent", digits=0),
                    "gap": Column("difference (points)", format="points", digits=0),
                    "n": Column("n with / without", format="text"),
                    "p": Column("corrected p", format="p"),
                    "half": Column("on the other half", format="text"),
                    "verdict": Column("people", format="text"),
                },
            )
        ],
    )


def _row(finding: Finding, summary: AuditSummary) -> dict[str, object]:
    effect: Effect = finding.effect
    return {
        "images of": clip(finding.class_name, 60) or "all classes",
        "concept": _names(finding),
        "score": effect.metric,
        "with": math.nan if effect.present is None else effect.present,
        "without": math.nan if effect.absent is None else effect.absent,
        "gap": gap(effect),
        "n": f"{effect.n_present:,} / {effect.n_absent:,}",
        "p": math.nan if finding.p_adjusted is None else finding.p_adjusted,
        "half": finding.replication.status if finding.replication else "",
        "verdict": people(summary, finding.id),
    }


def _names(finding: Finding) -> str:
    return " + ".join(clip(name, 60) for name in finding.concepts[:6])


def _together(finding: Finding) -> str:
    return " + ".join(f"'{clip(name, 60)}'" for name in finding.concepts[:6])
