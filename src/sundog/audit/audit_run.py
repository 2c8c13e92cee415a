"""``sundog audit``: one command turns a classifier and images into an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sundog.audit.audit_check import check_before, check_input
from sundog.audit.audit_manifest import environment
from sundog.audit.audit_plan import AuditPlan, plan_audit
from sundog.audit.audit_report import write_report
from sundog.audit.audit_settings import STAGES, AuditSettings
from sundog.audit.audit_stages import finished_stage, run_stages
from sundog.audit.audit_work import AuditWork
from sundog.audit.subject import Subject
from sundog.core.audit.summary import AuditSummary, Stage
from sundog.core.notebook import Card, InNotebook
from sundog.core.run_folder import RunFolder
from sundog.data.remembered_set import REMEMBERED_BYTES, remember_images
from sundog.report.audit_page import audit_page
from sundog.report.notebook import page_card

KIND = "audit"


@dataclass(frozen=True, eq=False, repr=False)
class AuditRun(InNotebook):
    """What :func:`audit_classifier` wrote.

    Attributes:
        path: the run folder; ``sundog review`` and ``sundog results`` take it.
        page: the HTML page; None if it could not be made, see ``summary.stages``.
        summary: everything that was found; also ``audit.json``.
        plan: what was estimated before.
    """

    path: Path
    page: Path | None
    summary: AuditSummary
    plan: AuditPlan

    @property
    def failed(self) -> tuple[Stage, ...]:
        """The stages that failed."""
        return tuple(stage for stage in self.summary.stages if stage.status == "failed")

    def _headline(self) -> str:
        return self.summary.answer[0]

    def _card(self) -> Card:
        return page_card(audit_page(self.summary, folder=self.path), self.page)


def audit_classifier(
    subject: Subject,
    out_dir: str | Path,
    *,
    settings: AuditSettings | None = None,
    training: Subject | None = None,
    opened: Mapping[str, Any] | None = None,
    before: str | Path | None = None,
    answers: Mapping[str, str] | None = None,
    plan: AuditPlan | None = None,
    memory: int = REMEMBERED_BYTES,
    watch: Callable[[Stage], None] | None = None,
    progress: bool | None = None,
    command: str = "",
) -> AuditRun:
    """Audit a classifier on labelled images: performance, concepts, findings, cues, maps, risk.

    Every image is decoded once and predicted once, as far as ``memory`` reaches. Stages that an
    earlier call finished in this folder are not run again; a stage that fails is told in the
    summary, and the others finish.

    Args:
        subject: labelled images and the classifier.
        out_dir: run folder; an interrupted audit goes on where it stopped.
        settings: what is looked at, and how; None: everything.
        training: training images seen through the same classifier, to fit the risk methods on;
            None: the audited ones.
        opened: how images and classifier were opened, as JSON values: kept in the manifest, so that
            the audit can be repeated from there.
        before: run folder of an earlier audit to compare with.
        answers: what a person adds to the documentation: field -> text.
        plan: from :func:`~sundog.audit.audit_plan.plan_audit`; None: it is made.
        memory: bytes of decoded images that are kept.
        watch: told of each stage when it is over.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.

    Raises:
        SundogError: bad input, in plain words, before anything is computed.
    """
    settings = settings or AuditSettings()
    subject = prepare(subject, memory=memory)
    check_input(subject, settings, before=before)
    asked = settings.to_dict()
    stages = asked.pop("stages")  # more of them may be asked for later, in the same folder
    arguments = {
        **dict(opened or {}),
        "settings": asked,
        "image_size": list(subject.size),
        "resize": subject.resize,
        "batch_size": subject.batch_size,
        "training_images": None
        if training is None
        else training.fingerprints()["data_fingerprint"],
    }
    with RunFolder.open(
        out_dir,
        kind=KIND,
        arguments=arguments,
        seeds={"seed": settings.seed},
        **subject.fingerprints(),
    ) as folder:
        kept = folder.manifest.environment
        told = environment(
            subject.classifier.device,
            before=kept.get("before") if before is None else str(Path(before).resolve()),
            answers=kept.get("answers", {}) if answers is None else dict(answers),
            stages=[n for n in STAGES if n in {*stages, *kept.get("stages", ())}],
        )
        if before is None and told["before"] is not None:  # of an earlier run of this folder
            check_before(told["before"])
        folder.note(told)
        work = AuditWork(
            subject=subject,
            training=training,
            folder=folder,
            settings=settings,
            before=None if told["before"] is None else Path(told["before"]),
            progress=progress,
            command=command,
        )
        plan = plan or plan_audit(subject, settings, training=training, out_dir=out_dir)
        old = {n for n in ("findings", "cues") if finished_stage(folder.path, n) is not None}
        files = run_stages(work, planned=plan.seconds(), watch=watch)
        summary, page = write_report(work, files, fresh=len(old) < 2, answers=told["answers"])
        if not any(stage.status == "failed" for stage in summary.stages):
            folder.finish()
    return AuditRun(path=folder.path, page=page, summary=summary, plan=plan)


def prepare(subject: Subject, *, memory: int = REMEMBERED_BYTES) -> Subject:
    """Return the subject with images that are decoded once and then remembered.

    Args:
        subject: images and classifier.
        memory: bytes of decoded images that are kept, >= 0.
    """
    return replace(subject, image_set=remember_images(subject.image_set, budget=memory))
