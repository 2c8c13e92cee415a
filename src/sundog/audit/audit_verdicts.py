"""What people said of an audit: its cues and findings with the decision of the majority."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sundog.audit.results_run import gather_feedback
from sundog.core.audit.cue_findings import cue_findings
from sundog.core.audit.cues import CUES_FILE, CueRecord, Cues
from sundog.core.audit.summary import AUDIT_FILE, AuditSummary
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.query import QUERY_FILE, Query
from sundog.core.inspection.results import Decision, Judged, judge
from sundog.review.open_run import open_run

__all__ = ["REJECTED", "AuditVerdicts", "cue_findings", "read_verdicts"]

REJECTED: tuple[Decision, ...] = ("core", "concept absent")
"""What people say of a cue or finding that is no bias."""
CUES, INSPECT = "cues", "inspect"


@dataclass(frozen=True, eq=False)
class AuditVerdicts:
    """The claims of an audit, and what people said of them.

    Attributes:
        path: the run folder that was opened: of an audit, an inspection or a search for cues.
        judged_in: the folder whose verdicts these are.
        cues: claimed cues, strongest first.
        cues_folder: where their files are, or None.
        findings: of the inspection, without the cues.
        judged: id of a cue or finding -> its verdicts, whether or not there are any.
        before: id -> what an earlier audit's reviewers said, as this audit took it over.
        query: everything that was put before people.
        notes: half-written verdicts, in sentences.
    """

    path: Path
    judged_in: Path
    cues: tuple[CueRecord, ...]
    cues_folder: Path | None
    findings: tuple[Finding, ...]
    judged: Mapping[str, Judged]
    query: Query
    before: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def decision(self, identity: str) -> Decision:
        """Return what the majority says of a cue or finding, ``unreviewed`` if nobody did."""
        found = self.judged.get(identity)
        return "unreviewed" if found is None else found.decision

    def decisions(self) -> dict[str, Decision]:
        """Return id -> decision of everything that somebody judged."""
        return {i: j.decision for i, j in self.judged.items() if j.decision != "unreviewed"}

    def rejected(self, identity: str) -> bool:
        """Return whether people said that it is no bias: here or, if not here, an audit before."""
        decision = self.decision(identity)
        if decision == "unreviewed":
            return identity in self.before
        return decision in REJECTED

    def votes(self, identity: str) -> str:
        """Return ``2 of 3 reviewers``: who is behind the decision."""
        found = self.judged[identity]
        said, total = found.verdicts, sum(found.verdicts.values())
        if found.decision == "shortcut":
            agree = said.get("separate object", 0) + said.get("background", 0)
        else:
            agree = said.get(found.decision, 0)
        return f"{agree} of {total} reviewer{'' if total == 1 else 's'}"


def made_claims(run: str | Path) -> bool:
    """Return whether a run made a search, so that :func:`read_verdicts` can read it.

    An audit of the performance alone made none: there is nothing that people could have judged.

    Args:
        run: folder of an audit, an inspection or a search for cues.
    """
    places = (Path(run), *(Path(run) / name for name in (INSPECT, CUES)))
    return any((at / name).is_file() for at in places for name in (QUERY_FILE, CUES_FILE))


def read_verdicts(run: str | Path) -> AuditVerdicts:
    """Return the claims of an audit (or an inspection, or a search for cues) and their verdicts.

    Args:
        run: its folder.

    Raises:
        RunFolderError: nothing of the kind, or verdicts on another query.
    """
    path = Path(run)
    folder, query = open_run(path)
    feedback, notes = gather_feedback(folder, query)
    cues_folder = _cues_folder(path, folder)
    cues = () if cues_folder is None else Cues.read(cues_folder / CUES_FILE).claimed
    shown = {finding.id for finding in query.findings}
    missing = [cue.id for cue in cues if cue.id not in shown]
    if missing:
        notes = (
            *notes,
            f"{len(missing)} of {len(cues)} cues were never put before a person: the query of "
            f"{str(folder)!r} does not have them.",
        )
    return AuditVerdicts(
        path=path,
        judged_in=folder,
        cues=cues,
        cues_folder=cues_folder,
        findings=tuple(f for f in query.findings if f.kind != "cue"),
        judged={judged.finding.id: judged for judged in judge(query, feedback)},
        query=query,
        before=_judged_before(path),
        notes=notes,
    )


def review_command(run: str | Path) -> str:
    """Return the command that puts an audit before a person."""
    return shlex.join(["sundog", "review", str(run)])


def debias_command(
    source: str,
    model: str,
    run: str | Path,
    *,
    options: Sequence[str] = (),
    unreviewed: bool = False,
) -> str:
    """Return the command that mends a classifier by what an audit of it found.

    Args:
        source: the images, as typed.
        model: the classifier, as typed.
        run: folder of the audit.
        options: further words, e.g. ``--checkpoint FILE``.
        unreviewed: also by claimed cues that nobody has judged.
    """
    words = ["sundog", "debias", source, "--model", model, *options, "--from-audit", str(run)]
    return shlex.join([*words, "--unreviewed"] if unreviewed else words)


def _cues_folder(path: Path, judged_in: Path) -> Path | None:
    for folder in (path, path / CUES, judged_in, judged_in.parent / CUES):
        if (folder / CUES_FILE).is_file():
            return folder
    return None


def _judged_before(path: Path) -> dict[str, str]:
    """Return what this audit took over from one before it."""
    for folder in (path, path.parent):
        if (folder / AUDIT_FILE).is_file():
            return dict(AuditSummary.read(folder / AUDIT_FILE).judged_before)
    return {}
