"""The first two sentences of an audit's page: what is wrong in one line, then the numbers of it."""

from __future__ import annotations

import math

from sundog.core.audit.cues import CueRecord
from sundog.core.audit.summary import AuditSummary
from sundog.report import phrases
from sundog.report.audit_cues import strongest
from sundog.report.audit_findings import error_claim, standing, where
from sundog.report.audit_words import bare_share, clip, dismissed, known, listed

NAME = 60
"""Characters of a name in the first sentence."""


def headline(summary: AuditSummary) -> str:
    """Return the answer in one short sentence without numbers but counts of what was found.

    The verdict of the summary decides; where nothing of it stands any more (or the record holds no
    cue and no finding), its own first sentence is returned.
    """
    if summary.verdict == "bias found":
        return _found(summary) or clip(summary.answer[0], 300)
    right = _right(summary)
    if summary.verdict == "no bias found":
        return f"No bias was shown{f'; the model {right}' if right else ''}."
    return f"This audit cannot tell whether the model is biased{f'; it {right}' if right else ''}."


def numbers(summary: AuditSummary) -> str:
    """Return how large the strongest cue and finding are, each with n and interval, or nothing."""
    cue, findings = strongest(summary), standing(summary)
    parts = [_of_cue(cue)] if cue is not None else []
    claims = [error_claim(finding) for finding in findings[:1]]
    parts += [c.replace("The model's error", "Its error") if parts else c for c in claims]
    more = _claimed(summary) + len(findings) - len(parts)
    if not parts:
        return ""
    return " ".join(parts) + (f" {more} more below." if more else "")


def _found(summary: AuditSummary) -> str:
    cue, findings = strongest(summary), standing(summary)
    if cue is None and not findings:
        return ""
    if cue is None:
        text = f"The model's error is higher on {clip(where(findings[0]), 160)}"
        more = len(findings) - 1
        return text + (f" and on {phrases.counted(more, 'more group')} of images." if more else ".")
    name, many = f"'{clip(cue.name, NAME)}'", _claimed(summary)
    text = "The model follows "
    text += f"{many} cues, above all {name}" if many > 1 else f"a cue: {name}"
    if findings:
        text += f"; its error is higher on {phrases.counted(len(findings), 'group')} of images"
    return f"{text}."


def _right(summary: AuditSummary) -> str:
    """Return how often it is right; a share that may be chance is said to be one."""
    if summary.performance is None:
        return ""
    made = known(summary.performance.accuracy)
    if math.isnan(made.value):
        return ""
    poor = made.low <= 1 / max(len(summary.class_names), 1)
    return f"is right on {phrases.share(made)} of {phrases.counted(made.n, 'image')}" + (
        ", which may be no better than guessing" if poor else ""
    )


def _claimed(summary: AuditSummary) -> int:
    return sum(not dismissed(summary, cue.id) for cue in summary.cues)


def _of_cue(cue: CueRecord) -> str:
    flip, swapped = known(cue.flip), known(cue.swapped)
    source = f"{'classes' if len(cue.classes) > 1 else 'class'} {listed(cue.classes, most=3)}"
    text = (
        f"Moved from {source} into {phrases.counted(flip.n, 'image')} of other classes, it turns "
        f"{phrases.share(flip)} to its own class"
    )
    if not math.isnan(known(cue.control).value):
        text += f" (control {phrases.share(known(cue.control))})"
    if not math.isnan(swapped.value):
        text += (
            f"; with that of another class the model is right on {phrases.share(swapped)} instead "
            f"of {bare_share(cue.intact)} (n = {swapped.n:,})"
        )
    return f"{text}."
