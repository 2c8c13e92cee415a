"""What the page is told: the query once, then whatever changed since it last asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sundog.core.inspection.events import VERDICTS, Event
from sundog.core.inspection.feedback import Answer, Feedback
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.results import agreement, check_tags, display_name
from sundog.review.facts import facts
from sundog.review.progress import decision
from sundog.review.sentences import claim, meaning, question, tag_check
from sundog.review.session import Session


def query_data(session: Session) -> dict[str, Any]:
    """Return the query with the words and figures that go with each finding."""
    query = session.query
    return {
        "hash": session.query_hash,
        "verdicts": VERDICTS,
        "query": query.to_json(),
        "words": {
            finding.id: {
                "claim": claim(finding),
                "question": question(finding),
                "meaning": meaning(finding, query.alpha),
                "facts": facts(finding, alpha=query.alpha),
            }
            for finding in query.findings
        },
    }


def state_data(session: Session, *, reviewer: str, since: int) -> dict[str, Any]:
    """Return what changed after the first ``since`` events, for one reviewer.

    Args:
        session: the inspection under review.
        reviewer: whose own events are sent whole (the page folds them itself, so that it can show
            what was not sent yet).
        since: how many events the page has seen; 0, or more than there are, starts anew.

    Returns:
        ``revision`` (events so far), ``fresh`` (whether everything is sent), ``mine`` (events of
        the reviewer), ``findings`` (those that changed: the others' answers, decision, tag check),
        ``names``, ``merged``, ``words`` (sentences of findings whose concepts were renamed),
        ``agreement``, ``damaged``. Tag checks come with what is new; with ``fresh`` a finding that
        has one says ``tags_later``.
    """
    log = session.log()
    fresh = not 0 < since <= len(log.events)
    news = log.events if fresh else log.events[since:]
    feedback = session.feedback(log.events)
    touched = _touched(log.events, news)
    by_finding: dict[str, list[Answer]] = {}
    for answer in feedback.answers:
        by_finding.setdefault(answer.finding, []).append(answer)
    return {
        "revision": len(log.events),
        "fresh": fresh,
        "mine": [
            event.model_dump(mode="json", exclude_none=True)
            for event in news
            if event.reviewer == reviewer
        ],
        "findings": {
            key: _finding_data(session, key, by_finding.get(key, []), reviewer, with_tags=not fresh)
            for key in touched
        },
        "names": feedback.names,
        "merged": feedback.merged,
        "words": _renamed(session, feedback),
        "agreement": agreement(feedback).model_dump(mode="json"),
        "reviewers": sorted({answer.reviewer for answer in feedback.answers}),
        "damaged": log.damaged,
    }


def estimate_data(session: Session, key: str) -> dict[str, Any]:
    """Return the tag check of one finding (10 ms each, so the page asks when it shows one)."""
    feedback = session.feedback(session.events_of(key))
    return _tag_data(session.findings[key], feedback.answers)


def _touched(events: Iterable[Event], news: Iterable[Event]) -> list[str]:
    """Return findings that new events are about; an undo is about what it takes back."""
    by_id = {event.id: event for event in events}
    found: dict[str, None] = {}
    for event in news:
        about: Event | None = event
        for _ in range(len(by_id)):
            if about is None or about.action != "undo":
                break
            about = by_id.get(about.undoes or "")
        if about is not None and about.finding is not None:
            found[about.finding] = None
    return list(found)


def _finding_data(
    session: Session,
    key: str,
    answers: Sequence[Answer],
    reviewer: str,
    *,
    with_tags: bool,
) -> dict[str, Any]:
    data: dict[str, Any] = {
        "decision": decision(session.findings[key], answers),
        "others": [
            answer.model_dump(mode="json", include={"reviewer", "verdict", "confidence", "note"})
            for answer in answers
            if answer.reviewer != reviewer and answer.verdict is not None
        ],
    }
    if with_tags:
        data |= _tag_data(session.findings[key], answers)
    elif any(answer.tags_checked or answer.wrong_images for answer in answers):
        data["tags_later"] = True
    return data


def _tag_data(finding: Finding, answers: Sequence[Answer]) -> dict[str, Any]:
    tags = check_tags(finding, answers)
    return {
        "tags": None if tags is None else tags.model_dump(mode="json"),
        "tag_words": None if tags is None else tag_check(tags, finding.effect),
        "blind_tag_words": None if tags is None else tag_check(tags, finding.effect, blind=True),
    }


def _renamed(session: Session, feedback: Feedback) -> dict[str, Any]:
    if not feedback.names and not feedback.merged:
        return {}
    changed = {
        concept: shown
        for concept in session.concepts
        if (shown := display_name(concept, feedback)) != concept
    }
    found = {}
    for key, finding in session.findings.items():
        if any(concept in changed for concept in finding.concepts):
            names = [changed.get(concept, concept) for concept in finding.concepts]
            found[key] = {"claim": claim(finding, names), "question": question(finding, names)}
    return found
