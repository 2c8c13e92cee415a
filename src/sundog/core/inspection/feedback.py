"""The feedback: what each reviewer says now, folded from the events; a file a person may edit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sundog.core.errors import RunFolderError
from sundog.core.inspection.events import Event, Verdict
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.query import Query
from sundog.core.inspection.record import FileRecord, Record

FEEDBACK_FILE = "feedback.json"


class Answer(Record):
    """What one reviewer says of one finding.

    Attributes:
        finding: its id.
        class_name: of the finding, for people who read the file.
        concepts: of the finding, for people who read the file.
        reviewer: who.
        verdict: None = not judged yet.
        confidence: 1 to 5.
        note: free text.
        wrong_images: images of the finding's random samples whose tag is wrong.
        tags_checked: whether all images of the samples were looked at, so that those not listed as
            wrong count as right.
        seconds: time spent.
        blind: whether the gap was hidden until the verdict.
    """

    finding: str
    class_name: str = ""
    concepts: tuple[str, ...] = ()
    reviewer: str = Field(default="", max_length=80)
    verdict: Verdict | None = None
    confidence: int | None = Field(default=None, ge=1, le=5)
    note: str = Field(default="", max_length=4000)
    wrong_images: tuple[str, ...] = ()
    tags_checked: bool = False
    seconds: float | None = None
    blind: bool = False


class Feedback(FileRecord):
    """All answers to one query.

    Attributes:
        format: always ``sundog-feedback``.
        version: of this layout.
        query: content hash of the query that was answered.
        answers: one per reviewer and finding.
        names: concept -> name that reviewers gave it.
        merged: concept -> concept it was said to be the same as.
    """

    format: Literal["sundog-feedback"] = "sundog-feedback"
    version: Literal[1] = 1
    query: str
    answers: tuple[Answer, ...] = ()
    names: dict[str, str] = Field(default_factory=dict)
    merged: dict[str, str] = Field(default_factory=dict)


def fold_events(
    query: Query, events: Iterable[Event], *, query_hash: str | None = None
) -> Feedback:
    """Return the feedback that the events add up to; undone events do not count.

    Events are taken in the order written; the last word of a reviewer holds, ``undo`` takes one
    event back, and an undo can be undone.

    Args:
        query: what the events are about.
        events: in the order written.
        query_hash: ``query.content_hash()`` if it is known (2 s for 2,000 findings).

    Raises:
        RunFolderError: an event of another query, or about a finding that the query does not have.
    """
    kept = list(events)
    wanted = query.content_hash() if query_hash is None else query_hash
    foreign = [event for event in kept if event.query != wanted]
    if foreign:
        raise RunFolderError(
            "The verdicts",
            expected=f"of query {wanted[:12]}",
            got=f"{len(foreign)} of {len(kept)} of query {foreign[0].query[:12]}",
            hint="They were given on another inspection; open that one.",
        )
    undone = _undone(kept)
    findings = {finding.id: finding for finding in query.findings}
    answers: dict[tuple[str, str], Answer] = {}
    names: dict[str, str] = {}
    merged: dict[str, str] = {}
    for event in kept:
        if event.id in undone or event.action == "undo":
            continue
        if event.action == "rename" and event.concept is not None and event.name is not None:
            names[event.concept] = event.name
        elif event.action == "merge" and event.concept is not None and event.name is not None:
            merged[event.concept] = event.name
        elif event.finding is not None:
            key = (event.reviewer, event.finding)
            before = answers.get(key) or _blank(findings.get(event.finding), *key)
            answers[key] = _answered(before, event)
    return Feedback(
        query=wanted,
        answers=tuple(answers[key] for key in sorted(answers)),
        names=dict(sorted(names.items())),
        merged=dict(sorted((k, v) for k, v in merged.items() if k != v)),
    )


def read_feedback(path: str | os.PathLike[str], query: Query) -> Feedback:
    """Read a feedback file, refusing one that answers another query.

    Raises:
        RunFolderError: unreadable, or of another query, or about unknown findings or images.
    """
    feedback = Feedback.read(path)
    check_feedback(feedback, query, subject=f"Feedback {str(Path(path))!r}")
    return feedback


def check_feedback(feedback: Feedback, query: Query, *, subject: str = "The feedback") -> None:
    """Refuse feedback that does not answer ``query``.

    Raises:
        RunFolderError: another query's hash, an unknown finding or image, or two answers of one
            reviewer to one finding.
    """
    wanted = query.content_hash()
    if feedback.query != wanted:
        raise RunFolderError(
            subject,
            expected=f"an answer to query {wanted[:12]}",
            got=f"one to query {feedback.query[:12]}",
            hint="Data, model, tagger or parameters differ; review this query anew.",
        )
    seen: set[tuple[str, str]] = set()
    findings = {finding.id: finding for finding in query.findings}
    for answer in feedback.answers:
        finding = findings.get(answer.finding)
        if finding is None:
            raise RunFolderError(
                subject, expected="about findings of the query", got=f"finding {answer.finding!r}"
            )
        strange = set(answer.wrong_images) - {e.image for e in finding.evidence}
        if strange:
            raise RunFolderError(
                subject,
                expected=f"about images shown with finding {finding.id}",
                got=f"{len(strange)} others",
            )
        if (answer.reviewer, answer.finding) in seen:
            raise RunFolderError(
                subject,
                expected="one answer per reviewer and finding",
                got=f"two of {answer.reviewer!r} to {finding.id}",
            )
        seen.add((answer.reviewer, answer.finding))


def blank_feedback(query: Query, *, reviewer: str = "") -> Feedback:
    """Return a feedback with one empty answer per finding, to be filled in by hand."""
    return Feedback(
        query=query.content_hash(),
        answers=tuple(_blank(finding, reviewer, finding.id) for finding in query.findings),
    )


def to_events(feedback: Feedback, *, reviewer: str) -> tuple[Event, ...]:
    """Return the events that say what a feedback file says; empty answers say nothing.

    Args:
        feedback: checked with :func:`check_feedback`.
        reviewer: who, where the file does not say.
    """
    found = []
    for answer in feedback.answers:
        common: dict[str, Any] = {
            "query": feedback.query,
            "reviewer": answer.reviewer or reviewer,
            "finding": answer.finding,
        }
        found += [Event(**common, action="tag wrong", image=i) for i in answer.wrong_images]
        if answer.tags_checked:
            found.append(Event(**common, action="tags checked"))
        if answer.verdict is not None:
            found.append(
                Event(
                    **common,
                    action="verdict",
                    verdict=answer.verdict,
                    confidence=answer.confidence,
                    note=answer.note,
                    seconds=answer.seconds,
                    blind=answer.blind,
                )
            )
    named: tuple[tuple[Literal["rename", "merge"], Mapping[str, str]], ...] = (
        ("rename", feedback.names),
        ("merge", feedback.merged),
    )
    for action, given in named:
        for concept, name in given.items():
            found.append(
                Event(
                    query=feedback.query,
                    reviewer=reviewer,
                    action=action,
                    concept=concept,
                    name=name,
                )
            )
    return tuple(found)


def _blank(finding: Finding | None, reviewer: str, finding_id: str) -> Answer:
    if finding is None:
        raise RunFolderError(
            "An event", expected="about a finding of the query", got=repr(finding_id)
        )
    return Answer(
        finding=finding_id,
        class_name=finding.class_name,
        concepts=finding.concepts,
        reviewer=reviewer,
    )


def _answered(answer: Answer, event: Event) -> Answer:
    changes: dict[str, object] = {}
    if event.action == "verdict":
        changes = {
            "verdict": event.verdict,
            "confidence": event.confidence,
            "note": event.note,
            "seconds": event.seconds,
            "blind": event.blind,
        }
    elif event.action == "tags checked":
        changes = {"tags_checked": True}
    elif event.image is not None:
        wrong = set(answer.wrong_images) - {event.image}
        if event.action == "tag wrong":
            wrong.add(event.image)
        changes = {"wrong_images": tuple(sorted(wrong))}
    return answer.model_copy(update=changes)


def _undone(events: list[Event]) -> set[str]:
    """Return ids of events that do not count; the last undo is taken first."""
    undone: set[str] = set()
    for event in reversed(events):
        if event.action == "undo" and event.id not in undone and event.undoes is not None:
            undone.add(event.undoes)
    return undone
