"""The report of an audit: the answer first, then each cue and finding, then what it rests on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from sundog.core.audit.summary import AuditSummary
from sundog.report.audit_changes import changes_section
from sundog.report.audit_commands import commands_of
from sundog.report.audit_cues import cues_section
from sundog.report.audit_duties import duties_section
from sundog.report.audit_explanations import explanations_section
from sundog.report.audit_findings import findings_section
from sundog.report.audit_glance import glance_section
from sundog.report.audit_headline import headline, numbers
from sundog.report.audit_performance import performance_section
from sundog.report.audit_pictures import Shelf
from sundog.report.audit_record import alarms, limits_section, record_section
from sundog.report.audit_risk import risk_section
from sundog.report.audit_tested import tested_section
from sundog.report.audit_words import clip
from sundog.report.page import Page

TONES: dict[str, Literal["alarm", "calm", "unsure"]] = {
    "bias found": "alarm",
    "no bias found": "calm",
    "cannot tell": "unsure",
}
SECOND = {"bias found": "Where it is biased", "cannot tell": "Why"}
LOOKED, THIRD = "What was looked for", "What to do"
"""What the second and the third sentence of the answer say; the first is the headline."""
SENTENCE = 600
"""Characters of a sentence of the answer."""


def audit_page(summary: AuditSummary, *, folder: str | os.PathLike[str], command: str = "") -> Page:
    """Build the page from the record and the pictures of the run folder: no model, no data.

    The order is that of a reader with ten minutes: the answer in three sentences; a table at a
    glance; each cue and each finding with its evidence and what to do; before and after;
    performance; explanations; risk; what was not found; limits; documentation duties; how to
    reproduce. A stage that failed is told before everything else.

    Args:
        summary: ``audit.json``.
        folder: run folder with the pictures; one that is missing is left out, and counted.
        command: how to reproduce; the manifest's if empty.
    """
    shelf = Shelf(Path(folder))
    commands = commands_of(summary, folder=Path(folder), command=command)
    sections = [
        glance_section(summary),
        *cues_section(summary, shelf, commands),
        *findings_section(summary, shelf, commands),
        *changes_section(summary),
        *performance_section(summary),
        *explanations_section(summary, shelf),
        *risk_section(summary, shelf),
        *tested_section(summary),
        *limits_section(summary, lost=shelf.lost_note()),
        *duties_section(summary),
        *record_section(summary, commands),
    ]
    _, second, third = (clip(sentence, SENTENCE) for sentence in summary.answer)
    if summary.verdict == "bias found":
        second = numbers(summary) or second
    return Page(
        title=clip(summary.title),
        headline=headline(summary) or "No answer.",
        tone=TONES[summary.verdict],
        word=summary.verdict,
        answers={SECOND.get(summary.verdict, LOOKED): second, THIRD: third},
        alarms=alarms(summary),
        sections=sections,
        footer=_footer(summary),
    )


def _footer(summary: AuditSummary) -> str:
    versions = summary.manifest.get("versions")
    version = versions.get("sundog") if isinstance(versions, dict) else None
    created = summary.manifest.get("created")
    parts = [
        f"Sundog {clip(version, 20)}" if isinstance(version, str) else "Sundog",
        clip(created, 40) if isinstance(created, str) else "",
        f"audit {summary.content_hash()}",
        "This report says where the model's error is higher and what its predictions follow; it "
        "never says that a model is free of bias.",
    ]
    return " · ".join(part for part in parts if part)
