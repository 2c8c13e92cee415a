"""Is an event about something that the query has, and may this reviewer say it?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from sundog.core.inspection.events import Event
from sundog.core.inspection.finding import Finding

SAMPLES = ("present", "absent")
"""Strips that are random samples; only there can a tag be called wrong."""


class Refused(Exception):  # noqa: N818 - not an error of ours: it is told to the reviewer
    """Why an event is not taken."""


class Judged(Protocol):
    """What the check needs of a session."""

    query_hash: str
    findings: dict[str, Finding]
    concepts: frozenset[str]


def check_event(session: Judged, event: Event, known: Mapping[str, Event]) -> None:
    """Raise :class:`Refused` unless the event fits the query.

    Args:
        session: the inspection under review.
        event: to be added.
        known: events before it, by id; what an undo takes back must be there.
    """
    if event.query != session.query_hash:
        raise Refused("it is about another inspection; load the page again")
    if not event.reviewer.strip() or event.reviewer != event.reviewer.strip():
        raise Refused("the reviewer's name is empty or has spaces around it")
    try:
        datetime.fromisoformat(event.time)
    except ValueError:
        raise Refused("the time is not ISO 8601") from None
    if event.action == "undo":
        taken_back = known.get(event.undoes or "")
        if taken_back is None or taken_back.reviewer != event.reviewer:
            raise Refused("there is no such act of this reviewer to undo")
    elif event.action in ("rename", "merge"):
        _check_names(session, event)
    else:
        _check_finding(session, event)


def _check_names(session: Judged, event: Event) -> None:
    if event.concept not in session.concepts:
        raise Refused("the query has no such concept")
    if event.action == "merge" and event.name not in session.concepts:
        raise Refused("a concept can only be merged into another concept of the query")
    if not (event.name or "").strip():
        raise Refused("a name needs a character that can be seen")


def _check_finding(session: Judged, event: Event) -> None:
    finding = session.findings.get(event.finding or "")
    if finding is None:
        raise Refused("the query has no such finding")
    if event.image is not None and not any(
        evidence.image == event.image and evidence.strip in SAMPLES for evidence in finding.evidence
    ):
        raise Refused("the image is not in this finding's random samples")
