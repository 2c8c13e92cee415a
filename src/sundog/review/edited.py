"""Verdicts as a file that a person edits: what to write into it, and what it changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sundog.core.errors import InputError, RunFolderError
from sundog.core.inspection.events import Event, EventLog, append_events
from sundog.core.inspection.feedback import Answer, Feedback, blank_feedback, read_feedback
from sundog.review.check_event import Refused, check_event
from sundog.review.session import Session


@dataclass(frozen=True)
class Imported:
    """What a feedback file added.

    Attributes:
        events: added to the log.
        kept: answers in the log that are empty in the file; a file cannot take a verdict back.
        unused: answers with a confidence or a note but no verdict.
    """

    events: int
    kept: int
    unused: int


def exported(session: Session, *, reviewer: str = "") -> Feedback:
    """Return what was said so far, with an empty answer of ``reviewer`` to every other finding."""
    said = session.feedback()
    known = {answer.finding for answer in said.answers if answer.reviewer == reviewer}
    blank = blank_feedback(session.query, reviewer=reviewer)
    todo = tuple(answer for answer in blank.answers if answer.finding not in known)
    order = {key: place for place, key in enumerate(session.findings)}
    answers = sorted((*said.answers, *todo), key=lambda one: (order[one.finding], one.reviewer))
    return said.model_copy(update={"answers": tuple(answers)})


def import_feedback(
    session: Session, path: str | os.PathLike[str], *, reviewer: str = ""
) -> Imported:
    """Add what a feedback file says beyond the log; all of it or, if anything is wrong, nothing.

    Args:
        session: the inspection under review.
        path: the file.
        reviewer: who, where the file does not say.

    Raises:
        RunFolderError: unreadable, of another query, or about what the query does not have.
        InputError: an answer of nobody.
    """
    feedback = read_feedback(path, session.query)
    kept = unused = 0
    for answer in feedback.answers:
        if answer.verdict is None and (answer.confidence is not None or answer.note):
            unused += 1

    def choose(log: EventLog) -> list[Event]:
        nonlocal kept
        said = {(a.reviewer, a.finding): a for a in session.feedback(log.events).answers}
        known = {event.id: event for event in log.events}
        fresh = []
        current = session.feedback(log.events)
        for event in _changes(current, feedback, reviewer=reviewer):
            try:
                check_event(session, event, known)
            except Refused as reason:
                raise RunFolderError(
                    f"Feedback {str(path)!r}", expected="about this query", got=str(reason)
                ) from reason
            fresh.append(event)
        for answer in feedback.answers:
            before = said.get((answer.reviewer or reviewer, answer.finding))
            kept += before is not None and before.verdict is not None and answer.verdict is None
        return fresh

    return Imported(
        events=len(append_events(session.folder, choose)), kept=int(kept), unused=unused
    )


def _changes(current: Feedback, wanted: Feedback, *, reviewer: str) -> Iterator[Event]:
    """Return the events that lead from what was said to what the file says."""
    said = {(answer.reviewer, answer.finding): answer for answer in current.answers}
    for answer in wanted.answers:
        who = answer.reviewer or reviewer
        before = said.get((who, answer.finding)) or Answer(finding=answer.finding)
        found = list(_answer_changes(before, answer))
        if found and not who:
            raise InputError(
                "reviewer",
                expected="given for every answer",
                got="an answer of nobody",
                hint="Fill in 'reviewer', or add --reviewer NAME.",
            )
        for fields in found:
            yield Event(query=current.query, reviewer=who, finding=answer.finding, **fields)
    for action, old, new in (
        ("rename", current.names, wanted.names),
        ("merge", current.merged, wanted.merged),
    ):
        for concept, name in new.items():
            if old.get(concept) != name:
                if not reviewer:
                    raise InputError(
                        "reviewer",
                        expected="given for renamed and merged concepts",
                        got="none",
                        hint="Add --reviewer NAME.",
                    )
                fields = {"action": action, "concept": concept, "name": name}
                yield Event.model_validate({"query": current.query, "reviewer": reviewer, **fields})


def _answer_changes(before: Answer, after: Answer) -> Iterator[dict[str, Any]]:
    old, new = set(before.wrong_images), set(after.wrong_images)
    for image in sorted(new - old):
        yield {"action": "tag wrong", "image": image}
    if after.verdict is not None or new:  # an untouched blank answer takes nothing back
        for image in sorted(old - new):
            yield {"action": "tag right", "image": image}
    if after.tags_checked and not before.tags_checked:
        yield {"action": "tags checked"}
    said = ("verdict", "confidence", "note")
    if after.verdict is not None and any(getattr(before, f) != getattr(after, f) for f in said):
        yield {
            "action": "verdict",
            **{name: getattr(after, name) for name in (*said, "seconds", "blind")},
        }
