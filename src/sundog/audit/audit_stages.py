"""The stages of an audit: each is run once, measured and kept; the others survive one that fails.

::

    RUN/stages/NAME.json     what the stage cost, what it found, or why it failed

A stage that is done is not done again when the audit is continued; one that failed is.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sundog.audit.audit_changes import before_and_after
from sundog.audit.audit_cost import measured
from sundog.audit.audit_explanations import choose_methods, explain
from sundog.audit.audit_folder import open_audit
from sundog.audit.audit_manifest import code_hash
from sundog.audit.audit_performance import measure_performance
from sundog.audit.audit_risk import measure_risk
from sundog.audit.audit_settings import NEEDS, STAGES
from sundog.audit.audit_work import AuditWork
from sundog.audit.inspect_run import inspect_images
from sundog.audit.observed import unread_images
from sundog.audit.shortcut_run import find_cues
from sundog.core.audit.summary import Stage
from sundog.core.errors import InputError, RunFolderError, SundogError, first_line
from sundog.core.inspection.record import FileRecord

INSPECT, CUES, FAITHFULNESS, RISK = "inspect", "cues", "faithfulness", "risk"
"""Run folders of stages, below that of the audit."""
CHANGES = "changes"
"""The stage that an audit has if there is an earlier one to compare with."""
Found = dict[str, Any]
"""What a stage adds to the summary, as JSON values."""


class StageFile(FileRecord):
    """``stages/NAME.json``.

    Attributes:
        stage: as in the summary.
        code: hash of the sources that ran it.
        found: what it adds to the summary: JSON values by field; ``notes`` join its limits.
        traceback: of an error.
    """

    format: Literal["sundog-audit-stage"] = "sundog-audit-stage"
    version: Literal[1] = 1
    stage: Stage
    code: str
    found: dict[str, Any] = Field(default_factory=dict)
    traceback: str = ""


def performance(work: AuditWork) -> Found:
    """Read every image once; measure accuracy and calibration by class and group."""
    observed = work.observed
    rows = work.table.rows(work.counted_rows())
    found = measure_performance(
        work.subject,
        observed,
        rows.logits.double().softmax(dim=1).numpy(),
        group_column=work.settings.group_column,
        seed=work.settings.seed,
    )
    work.folder.write_result("predictions", observed.frame)
    return {
        "performance": found.model_dump(mode="json"),
        "unread": unread_images(work.subject, work.table),
        "notes": list(observed.notes),
    }


def concepts(work: AuditWork) -> Found:
    """Name what is in the images."""
    scores, notes = work.tags
    return {"notes": [*notes, *scores.notes], "tags": len(scores.names)}


def findings(work: AuditWork) -> Found:
    """Look for concepts, alone or together, that go with errors."""
    run = inspect_images(
        work.subject,
        work.path / INSPECT,
        taggers=work.settings.taggers,
        settings=work.settings.search,
        passed=work.image_pass,
        progress=work.progress,
        command=work.command,
    )
    return {"notes": list(run.query.notes)}


def cues(work: AuditWork) -> Found:
    """Move parts and properties between images: which drag the prediction with them?"""
    find_cues(
        work.subject,
        work.path / CUES,
        limit=work.settings.cue_images,
        smallest=work.settings.smallest,
        alpha=work.settings.search.alpha,
        seed=work.settings.seed,
        progress=work.progress,
        command=work.command,
    )
    return {}


def explanations(work: AuditWork) -> Found:
    """Measure which attribution maps say what the classifier looks at."""
    settings = work.settings
    methods, notes = choose_methods(work.subject, settings.methods, seed=settings.seed)
    found = explain(
        work.subject,
        work.path / FAITHFULNESS,
        methods=methods,
        count=settings.explained,
        seed=settings.seed,
        root=work.path,
        progress=work.progress,
        command=work.command,
    )
    return {"explanations": found.model_dump(mode="json"), "notes": list(notes)}


def risk(work: AuditWork) -> Found:
    """Find rare, unsure and mislabelled images."""
    found, notes = measure_risk(
        work.subject,
        work.table,
        work.path / RISK,
        root=work.path,
        methods=work.settings.risk_methods,
        training=work.training,
        training_table=work.training_table,
        group_column=work.settings.group_column,
        shown=work.settings.shown,
        seed=work.settings.seed,
        progress=work.progress,
        command=work.command,
    )
    return {"risk": found.model_dump(mode="json"), "notes": list(notes)}


def changes(work: AuditWork) -> Found:
    """Measure what an earlier audit found on this classifier: the same images, the same cues."""
    if work.before is None:
        raise InputError("before", expected="the run folder of an earlier audit", got="none")
    found = before_and_after(work.before, work.path, subject=work.subject, progress=work.progress)
    return {
        "changes": [change.model_dump(mode="json") for change in found.changes],
        "before": found.before,
        "notes": list(found.notes),
    }


RUN: Mapping[str, Callable[[AuditWork], Found]] = {
    "performance": performance,
    "concepts": concepts,
    "findings": findings,
    "cues": cues,
    "explanations": explanations,
    "risk": risk,
    CHANGES: changes,
}
"""Stage -> what it does."""


def finished_stage(root: Path, name: str) -> StageFile | None:
    """Return a stage that an earlier run of this audit finished, or None.

    Args:
        root: run folder of the audit.
        name: of the stage.
    """
    file = root / "stages" / f"{name}.json"
    if not file.is_file():
        return None
    try:
        found = StageFile.read(file)
    except RunFolderError:  # half-written or of another version: it is done again
        return None
    return found if found.stage.status == "done" else None


def run_stages(
    work: AuditWork,
    *,
    planned: Mapping[str, float | None],
    watch: Callable[[Stage], None] | None = None,
) -> tuple[StageFile, ...]:
    """Run every stage that is wanted and not done yet; return all stages in order.

    Any error of a stage is kept, with its traceback, and the next stage is run; what needs a stage
    that failed is skipped, and says so. Interrupts pass through.

    Args:
        work: the audit.
        planned: stage -> estimated seconds.
        watch: told of each stage when it is over.
    """
    wanted = (*work.settings.wanted(), *([] if work.before is None else [CHANGES]))
    needs = {**NEEDS, CHANGES: ("performance",)}
    files: dict[str, StageFile] = {}
    for name in (*STAGES, *wanted[-1:]) if wanted[-1] == CHANGES else STAGES:
        if (done := _finished(work, name)) is not None:
            files[name] = done
        elif name not in wanted:
            files[name] = _skipped(name, "not asked for")
        elif missing := [n for n in needs[name] if files[n].stage.status != "done"]:
            files[name] = _skipped(name, f"needs {' and '.join(missing)}")
        else:
            files[name] = _run(work, name, planned.get(name))
            files[name].write(work.path / "stages" / f"{name}.json")
        if watch is not None:
            watch(files[name].stage)
    return tuple(files.values())


def _finished(work: AuditWork, name: str) -> StageFile | None:
    """Return a finished stage; what was compared with another audit, or an older one, is not."""
    done = finished_stage(work.path, name)
    if done is None or name != CHANGES or work.before is None:
        return done
    _, earlier = open_audit(work.before)
    return done if done.found["before"]["hash"] == earlier.content_hash() else None


def _skipped(name: str, why: str) -> StageFile:
    return StageFile(stage=Stage(name=name, status="skipped", message=why), code=code_hash())


def _run(work: AuditWork, name: str, planned: float | None) -> StageFile:
    found: Found = {}
    message = trace = ""
    with measured() as cost:
        try:
            found = RUN[name](work)
        except Exception as error:
            message = error.message if isinstance(error, SundogError) else first_line(error)
            trace = traceback.format_exc()
    return StageFile(
        stage=Stage(
            name=name,
            status="failed" if trace else "done",
            seconds=cost.seconds,
            peak_mib=cost.peak_mib,
            planned_seconds=planned,
            message=message,
        ),
        code=code_hash(),
        found=found,
        traceback=trace,
    )
