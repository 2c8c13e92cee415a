"""The results: what was found, what people said of it, and what the tagger's errors change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import isnan
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sundog.core.errors import InputError
from sundog.core.inspection.events import SPURIOUS, VERDICTS, Verdict
from sundog.core.inspection.feedback import Answer, Feedback
from sundog.core.inspection.finding import Effect, Finding
from sundog.core.inspection.query import ClassSummary, ImageCard, Query
from sundog.core.inspection.record import FileRecord, Record
from sundog.core.statistics.agreement import fleiss_kappa
from sundog.core.statistics.estimate import Estimate
from sundog.core.statistics.tag_errors import TagErrors, TagReview, estimate_tag_errors

RESULTS_FILE = "results.json"
PROVISIONAL = "provisional: nobody has said that all images of the samples were checked"
Decision = Literal["shortcut", "core", "concept absent", "not sure", "split", "unreviewed"]
"""Shortcut: a majority said spurious. Split: no majority."""


class Rate(Record):
    """A rate with its 95 % interval; None where nothing was checked."""

    value: float | None
    low: float | None
    high: float | None


class TagCheck(Record):
    """What the reviewers' image toggles say of the tagger, and of the gap.

    Attributes:
        checked_present: images with the tag that were checked.
        wrong_present: of these, wrongly tagged.
        checked_absent: images without the tag that were checked.
        wrong_absent: of these, the tag was missed.
        false_positive: P(tagged | concept absent).
        false_negative: P(not tagged | concept present).
        corrected: the gap between images with and without the concept itself.
        note: why there is no estimate, or that it is provisional.
    """

    checked_present: int
    wrong_present: int
    checked_absent: int
    wrong_absent: int
    false_positive: Rate | None = None
    false_negative: Rate | None = None
    corrected: Effect | None = None
    note: str = ""


class Judged(Record):
    """A finding with what people said of it.

    Attributes:
        finding: as it was put to them.
        names: its concepts as renamed and merged by them.
        verdicts: how many said what.
        decision: of the majority.
        confidence: mean, 1 to 5, or None.
        notes: what they wrote.
        tags: their check of the tagger, or None.
    """

    finding: Finding
    names: tuple[str, ...]
    verdicts: dict[str, int] = Field(default_factory=dict)
    decision: Decision = "unreviewed"
    confidence: float | None = None
    notes: tuple[str, ...] = ()
    tags: TagCheck | None = None


class Agreement(Record):
    """How far several reviewers agree on spurious or not, beyond chance.

    Attributes:
        kappa: Fleiss' kappa of spurious / core / other; 1 = always, 0 = as by chance; None with
            fewer than two reviewers of one finding.
        low: lower end of its 95 % interval.
        high: upper end.
        agreement: share of pairs of reviewers who said the same.
        findings: judged by two or more.
        reviewers: people.
        note: why there is no kappa.
    """

    kappa: float | None
    low: float | None
    high: float | None
    agreement: float | None
    findings: int
    reviewers: int
    note: str = ""


class Results(FileRecord):
    """What an inspection found after the people spoke.

    Attributes:
        format: always ``sundog-results``.
        version: of this layout.
        query: content hash of the query.
        title: of the query.
        classifier: its name.
        image_set: its name.
        filters: thresholds that a finding had to pass.
        findings: that passed, in the query's order.
        left_out: how many did not.
        classes: of the query.
        images: cards of the images shown.
        agreement: of the reviewers.
        fingerprints: of the query.
        notes: of the query.
    """

    format: Literal["sundog-results"] = "sundog-results"
    version: Literal[1] = 1
    query: str
    title: str
    classifier: str
    image_set: str
    filters: dict[str, Any] = Field(default_factory=dict)
    findings: tuple[Judged, ...] = ()
    left_out: int = 0
    classes: tuple[ClassSummary, ...] = ()
    images: dict[str, ImageCard] = Field(default_factory=dict)
    agreement: Agreement | None = None
    fingerprints: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


def judge(query: Query, feedback: Feedback | None) -> tuple[Judged, ...]:
    """Return every finding of the query with its verdicts, in the query's order."""
    answers: dict[str, list[Answer]] = {finding.id: [] for finding in query.findings}
    for answer in feedback.answers if feedback is not None else ():
        answers[answer.finding].append(answer)
    return tuple(
        judge_finding(finding, answers[finding.id], feedback) for finding in query.findings
    )


