"""Verdicts of an earlier audit that hold for this one: what was called no bias is not one again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sundog.audit.audit_verdicts import (
    REJECTED,
    AuditVerdicts,
    made_claims,
    read_verdicts,
)
from sundog.core.audit.cues import CueRecord
from sundog.core.audit.matching import box_overlap
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.results import Decision

LEAST_OVERLAP = 0.5
"""Intersection over union of two boxes from which on a new cue is the one that was judged."""


@dataclass(frozen=True)
class Carried:
    """One cue or finding of this audit that an earlier audit's reviewers have judged.

    Attributes:
        decision: what they said.
        earlier: its id in the earlier audit.
        why: in a sentence: who said what, and why it is the same.
    """

    decision: Decision
    earlier: str
    why: str


@dataclass(frozen=True)
class JudgedBefore:
    """What an earlier audit's verdicts say of this audit's claims.

    Attributes:
        rejected: id of this audit -> judged to be no bias: left out of the verdict, listed last.
        confirmed: id -> judged to be a shortcut, and still there.
        gone: name of what was rejected or confirmed before and is not claimed any more -> verdict.
        notes: why nothing could be taken over.
    """

    rejected: Mapping[str, Carried] = field(default_factory=dict)
    confirmed: Mapping[str, Carried] = field(default_factory=dict)
    gone: Mapping[str, Decision] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def sentences(self) -> dict[str, str]:
        """Return id -> why it is not counted: ``judged_before`` of an audit's summary."""
        return {identity: carried.why for identity, carried in self.rejected.items()}


def judged_before(
    before: str | Path,
    *,
    findings: Sequence[Finding],
    cues: Sequence[CueRecord],
    class_names: Sequence[str] = (),
    judged: Mapping[str, str] | None = None,
) -> JudgedBefore:
    """Return which claims of this audit were judged in an earlier audit of the same lineage.

    A finding is the same if its id is: class, concepts, kind and metric. A cue is the same if its
    id is, or if it speaks for no class that the earlier one did not speak for and lies in the same
    place: boxes that overlap by half or more, or, for a property of the whole image, the same
    family with the same parameters.

    Args:
        before: folder of the earlier audit.
        findings: of this audit.
        cues: claimed by this audit.
        class_names: of this audit's classifier; if the earlier one had others, nothing is taken
            over.
        judged: id -> verdict given on this audit itself: it counts, and not the earlier one.

    Raises:
        RunFolderError: the earlier folder is no audit, inspection or search for cues.
    """
    if not made_claims(before):
        return JudgedBefore()
    earlier = read_verdicts(before)
    known = {one.name for one in earlier.query.classes}
    strange = sorted(known - set(class_names)) if known and class_names else []
    if strange:
        return JudgedBefore(
            notes=(
                f"The verdicts given on {str(before)!r} were not taken over: its classes differ "
                f"(such as {strange[0]!r}).",
            )
        )
    matched = _match_findings(earlier, findings) | _match_cues(earlier, cues)
    fresh = {
        identity: carried
        for identity, carried in matched.items()
        if (judged or {}).get(identity, "unreviewed") == "unreviewed"
    }
    return JudgedBefore(
        rejected={i: c for i, c in fresh.items() if c.decision in REJECTED},
        confirmed={i: c for i, c in fresh.items() if c.decision == "shortcut"},
        gone=_gone(earlier, {carried.earlier for carried in matched.values()}),
    )


def same_cue(earlier: CueRecord, cue: CueRecord) -> bool:
    """Return whether a verdict on the earlier cue holds for the other: :func:`judged_before`."""
    if earlier.id == cue.id:
        return True
    if earlier.kind != cue.kind or not set(cue.classes) <= set(earlier.classes):
        return False
    if earlier.box is not None and cue.box is not None:
        return box_overlap(earlier.box, cue.box) >= LEAST_OVERLAP
    return (
        earlier.box is None
        and cue.box is None
        and bool(earlier.component)
        and earlier.component == cue.component
    )


def _match_findings(earlier: AuditVerdicts, findings: Sequence[Finding]) -> dict[str, Carried]:
    there = {finding.id for finding in earlier.findings}
    found = {}
    for finding in findings:
        if finding.id in there:
            carried = _carried(earlier, finding.id, "the same class and concepts")
            if carried is not None:
                found[finding.id] = carried
    return found


def _match_cues(earlier: AuditVerdicts, cues: Sequence[CueRecord]) -> dict[str, Carried]:
    found: dict[str, Carried] = {}
    for cue in cues:
        ordered = sorted(earlier.cues, key=lambda old: old.id != cue.id)  # the very same one first
        for old in ordered:
            if not same_cue(old, cue):
                continue
            how = "the same cue" if old.id == cue.id else f"in the place of '{old.name}'"
            carried = _carried(earlier, old.id, how)
            if carried is not None:
                found[cue.id] = carried
                break
    return found


def _carried(earlier: AuditVerdicts, identity: str, how: str) -> Carried | None:
    """Return the verdict on a claim of the earlier audit, or on one before that."""
    decision = earlier.decision(identity)
    if decision in REJECTED or decision == "shortcut":
        word = "a shortcut" if decision == "shortcut" else f"not a bias ({decision})"
        return Carried(
            decision=decision,
            earlier=identity,
            why=f"judged before: {word}, by {earlier.votes(identity)} of {earlier.path.name} "
            f"({how})",
        )
    if decision == "unreviewed" and identity in earlier.before:
        why = earlier.before[identity]
        absent = "(concept absent)" in why
        return Carried(decision="concept absent" if absent else "core", earlier=identity, why=why)
    return None


def _gone(earlier: AuditVerdicts, still: set[str]) -> dict[str, Decision]:
    names = {cue.id: cue.name for cue in earlier.cues}
    names |= {f.id: f"{f.class_name}: {' + '.join(f.concepts)}" for f in earlier.findings}
    return {
        names[identity]: decision
        for identity, decision in earlier.decisions().items()
        if identity in names
        and identity not in still
        and (decision in REJECTED or decision == "shortcut")
    }
