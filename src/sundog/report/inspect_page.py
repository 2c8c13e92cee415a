"""The page of a bias inspection: what was found, the images behind it, what could not be seen."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from sundog.core.inspection.finding import Evidence, Finding
from sundog.core.inspection.query import ClassSummary, Query
from sundog.core.inspection.results import Agreement, Judged, Results
from sundog.core.inspection.wording import claim, consequence, p_text, points, verdict_text, whose
from sundog.core.statistics import Estimate
from sundog.report.audit_words import class_named
from sundog.report.cue_strips import cue_strips
from sundog.report.page import Page, Section
from sundog.report.picture import Picture
from sundog.report.strips import Shot, Strip, strips_figure
from sundog.report.table import Column, Table
from sundog.report.thumbnails import read_thumbnail

MOST_PICTURED = 12
"""Findings shown with pictures; all are in the table."""
STRIPS = {
    "top": "Most of it (illustration)",
    "present": "With it (random sample)",
    "absent": "Without it (random sample)",
}
_CONCEPT = "✓ right, ✗ wrong; below each picture the predicted class."
_CUE = "Pictures below each other belong together: the part of the first is put into the second."


def inspect_page(
    query: Query,
    results: Results,
    *,
    folder: str | os.PathLike[str],
    display_k: int = 8,
    command: str = "",
) -> Page:
    """Build the page from the records alone: no model, no data.

    Args:
        query: what was looked at.
        results: what passed the filters, with verdicts.
        folder: run folder with the pictures; one that is missing is left out.
        display_k: images per strip.
        command: how to reproduce.
    """
    found = results.findings
    headline, tone = _headline(query, found)
    sections = [Section(title="What was found", **_found(query, found))]  # type: ignore[arg-type]
    sections += [
        _one(query, judged, Path(folder), display_k=display_k, number=number)
        for number, judged in enumerate(found[:MOST_PICTURED], start=1)
    ]
    if query.classes:
        sections.append(_classes(query.classes))
    if results.agreement is not None and results.agreement.reviewers:
        sections.append(_reviewers(results.agreement))
    sections += [
        Section(
            title="What was asked",
            facts={
                "classifier": query.classifier,
                "images": query.image_set,
                "taggers and sorters": ", ".join(query.taggers) or "none",
                "metric": query.metric,
                "probability of any false finding": f"at most {query.alpha:.0%}",
                **{name.replace("_", " "): _plain(v) for name, v in query.parameters.items()},
                **{f"hash of {name}": value for name, value in query.fingerprints.items()},
            },
        ),
        Section(
            title="Limits",
            text=[
                "A finding says that the classifier's score differs with the concept inside the "
                "class, more than chance explains. It does not say why: the concept may be the "
                "cause, or go together with it. Whether it belongs to the class is for a person to "
                "say (sundog review).",
                "A concept that no tagger names cannot be found. 'Nothing found' means nothing "
                "larger than the smallest detectable gap of the table.",
            ],
            notes=list(query.notes),
        ),
        Section(title="How to reproduce", code=command or "see manifest.json"),
    ]
    return Page(
        title=query.title,
        headline=headline,
        tone=tone,
        lead="Inside each class, images with a concept are compared with images without it. "
        "p-values are corrected for every class, concept and combination that was looked at.",
        sections=sections,
    )


def _headline(
    query: Query, found: Sequence[Judged]
) -> tuple[str, Literal["alarm", "calm", "unsure", "plain"]]:
    spurious = [j for j in found if j.decision not in ("core", "concept absent")]
    shown = [j for j in spurious if not j.finding.explained_by] or spurious
    looked = _count(len(query.classes), "class")
    if shown:
        cues = sum(j.finding.kind == "cue" for j in shown)
        slices = [j for j in shown if j.finding.kind != "cue"]
        inside = [j for j in slices if j.finding.class_name]
        classes = len({j.finding.class_name for j in inside})
        confirmed = sum(j.decision == "shortcut" for j in shown)
        said = [f"{_count(cues, 'cue')} found that predictions follow"] if cues else []
        if inside or not cues:
            said.append(f"{_count(len(inside), 'bias')} found in {classes} of {looked}")
        if len(slices) > len(inside):
            said.append(f"{_count(len(slices) - len(inside), 'bias')} over all classes together")
        text = "; ".join(said)
        if confirmed:
            text += f"; {confirmed} confirmed as shortcuts by people"
        return text + ".", "alarm"
    if found:
        return f"Nothing but core features and misnamed concepts was found in {looked}.", "calm"
    if not query.classes:
        return "No cue was found that predictions follow.", "unsure"
    known = [c.smallest_detectable for c in query.classes if c.smallest_detectable is not None]
    if not any(c.tests for c in query.classes):
        return f"Nothing could be tested in {looked}.", "unsure"
    if not known:
        return (
            f"No bias found in {looked}, but with so few images no gap, however large, would "
            "have been seen.",
            "unsure",
        )
    middle = float(np.median(known))
    text = (
        f"No bias found in {looked}; in the middle class, a gap below {100 * middle:.0f} points "
        "would have gone unseen."
    )
    return text, "calm" if middle <= 0.25 else "unsure"


def _found(query: Query, found: Sequence[Judged]) -> dict[str, object]:
    if not found:
        return {
            "text": [
                f"None of {sum(c.tests for c in query.classes):,} tests was significant after "
                "correction."
            ]
        }
    own = [j for j in found if not j.finding.explained_by]
    other = [j for j in found if j.finding.explained_by]
    tables = []
    if own:
        caption = (
            f"Findings that stand on their own ({query.metric}); intervals are 95 %, p-values are "
            "corrected for all tests of the inspection."
        )
        tables.append(_table(own, caption))
    if other:
        caption = (
            "Other views of the same: outside the images of a stronger finding, these gaps are no "
            "longer seen."
        )
        tables.append(_table(other, caption))
    return {"tables": tables}


def _table(found: Sequence[Judged], caption: str) -> Table:
    rows = []
    for judged in found:
        finding, effect = judged.finding, judged.finding.effect
        rows.append(
            {
                "class": whose(finding),
                "concept": " + ".join(judged.names),
                "effect": finding.direction,
                "with": effect.present if effect.present is not None else math.nan,
                "without": effect.absent if effect.absent is not None else math.nan,
                "gap": _estimate(finding),
                "n": f"{effect.n_present} / {effect.n_absent}",
                "p": finding.p_adjusted if finding.p_adjusted is not None else math.nan,
                "half": finding.replication.status if finding.replication else "",
                "verdict": verdict_text(judged),
            }
        )
    return Table(
        frame=pd.DataFrame(rows),
        caption=caption,
        columns={
            "with": Column("with it", format="percent", digits=0),
            "without": Column("without it", format="percent", digits=0),
            "gap": Column("gap (points)", format="points", digits=0),
            "n": Column("n with / without", format="text"),
            "p": Column("corrected p", format="p"),
            "half": Column("on the other half of the data", format="text"),
            "verdict": Column("people say", format="text"),
        },
    )


def _one(query: Query, judged: Judged, folder: Path, *, display_k: int, number: int) -> Section:
    finding = judged.finding
    strips = [
        _strip(query, finding, folder, strip, title, display_k)
        for strip, title in STRIPS.items()
        if any(e.strip == strip for e in finding.evidence)
    ]
    wanted = sum(min(display_k, sum(e.strip == name for e in finding.evidence)) for name in STRIPS)
    missing = wanted - sum(len(strip.shots) for strip in strips)
    lost = f"{missing} of {wanted} pictures of this finding could not be read." if missing else ""
    strips.append(_preview(query, finding.concepts, folder))
    strips += cue_strips(finding, folder, display_k)
    strips = [strip for strip in strips if strip.shots]
    names = " + ".join(judged.names)
    pictures = []
    if strips:
        pictures.append(
            Picture(
                source=strips_figure(strips, columns=max(1, min(display_k, 12))),
                caption=_CUE if finding.cue else _CONCEPT,
                alt=f"Images of {whose(finding)} with and without {names}.",
            )
        )
    return Section(
        title=f"{number}. {_capital(class_named(whose(finding)))}: {names}",
        text=[
            f"{claim(finding, judged.names)} {consequence(finding)} {_evidence(finding, query)}",
            *_more(judged),
        ],
        pictures=pictures,
        notes=[note for note in (finding.note, *judged.notes, lost) if note],
    )


def _evidence(finding: Finding, query: Query) -> str:
    parts = [f"Corrected {p_text(finding.p_adjusted)} over {finding.tests:,} tests"]
    if finding.errors is not None and finding.expected_errors is not None:
        parts.append(
            f"{finding.errors} errors where {finding.expected_errors:.1f} were to be expected"
        )
    if finding.expected_images is not None and len(finding.concepts) > 1:
        parts.append(
            f"{finding.effect.n_present} images carry all of it, {finding.expected_images:.1f} "
            "would if the concepts were independent"
        )
    return "; ".join(parts) + "."


def _more(judged: Judged) -> list[str]:
    finding, found = judged.finding, []
    if finding.shapley and len(finding.concepts) > 1:
        shares = ", ".join(f"{n} {100 * v:+.0f}" for n, v in finding.shapley.items())
        found.append(f"The gap splits over its concepts (Shapley, points): {shares}.")
    for parent in finding.parents:
        if parent.gap is not None:
            found.append(
                f"Without the rest, {' + '.join(parent.concepts)} (n = {parent.n}) has a gap of "
                f"{100 * parent.gap:+.0f} points."
            )
    again = finding.replication
    if again is not None and again.effect is not None:
        found.append(
            f"Searched for on a random half alone: {again.status}; the other half (n = "
            f"{again.effect.n_present} with, {again.effect.n_absent} without) gives "
            f"{points(again.effect)}."
        )
    if judged.tags is not None:
        check = judged.tags
        text = (
            f"Reviewers checked the tags of {check.checked_present + check.checked_absent} images "
            f"and found {check.wrong_present + check.wrong_absent} wrong"
        )
        if check.corrected is not None:
            text += f"; corrected for such errors the gap is {points(check.corrected)}"
        found.append(text + (f" ({check.note})." if check.note else "."))
    return found


def _strip(
    query: Query, finding: Finding, folder: Path, strip: str, title: str, display_k: int
) -> Strip:
    chosen = [e for e in finding.evidence if e.strip == strip][:display_k]
    return Strip(title=title, shots=[s for e in chosen if (s := _shot(query, e, folder))])


def _shot(query: Query, evidence: Evidence, folder: Path) -> Shot | None:
    card = query.images[evidence.image]
    pixels = read_thumbnail(folder / card.thumbnail)
    if pixels is None:
        return None
    return Shot(pixels=pixels, predicted=card.predicted, correct=card.correct)


def _preview(query: Query, concepts: Sequence[str], folder: Path) -> Strip:
    """Return what a learned tag stands for: a stamp, or the middle of a cluster."""
    shots = []
    for concept in concepts:
        file = query.previews.get(concept)
        pixels = None if file is None else read_thumbnail(folder / file)
        if pixels is not None:
            shots.append(Shot(pixels=pixels, predicted=concept, correct=None))
    return Strip(title="The tag itself, enlarged", shots=shots)


def _classes(classes: Sequence[ClassSummary]) -> Section:
    frame = pd.DataFrame(
        [
            {
                "class": c.name,
                "accuracy": _accuracy(c),
                "n": c.n,
                "concepts": c.concepts,
                "tests": c.tests,
                "findings": c.findings,
                "smallest": math.nan if c.smallest_detectable is None else c.smallest_detectable,
                "note": c.note,
            }
            for c in classes
        ]
    )
    if not frame["note"].astype(bool).any():
        frame = frame.drop(columns="note")
    return Section(
        title="Class by class",
        tables=[
            Table(
                frame=frame,
                caption="Smallest detectable gap: of a concept that half the class carries, at the "
                "corrected level, with 80 % power. Rarer concepts need larger gaps.",
                columns={
                    "accuracy": Column(format="percent", digits=0, mark=False),
                    "n": Column("images", format="integer"),
                    "concepts": Column("concepts tested", format="integer"),
                    "tests": Column("tests", format="integer"),
                    "findings": Column(format="integer"),
                    "smallest": Column("smallest detectable gap", format="percent", digits=0),
                },
            )
        ],
    )


def _reviewers(agreement: Agreement) -> Section:
    facts: dict[str, object] = {"reviewers": agreement.reviewers}
    if agreement.kappa is not None:
        interval = (
            f" [{agreement.low:.2f}, {agreement.high:.2f}]"
            if agreement.low is not None and agreement.high is not None
            else ""
        )
        facts["Fleiss' kappa (spurious / core / other)"] = f"{agreement.kappa:.2f}{interval}"
        facts["findings judged by two or more"] = agreement.findings
    if agreement.agreement is not None:
        facts["pairs of reviewers who agree"] = f"{agreement.agreement:.0%}"
    return Section(title="Reviewers", facts=facts, notes=[agreement.note] if agreement.note else [])


def _estimate(finding: Finding) -> Estimate | float:
    effect = finding.effect
    if effect.gap is None:
        return math.nan
    low = math.nan if effect.low is None else effect.low
    high = math.nan if effect.high is None else effect.high
    n = effect.n_present + effect.n_absent
    return Estimate(effect.gap, low, high, n, effect.level, effect.method)


def _accuracy(summary: ClassSummary) -> Estimate | float:
    if summary.accuracy is None or summary.low is None or summary.high is None:
        return math.nan
    return Estimate(summary.accuracy, summary.low, summary.high, summary.n, 0.95, "wilson")


def _capital(text: str) -> str:
    return "All classes" if text == "all classes" else text


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    return "default" if value is None else str(value)


def _count(number: int, thing: str) -> str:
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{number} {thing if number == 1 else plural}"