def judge_finding(
    finding: Finding, answers: Sequence[Answer], feedback: Feedback | None = None
) -> Judged:
    """Return one finding with what ``answers`` say of it."""
    said = [answer.verdict for answer in answers if answer.verdict is not None]
    sure = [answer.confidence for answer in answers if answer.confidence is not None]
    return Judged(
        finding=finding,
        names=tuple(display_name(concept, feedback) for concept in finding.concepts),
        verdicts={v: said.count(v) for v in VERDICTS if v in said},
        decision=_decide(said),
        confidence=sum(sure) / len(sure) if sure else None,
        notes=tuple(answer.note for answer in answers if answer.note),
        tags=check_tags(finding, answers),
    )


def display_name(concept: str, feedback: Feedback | None) -> str:
    """Return a concept's name after merging and renaming; chains are followed once each."""
    if feedback is None:
        return concept
    seen = {concept}
    while (target := feedback.merged.get(concept)) is not None and target not in seen:
        concept = target
        seen.add(concept)
    return feedback.names.get(concept, concept)


def agreement(feedback: Feedback) -> Agreement:
    """Return the reviewers' agreement on spurious / core / other."""
    votes: dict[str, Counter[str]] = {}
    people = set()
    for answer in feedback.answers:
        if answer.verdict is not None:
            people.add(answer.reviewer)
            votes.setdefault(answer.finding, Counter())[_coarse(answer.verdict)] += 1
    several = [v for v in votes.values() if v.total() >= 2]
    table = [[v[name] for name in ("spurious", "core", "other")] for v in several]
    found = fleiss_kappa(np.asarray(table, dtype=np.int64).reshape(len(table), 3))
    kappa = _rate(found.kappa)
    return Agreement(
        kappa=None if kappa is None else kappa.value,
        low=None if kappa is None else kappa.low,
        high=None if kappa is None else kappa.high,
        agreement=None if found.raw is None else found.raw.value,
        findings=len(several),
        reviewers=len(people),
        note=found.reason,
    )


def compile_results(
    query: Query,
    feedback: Feedback | None = None,
    *,
    sig_thresh: float | None = None,
    acc_thresh: float = 0.0,
    keep_core: bool = True,
) -> Results:
    """Filter the findings and join them with the verdicts.

    A concept that cannot be tested (a neuron of the classifier itself) stays if people called it a
    shortcut.

    Args:
        query: what was put before the reviewers.
        feedback: what they said, or None.
        sig_thresh: ceiling on the adjusted p-value; the query's alpha if None.
        acc_thresh: floor on the absolute gap; of a cue: on the share of predictions that follow it.
        keep_core: False leaves out what a majority called core or absent.

    Raises:
        InputError: a threshold outside [0, 1].
    """
    ceiling = query.alpha if sig_thresh is None else sig_thresh
    for name, value in (("sig_thresh", ceiling), ("acc_thresh", acc_thresh)):
        if not 0 <= value <= 1:
            raise InputError(name, expected="in [0, 1]", got=f"{value:g}")
    kept = []
    for judged in judge(query, feedback):
        finding = judged.finding
        gap = finding.effect.gap if finding.cue is None else finding.cue.excess.value
        tested = (
            finding.p_adjusted is not None
            and finding.p_adjusted <= ceiling
            and gap is not None
            and abs(gap) >= acc_thresh
        )
        by_eye = finding.p_adjusted is None and judged.decision == "shortcut"
        passes = (tested or by_eye) and (
            keep_core or judged.decision not in ("core", "concept absent")
        )
        if passes:
            kept.append(judged)
    shown = {e.image for judged in kept for e in judged.finding.evidence}
    return Results(
        query=query.content_hash(),
        title=query.title,
        classifier=query.classifier,
        image_set=query.image_set,
        filters={"sig_thresh": ceiling, "acc_thresh": acc_thresh, "keep_core": keep_core},
        findings=tuple(kept),
        left_out=len(query.findings) - len(kept),
        classes=query.classes,
        images={key: card for key, card in query.images.items() if key in shown},
        agreement=agreement(feedback) if feedback is not None else None,
        fingerprints=query.fingerprints,
        notes=query.notes,
    )


