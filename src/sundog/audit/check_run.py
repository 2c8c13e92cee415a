"""``sundog check``: hold an audit against limits and against an earlier audit, for a pipeline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sundog.audit.audit_folder import open_audit, paired_changes, read_slices
from sundog.core.audit.baseline_gates import baseline_gates
from sundog.core.audit.gate import CheckReport
from sundog.core.audit.gates import Limits, limit_gates, stage_gates
from sundog.core.audit.junit import junit_xml
from sundog.core.audit.summary import AuditSummary
from sundog.core.files import write_bytes
from sundog.core.notebook import Card, InNotebook

NO_LIMITS = Limits()
INTERVALS = (
    "A gate fails if the whole interval breaks its limit, and passes if none of it does. Numbers "
    "that are judged by one limit have intervals that hold together: those of the audit are "
    "corrected where they are lists, and widened here (Bonferroni) where they are not."
)
OTHER_CLASSES = (
    "The two audits do not name the same classes in the same order: their images are not paired."
)


@dataclass(frozen=True, repr=False)
class CheckRun(InNotebook):
    """What :func:`check_audit` found: the report, and the files that were written."""

    report: CheckReport
    junit: Path | None
    json: Path | None

    def _card(self) -> Card:
        gates = self.report.gates
        rows = [
            {"gate": g.name, "decision": g.decision, "what was measured": g.message} for g in gates
        ]
        passed = self.report.passed
        return Card(
            headline=f"{len(gates)} gates of {self.report.title}: "
            f"{self.report.count('fail')} failed, {self.report.count('inconclusive')} inconclusive",
            word="passed" if passed else "failed",
            tone="calm" if passed else "alarm",
            tables=[("Gates", pd.DataFrame(rows))] if rows else [],
            link=self.junit,
            notes=self.report.notes,
        )


def check_audit(
    run: str | os.PathLike[str],
    *,
    limits: Limits = NO_LIMITS,
    baseline: str | os.PathLike[str] | None = None,
    strict: bool = False,
    junit: str | os.PathLike[str] | None = None,
    json: str | os.PathLike[str] | None = None,
) -> CheckRun:
    """Judge an audit; reads its folder alone, no model and no images.

    Args:
        run: folder of the audit.
        limits: that were asked for.
        baseline: folder of an earlier audit; new findings and cues and significantly worse numbers
            fail.
        strict: an inconclusive gate fails the check.
        junit: file for the pipeline, or None.
        json: file for everything else, or None.

    Raises:
        RunFolderError: a folder that is no audit.
        InputError: a limit outside [0, 1].
    """
    folder, audit = open_audit(run)
    gates = [*stage_gates(audit), *limit_gates(audit, limits)]
    old: AuditSummary | None = None
    notes = [INTERVALS]
    if baseline is not None:
        old_folder, old = open_audit(baseline)
        changes = (
            paired_changes(old_folder, folder, class_names=audit.class_names)
            if old.class_names == audit.class_names
            else []  # a label of one is another class in the other
        )
        if old.class_names != audit.class_names:
            notes.append(OTHER_CLASSES)
        gates += baseline_gates(
            audit,
            old,
            changes=changes,
            images_new=read_slices(folder),
            images_old=read_slices(old_folder),
        )
    failing = {"fail", "inconclusive"} if strict else {"fail"}
    report = CheckReport(
        title=audit.title,
        audit=audit.content_hash(),
        baseline="" if old is None else old.content_hash(),
        strict=strict,
        limits=limits.given(),
        gates=tuple(gates),
        passed=not any(gate.decision in failing for gate in gates),
        facts=plain_facts(audit.manifest),
        notes=tuple(notes),
    )
    return CheckRun(
        report=report,
        junit=None if junit is None else write_bytes(junit, junit_xml(report)),
        json=None if json is None else report.write(json),
    )


def plain_facts(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the texts and numbers of a manifest by dotted name, two levels deep."""
    found: dict[str, str] = {}
    for name, value in manifest.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for key, part in inner:
            if isinstance(part, str | int | float | bool):
                found[f"{name}.{key}" if key else name] = str(part)
    return dict(sorted(found.items()))
