"""How far the review is: verdicts per reviewer, decisions, agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sundog.core.inspection.events import Verdict
from sundog.core.inspection.feedback import Answer, Feedback
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.results import Agreement, Decision, agreement, judge_finding
from sundog.review.session import Session


@dataclass(frozen=True)
class Progress:
    """How far the review is.

    Attributes:
        findings: of the query.
        judged: with a verdict of at least one reviewer.
        verdicts: reviewer -> how many of each verdict.
        decisions: of majorities.
        agreement: of the reviewers.
        damaged: lines of the log that could not be read.
    """

    findings: int
    judged: int
    verdicts: dict[str, Counter[Verdict]]
    decisions: Counter[Decision]
    agreement: Agreement
    damaged: int

    def sentence(self) -> str:
        """Return ``12 verdicts by 1 reviewer``."""
        given = sum(found.total() for found in self.verdicts.values())
        people = len(self.verdicts)
        return (
            f"{given:,} verdict{'' if given == 1 else 's'} by "
            f"{people} reviewer{'' if people == 1 else 's'}"
        )


def review_progress(session: Session, feedback: Feedback | None = None) -> Progress:
    """Count what was said so far."""
    said = session.feedback() if feedback is None else feedback
    verdicts: dict[str, Counter[Verdict]] = {}
    for answer in said.answers:
        if answer.verdict is not None:
            verdicts.setdefault(answer.reviewer, Counter())[answer.verdict] += 1
    answers: dict[str, list[Answer]] = {}
    for answer in said.answers:
        answers.setdefault(answer.finding, []).append(answer)
    decisions = Counter(
        decision(finding, answers.get(key, ())) for key, finding in session.findings.items()
    )
    return Progress(
        findings=len(session.findings),
        judged=len(session.findings) - decisions["unreviewed"],
        verdicts=verdicts,
        decisions=decisions,
        agreement=agreement(said),
        damaged=session.log().damaged,
    )


def decision(finding: Finding, answers: Sequence[Answer]) -> Decision:
    """Return what the majority says, without the slower estimate of tag errors."""
    bare = [
        answer.model_copy(update={"wrong_images": (), "tags_checked": False}) for answer in answers
    ]
    return judge_finding(finding, bare).decision
