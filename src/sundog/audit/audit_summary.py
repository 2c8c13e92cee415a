"""From what the stages wrote to the summary of an audit: only the answer is made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sundog.audit.audit_answer import Facts, answer, decide
from sundog.audit.audit_manifest import code_hash
from sundog.audit.audit_stages import CUES, INSPECT, StageFile
from sundog.audit.audit_verdicts import REJECTED
from sundog.audit.audit_verdicts_before import JudgedBefore, judged_before
from sundog.audit.audit_work import AuditWork
from sundog.audit.results_run import gather_feedback
from sundog.core.audit.cues import CUES_FILE, CueRecord, Cues
from sundog.core.audit.summary import AuditSummary, Change, Explanations, Performance, Risk, Stage
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.query import QUERY_FILE, ImageCard, Query
from sundog.core.inspection.results import judge

PICTURED = 8
"""Pictures per finding, of those that illustrate it."""


@dataclass(frozen=True, eq=False)
class _Inspected:
    """What the inspection of an audit holds now, verdicts included."""

    findings: tuple[Finding, ...] = ()
    verdicts: Mapping[str, str] | None = None
    tested: Mapping[str, int] | None = None
    detectable: Mapping[str, float | None] | None = None
    images: Mapping[str, ImageCard] | None = None


def summarise(
    work: AuditWork,
    files: Sequence[StageFile],
    *,
    manifest: Mapping[str, Any],
    answers: Mapping[str, str] | None = None,
    trouble: Stage | None = None,
) -> AuditSummary:
    """Return the summary of the stages that are done.

    What the reviewers of the audit that this one is compared with called no bias is none here.

    Args:
        work: the audit.
        files: of its stages, in order.
        manifest: see :func:`sundog.audit.audit_manifest.manifest_facts`.
        answers: what a person adds to the documentation: field -> text.
        trouble: a report that failed, told like a stage.
    """
    done = {file.stage.name for file in files if file.stage.status == "done"}
    found = {key: value for file in files for key, value in file.found.items() if key != "notes"}
    inspected = _inspected(work.path / INSPECT) if "findings" in done else _Inspected()
    cues = _cues(work.path) if "cues" in done else None
    verdicts = dict(inspected.verdicts or {})
    claimed = cues.claimed if cues is not None else ()
    performance = _record(Performance, found.get("performance"))
    explanations = _record(Explanations, found.get("explanations"))
    risk = _record(Risk, found.get("risk"))
    carried = JudgedBefore()
    if work.before is not None:
        carried = judged_before(
            work.before,
            findings=inspected.findings,
            cues=claimed,
            class_names=work.subject.class_names,
            judged=verdicts,
        )
    rejected = {i for i, said in verdicts.items() if said in REJECTED} | set(carried.rejected)
    facts = Facts(
        stages=(*(f.stage for f in files), *([] if trouble is None else [trouble])),
        classes=len(work.subject.class_names),
        performance=performance,
        findings=tuple(
            f for f in inspected.findings if not f.explained_by and f.id not in rejected
        ),
        smallest_detectable=dict(inspected.detectable or {}),
        cues=cues,
        claimed=tuple(c for c in claimed if c.id not in rejected),
        explanations=explanations,
        risk=risk,
    )
    return AuditSummary(
        title=f"Audit of {work.subject.classifier.name}",
        answer=answer(facts),
        verdict=decide(facts)[0],
        classifier=work.subject.classifier.name,
        image_set=work.subject.image_set.name,
        class_names=work.subject.class_names,
        facts=_known(work, found),
        stages=facts.stages,
        performance=performance,
        findings=inspected.findings,
        verdicts=verdicts,
        judged_before=carried.sentences(),
        tested_concepts=dict(inspected.tested or {}),
        smallest_detectable=facts.smallest_detectable,
        cues=claimed,
        cue_tests=cues.tested if cues is not None else (),
        cue_notes=cues.notes if cues is not None else (),
        explanations=explanations,
        risk=risk,
        before=found.get("before"),
        changes=tuple(Change.model_validate(change) for change in found.get("changes", ())),
        pictures=_pictures(inspected, claimed),
        images=dict(inspected.images or {}),
        limits=_limits(work, files, carried.notes),
        duties=dict(answers or {}),
        manifest=dict(manifest),
    )


def _known(work: AuditWork, found: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known of images and classifier, the same however often the run was killed."""
    facts = {key: str(value) for key, value in work.subject.facts().items()}
    unread = found.get("unread")
    facts["left out"] = "not known" if unread is None else f"{unread} unreadable"
    return facts


def _inspected(folder: Path) -> _Inspected:
    query = Query.read(folder / QUERY_FILE)
    feedback, _ = gather_feedback(folder, query)
    kept = tuple(f for f in query.findings if f.significant and f.kind != "cue")
    shown = {evidence.image for finding in kept for evidence in finding.evidence}
    return _Inspected(
        findings=kept,
        verdicts={
            judged.finding.id: judged.decision
            for judged in judge(query, feedback)
            if judged.decision != "unreviewed"
        },
        tested={
            "concepts": sum(one.concepts for one in query.classes),
            "tests": sum(one.tests for one in query.classes),
        },
        detectable={one.name: one.smallest_detectable for one in query.classes if one.n},
        images={
            key: card.model_copy(
                update={
                    "thumbnail": f"{INSPECT}/{card.thumbnail}",
                    "overlay": None if card.overlay is None else f"{INSPECT}/{card.overlay}",
                }
            )
            for key, card in query.images.items()
            if key in shown
        },
    )


def _cues(root: Path) -> Cues:
    """Return the cues with their files as paths in the run folder of the audit."""
    cues = Cues.read(root / CUES / CUES_FILE)
    return cues.model_copy(update={"claimed": tuple(_moved(cue) for cue in cues.claimed)})


def _moved(cue: CueRecord) -> CueRecord:
    return cue.model_copy(
        update={
            "mask": None if cue.mask is None else f"{CUES}/{cue.mask}",
            "masks_table": None if cue.masks_table is None else f"{CUES}/{cue.masks_table}",
            "pictures": tuple(f"{CUES}/{file}" for file in cue.pictures),
        }
    )


def _pictures(inspected: _Inspected, cues: Sequence[CueRecord]) -> dict[str, tuple[str, ...]]:
    found = {cue.id: cue.pictures for cue in cues if cue.pictures}
    for finding in inspected.findings:
        cards = [(inspected.images or {})[e.image] for e in finding.evidence if e.strip == "top"]
        files = [f for card in cards for f in (card.thumbnail, card.overlay) if f is not None]
        if files:
            found[finding.id] = tuple(dict.fromkeys(files))[:PICTURED]
    return found


def _limits(work: AuditWork, files: Sequence[StageFile], notes: Sequence[str]) -> tuple[str, ...]:
    """Return what the audit cannot say, in sentences, each once."""
    said = [*work.subject.notes(), *notes]
    for file in files:
        stage = file.stage
        if stage.status == "failed":
            said.append(f"The stage {stage.name} failed and says nothing: {stage.message}")
        elif stage.status == "skipped":
            said.append(f"The stage {stage.name} was skipped: {stage.message}.")
        elif file.code != code_hash():
            said.append(f"The stage {stage.name} was run by another version of Sundog's code.")
        said += [str(note) for note in file.found.get("notes", ())]
    if work.training is None:
        said.append(
            "No training images were given: what is rare is rare among the audited images, and "
            "nothing is known of images that are in both."
        )
    return tuple(dict.fromkeys(_sentence(text) for text in said))


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _record(kind: type[Any], values: Any) -> Any:
    return None if values is None else kind.model_validate(values)
