"""Documentation duties in the report of an audit: what is filled, what a person must state."""

from __future__ import annotations

from sundog.core.audit.summary import AuditSummary
from sundog.report.audit_words import clip
from sundog.report.blocks import Check, Tone
from sundog.report.duties import DISCLAIMER, Filled, fill_duties, further_answers
from sundog.report.section import Section

TITLE = "Documentation duties"
LONGEST = 1200
TONES: dict[str, Tone] = {
    "from the run": "calm",
    "from a person": "calm",
    "a person must add": "unsure",
    "open": "unsure",
}


def duties_section(summary: AuditSummary) -> list[Section]:
    """Return the section of documentation duties; always there."""
    filled = fill_duties(summary)
    waiting = [item for item in filled if item.open]
    settled = [item for item in filled if not item.open]
    further = further_answers(summary)
    return [
        Section(
            title=TITLE,
            text=[
                f"{len(settled)} of {len(filled)} items that the EU AI Act, the NIST AI Risk "
                "Management Framework, model cards and data cards ask of a classifier's test are "
                f"filled; for {len(waiting)} a person must state something. {DISCLAIMER}"
            ],
            parts=[
                *_part(f"Open: a person must state ({len(waiting)})", waiting),
                *_part(f"Filled ({len(settled)})", settled),
                *_further(further),
            ],
        )
    ]


def _part(title: str, items: list[Filled]) -> list[Section]:
    if not items:
        return []
    return [Section(title=title, fold=True, checks=[_check(item) for item in items])]


def _check(item: Filled) -> Check:
    parts = []
    if item.person:
        parts.append(f"A person states: {clip(item.person, LONGEST)}")
    if item.run:
        parts.append(f"{'The run says: ' if item.person else ''}{clip(item.run, LONGEST)}")
    if item.open:
        parts.append(f"A person must state {item.duty.ask}.")
    return Check(
        question=item.duty.title,
        answer=" ".join(parts),
        tone=TONES[item.state],
        word=item.state,
        note=f"{'; '.join(item.duty.asked_by)}. Field: {item.duty.key}",
    )


def _further(answers: dict[str, str]) -> list[Section]:
    if not answers:
        return []
    facts = {clip(key, 60): clip(text, LONGEST) for key, text in list(answers.items())[:40]}
    return [Section(title="Also stated by a person", fold=True, facts=facts)]