def check_tags(finding: Finding, answers: Sequence[Answer]) -> TagCheck | None:
    """Return what the reviewers' toggles on the random samples say, or None if none checked.

    An image counts once: wrong if a majority of those who checked it said so. Those who said that
    they checked all images of the samples count; as long as nobody did, those who marked one of
    them do, and the estimate is called provisional. A mark on an image outside of the random
    samples says nothing of how often tags are wrong.
    """
    sampled = {e.image for e in finding.evidence if e.strip in ("present", "absent")}
    checkers = [answer for answer in answers if answer.tags_checked]
    provisional = not checkers
    if provisional:
        checkers = [answer for answer in answers if sampled & set(answer.wrong_images)]
    if not checkers:
        return None
    counts = {"present": [0, 0], "absent": [0, 0]}
    for evidence in finding.evidence:
        if evidence.strip not in counts:
            continue
        wrong = sum(evidence.image in answer.wrong_images for answer in checkers)
        counts[evidence.strip][0] += 1
        counts[evidence.strip][1] += int(2 * wrong > len(checkers))
    effect = finding.effect
    found = _tag_errors(
        TagReview(
            tagged=max(effect.n_present, counts["present"][0]),
            untagged=max(effect.n_absent, counts["absent"][0]),
            checked_tagged=counts["present"][0],
            wrong_tagged=counts["present"][1],
            checked_untagged=counts["absent"][0],
            wrong_untagged=counts["absent"][1],
        ),
        _gap(effect),
        effect.level,
    )
    corrected = found.gap
    return TagCheck(
        checked_present=counts["present"][0],
        wrong_present=counts["present"][1],
        checked_absent=counts["absent"][0],
        wrong_absent=counts["absent"][1],
        false_positive=_rate(found.false_positive_rate),
        false_negative=_rate(found.false_negative_rate),
        corrected=None
        if corrected is None
        else effect.model_copy(
            update={
                "present": None,
                "absent": None,
                "gap": corrected.value,
                "low": corrected.low,
                "high": corrected.high,
                "method": corrected.method,
            }
        ),
        note="; ".join(part for part in (found.reason, PROVISIONAL if provisional else "") if part),
    )


@lru_cache(maxsize=8192)
def _tag_errors(review: TagReview, gap: Estimate | None, level: float) -> TagErrors:
    """Remember estimates (10 ms each): the review page asks again after every act."""
    return estimate_tag_errors(review, gap=gap, level=level)


def _gap(effect: Effect) -> Estimate | None:
    if effect.gap is None or effect.low is None or effect.high is None:
        return None
    n = effect.n_present + effect.n_absent
    return Estimate(effect.gap, effect.low, effect.high, n, effect.level, effect.method)


def _rate(estimate: Estimate | None) -> Rate | None:
    if estimate is None:
        return None
    low, high = (None if isnan(end) else end for end in (estimate.low, estimate.high))
    return Rate(value=estimate.value, low=low, high=high)


def _coarse(verdict: Verdict) -> str:
    if verdict in SPURIOUS:
        return "spurious"
    return "core" if verdict == "core" else "other"


def _decide(said: Sequence[Verdict]) -> Decision:
    """Return what more than half of the verdicts say; both spurious kinds count as one."""
    if not said:
        return "unreviewed"
    grouped = Counter("shortcut" if verdict in SPURIOUS else verdict for verdict in said)
    (name, votes), *_ = grouped.most_common(1)
    if 2 * votes <= len(said):
        return "split"
    decisions: dict[str, Decision] = {
        "shortcut": "shortcut",
        "core": "core",
        "concept absent": "concept absent",
        "not sure": "not sure",
    }
    return decisions[name]
