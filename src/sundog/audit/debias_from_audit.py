"""What an audit tells a debiasing run to suppress: what people called spurious in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sundog.audit.audit_verdicts import AuditVerdicts, read_verdicts, review_command
from sundog.core.audit.cues import CueRecord
from sundog.core.errors import InputError
from sundog.core.inspection.finding import Finding

MOST_CONCEPTS = 2
"""Findings that become groups at once: with k concepts every class has 2^k groups."""


@dataclass(frozen=True)
class ToSuppress:
    """The claims of an audit that a classifier is mended by.

    Attributes:
        run: folder of the audit.
        cues: moved between images while the model is mended, strongest first.
        cues_folder: where the files of the cues are.
        findings: named concepts; images with and without them become groups.
        notes: what is used, on whose word, and what is not, and why.
    """

    run: Path
    cues: tuple[CueRecord, ...]
    cues_folder: Path | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def what_to_suppress(run: str | Path, *, unreviewed: bool = False) -> ToSuppress:
    """Return the cues and findings of an audit that people called spurious.

    A claim is used if a majority of its reviewers said *separate object* or *background*. One that
    was rejected (*core*, *concept absent*) is never used, nor one that was rejected in an audit
    before this one and not judged anew.

    Args:
        run: folder of an audit, an inspection or a search for cues.
        unreviewed: also take claimed cues that nobody has judged; findings never: that a concept
            goes with errors does not make it a cue.

    Raises:
        InputError: nothing to suppress; says what there is, and how to judge it.
        RunFolderError: no audit, or verdicts on another one.
    """
    found = read_verdicts(run)
    cues = tuple(cue for cue in found.cues if _wanted(found, cue.id, unreviewed=unreviewed))
    confirmed = [f for f in found.findings if _wanted(found, f.id, unreviewed=False)]
    testable = [f for f in confirmed if f.source == "tag"]
    findings, rest = testable[:MOST_CONCEPTS], testable[MOST_CONCEPTS:]
    if not cues and not findings:
        raise _nothing(found, ranked=len(confirmed) - len(testable))
    notes = [_said(found, cue.id, f"the cue '{cue.name}'") for cue in cues]
    notes += [_said(found, f.id, f"images with {_words(f)}") for f in findings]
    notes += [f"Not mended in this run: {_words(f)}; mend again with the next audit." for f in rest]
    if len(testable) < len(confirmed):
        notes.append(
            f"{len(confirmed) - len(testable)} confirmed rankings by a sorter have no threshold "
            "and give no groups."
        )
    notes += _left_out(found, {*(c.id for c in cues), *(f.id for f in confirmed)})
    return ToSuppress(
        run=Path(run),
        cues=cues,
        cues_folder=found.cues_folder,
        findings=tuple(findings),
        notes=(*notes, *found.notes),
    )


def _wanted(found: AuditVerdicts, identity: str, *, unreviewed: bool) -> bool:
    if found.rejected(identity):
        return False
    decision = found.decision(identity)
    return decision == "shortcut" or (unreviewed and decision == "unreviewed")


def _said(found: AuditVerdicts, identity: str, what: str) -> str:
    if found.decision(identity) == "unreviewed":
        return f"Suppressed: {what}, claimed by the audit; nobody has judged it."
    return f"Suppressed: {what}, called spurious by {found.votes(identity)}."


def _left_out(found: AuditVerdicts, used: set[str]) -> list[str]:
    """Return one sentence on the claims that are not used, by verdict."""
    claims = [*(c.id for c in found.cues), *(f.id for f in found.findings)]
    counts = Counter(
        "judged before to be no bias"
        if found.decision(i) == "unreviewed" and i in found.before
        else found.decision(i)
        for i in claims
        if i not in used
    )
    if not counts:
        return []
    return [f"Claims of the audit that are not used: {_listed(counts)}."]


def _nothing(found: AuditVerdicts, *, ranked: int) -> InputError:
    claims = [*(c.id for c in found.cues), *(f.id for f in found.findings)]
    counts: Counter[str] = Counter(found.decision(i) for i in claims)
    got = f"{_count(len(found.cues), 'cue')} and {_count(len(found.findings), 'finding')}"
    if counts:
        got += f": {_listed(counts)}"
    if ranked:
        hint = "A ranking by a sorter has no threshold; tag the images instead (--taggers)."
    elif counts["unreviewed"] or counts["split"] or counts["not sure"]:
        hint = f"Judge them: {review_command(found.path)}"
        if any(found.decision(c.id) == "unreviewed" for c in found.cues):
            hint += ". Or add --unreviewed to mend by the claimed cues as they are."
    elif claims:
        hint = "People judged all of it to be no bias: there is nothing to mend."
    else:
        hint = "The audit claims no cue and no finding: there is nothing to mend."
    return InputError(
        f"--from-audit {str(found.path)!r}",
        expected="an audit with a cue or a finding that people called spurious",
        got=got,
        hint=hint,
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _words(finding: Finding) -> str:
    what = " + ".join(f"'{name}'" for name in finding.concepts)
    return f"{what} in {finding.class_name}" if finding.class_name else f"{what} in all classes"
