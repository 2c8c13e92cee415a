"""The report of an audit at a glance: one question a row, its answer, how bad it is."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from sundog.core.audit.summary import AuditSummary
from sundog.report import (
    audit_changes,
    audit_cues,
    audit_explanations,
    audit_findings,
    audit_performance,
    audit_record,
    audit_risk,
    audit_tested,
    phrases,
)
from sundog.report.audit_words import adjusted, bare_points, clip, dismissed, known, sentence, share
from sundog.report.blocks import Check
from sundog.report.section import Section

TITLE = "At a glance"
BLIND = 0.25
"""A search that would miss a gap of this size says little when it finds nothing."""


def glance_section(summary: AuditSummary) -> Section:
    """Return the questions that a reader has, answered in a line each."""
    checks = [
        _cues(summary),
        _findings(summary),
        *_performance(summary),
        *_changes(summary),
        *_explanations(summary),
        *_risk(summary),
        _stages(summary),
    ]
    return Section(title=TITLE, checks=checks)


def _cues(summary: AuditSummary) -> Check:
    question = "Do its predictions follow a cue?"
    first = audit_cues.strongest(summary)
    if first is not None:
        others = sum(not dismissed(summary, cue.id) for cue in summary.cues) - 1
        text = (
            f"Yes: '{clip(first.name, 60)}' turns {phrases.share(known(first.flip))} of "
            f"{phrases.counted(first.flip.n, 'image')} of other classes into its own class, its "
            f"control {phrases.share(known(first.control))} ({adjusted(first.p_adjusted)})."
        )
        if others:
            text += (
                f" {phrases.counted(others, 'more cue')} {'is' if others == 1 else 'are'} claimed."
            )
        return Check(question, text, "alarm", "cue found", audit_cues.TITLE)
    if summary.cues:
        text = "People judged every claimed cue to be part of its class."
        return Check(question, text, "plain", "judged as core", audit_cues.TITLE)
    if not summary.cue_tests:
        return _untested(question, "Cues were not tested.", "cues", summary)
    return Check(
        question,
        f"Not shown. {audit_tested.cues_unseen(summary)}",
        "calm",
        "none found",
        audit_tested.TITLE,
    )


def _findings(summary: AuditSummary) -> Check:
    question = "Is its error higher on images with some concept?"
    alone = audit_findings.standing(summary)
    if alone:
        first = alone[0]
        text = f"{audit_findings.error_claim(first)} {sentence(adjusted(first.p_adjusted))}"
        rest = len(alone) - 1
        if rest:
            stand = "stands on its own" if rest == 1 else "stand on their own"
            text += f" {phrases.counted(rest, 'more finding')} {stand}."
        return Check(question, text, "alarm", phrases.counted(len(alone), "finding"),
                     audit_findings.TITLE)  # fmt: skip
    if audit_findings.order_findings(summary):
        text = "People judged every finding to be part of its class, or misnamed."
        return Check(question, text, "plain", "judged as core", audit_findings.TITLE)
    text = audit_tested.concepts_unseen(summary)
    if not summary.tested_concepts:
        return _untested(question, text, "findings", summary)
    gaps = [math.inf if g is None else g for g in summary.smallest_detectable.values()]
    blind = not gaps or float(np.median(gaps)) > BLIND
    return Check(
        question,
        f"Not shown. {text}",
        "unsure" if blind else "calm",
        "cannot tell" if blind else "none found",
        audit_tested.TITLE,
    )


def _untested(question: str, text: str, name: str, summary: AuditSummary) -> Check:
    """Say that nothing was tested, and whether that is because a stage failed."""
    if any(stage.name == name and stage.status == "failed" for stage in summary.stages):
        return Check(question, f"{text} The stage failed.", "alarm", "failed", audit_record.TITLE)
    return Check(question, text, "unsure", "not tested", audit_tested.TITLE)


def _performance(summary: AuditSummary) -> list[Check]:
    made = summary.performance
    if made is None:
        return [Check("How often is it right?", "Performance was not measured.", "unsure",
                      "not tested")]  # fmt: skip
    text = audit_performance.overall(made)
    if made.worst is not None:
        text += (
            f" Lowest: {audit_performance.name_of(made.worst)} with "
            f"{phrases.share(known(made.worst.accuracy))} of {made.worst.n:,}."
        )
    accuracy = known(made.accuracy)
    value = accuracy.value
    tone: Literal["plain", "unsure"] = "plain"
    if accuracy.low <= 1 / max(len(summary.class_names), 1):
        tone = "unsure"
        text += " It may be no better than guessing."
    word = "–" if math.isnan(value) else phrases.share(value)
    return [Check("How often is it right?", text, tone, word, audit_performance.TITLE)]


def _changes(summary: AuditSummary) -> list[Check]:
    if not summary.changes:
        return []
    sides = [audit_changes.judged(change) for change in summary.changes]
    better, worse = sides.count("better"), sides.count("worse")
    tone, word = ("unsure", "mixed") if better and worse else ("plain", "not shown")
    if better and not worse:
        tone, word = "calm", "better"
    elif worse and not better:
        tone, word = "alarm", "worse"
    biggest = max(summary.changes, key=lambda change: abs(known(change.difference).value)
                  if math.isfinite(known(change.difference).value) else 0.0)  # fmt: skip
    made = known(biggest.difference)
    text = (
        f"{better} of {phrases.counted(len(sides), 'number')} better, {worse} worse. Largest "
        f"change: {clip(biggest.what, 80)}, {phrases.points(made, digits=0)} (n = {made.n:,})."
    )
    return [Check("Did it change?", text, tone, word, audit_changes.TITLE)]  # type: ignore[arg-type]


def _explanations(summary: AuditSummary) -> list[Check]:
    made = summary.explanations
    if made is None or not made.scores:
        return []
    beaten = any(row.better_than_random and not row.control for row in made.scores)
    return [
        Check(
            "May its maps be believed?",
            audit_explanations.believed(made),
            "plain" if beaten else "unsure",
            "some" if beaten else "none shown",
            audit_explanations.TITLE,
        )
    ]


def _risk(summary: AuditSummary) -> list[Check]:
    made = summary.risk
    if made is None:
        return []
    wrong = len(made.label_errors)
    text = f"{phrases.counted(wrong, 'label')} may be wrong."
    if made.rarest is not None and made.commonest is not None:
        text += f" The rarest tenth of the images is right on {share(made.rarest)}"
        gap = known(made.commonest).value - known(made.rarest).value
        if math.isfinite(gap):
            side = "below" if gap >= 0 else "above"
            text += f", {bare_points(gap)} {side} the commonest tenth"
        text += "."
    return [
        Check(
            "Which images need a look?",
            text,
            "unsure" if wrong else "plain",
            phrases.counted(wrong, "label"),
            audit_risk.TITLE,
        )
    ]


def _stages(summary: AuditSummary) -> Check:
    failed = any(stage.status == "failed" for stage in summary.stages)
    return Check(
        "Did the audit finish?",
        audit_record.ended(summary),
        "alarm" if failed else "plain",
        "stages failed" if failed else "yes",
        audit_record.TITLE,
    )
