"""``sundog audit``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sundog.cli import options
from sundog.cli.say import cell, next_command, say, say_error, say_skipped, say_table
from sundog.core.errors import InputError, RunFolderError

if TYPE_CHECKING:
    from sundog.audit.audit_open import OpenedAudit
    from sundog.audit.audit_plan import AuditPlan
    from sundog.audit.audit_run import AuditRun
    from sundog.audit.audit_settings import AuditSettings
    from sundog.core.audit.summary import Stage

SOME_FAILED = 1
"""Exit code if the audit finished but a stage failed."""
STAGES_HELP = (
    "Stages separated by commas: performance, concepts, findings, cues, explanations, risk; all "
    "if not given. What a stage needs is run too."
)


def audit(
    context: typer.Context,
    classifier: Annotated[
        str | None,
        typer.Argument(
            help="Classifier: a folder written by 'sundog train', 'efficientnet-lite0', "
            "'timm:NAME', 'torchvision:NAME', 'hf:NAME', or a TorchScript, .pt2 or .onnx file.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(
            help="Labelled images, as for the other commands; both may be left out with --from.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = Path("audit-run"),
    stages: Annotated[str | None, typer.Option("--stages", help=STAGES_HELP)] = None,
    training: Annotated[
        str | None,
        typer.Option(
            "--training",
            help="Training images, to fit the risk methods on; the source's own train split if "
            "--split names another one, else the audited images themselves.",
        ),
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option("--group-column", help="Metadata column; groups are class x value."),
    ] = None,
    taggers: Annotated[
        str,
        typer.Option("--taggers", help="Taggers separated by commas, see 'sundog list taggers'."),
    ] = "photometric,patches,metadata,imagenet",
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            help="Attribution methods that are compared, with parameters as name:key=value; auto: "
            "those of the practical that the classifier allows.",
        ),
    ] = "auto",
    risk_methods: Annotated[
        str, typer.Option("--risk-methods", help="Risk methods ('sundog list risks').")
    ] = "laplace,knn",
    max_tags: Annotated[
        int, typer.Option("--max-tags", min=1, help="Most concepts in a combination.")
    ] = 3,
    permutations: Annotated[
        int, typer.Option("--permutations", min=100, help="Of the search for findings.")
    ] = 1000,
    alpha: Annotated[
        float,
        typer.Option("--alpha", help="Bound of any false finding, and of any false cue."),
    ] = 0.05,
    cue_images: Annotated[
        int, typer.Option("--cue-images", min=1, help="Images between which components are moved.")
    ] = 600,
    explained: Annotated[
        int, typer.Option("--explained", min=1, help="Images that are explained.")
    ] = 64,
    repeated: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Repeat this past audit from its manifest; its own options hold."
        ),
    ] = None,
    allow_changes: Annotated[
        bool,
        typer.Option(
            "--allow-changes", help="With --from: go on if weights, images or code have changed."
        ),
    ] = False,
    before: Annotated[
        Path | None,
        typer.Option(
            "--before",
            "--baseline",
            help="Run folder of an earlier audit: tell what has changed since.",
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            help="JSON file: field -> text, what only a person can say in the documentation.",
        ),
    ] = None,
    go: Annotated[
        bool, typer.Option("--yes/--plan-only", help="Run, or print the plan and stop.")
    ] = True,
    checkpoint: options.Checkpoint = None,
    classes: options.Classes = None,
    class_names: options.ClassNames = None,
    split: options.Split = None,
    limit: options.Limit = None,
    size: options.Size = None,
    resize: options.ResizeOption = "pad",
    mean: options.Mean = None,
    std: options.Std = None,
    network_output: options.NetworkOutputOption = "logits",
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
) -> None:
    """Audit a classifier: performance, concepts, hidden bias, cues, explanations, risk, one report.

    Exit code 0: done; 1: finished, but a stage failed; 2: bad input.
    """
    from sundog.audit.audit_check import check_input
    from sundog.audit.audit_plan import plan_audit
    from sundog.audit.audit_run import audit_classifier, prepare
    from sundog.audit.audit_settings import AuditSettings, read_stages
    from sundog.audit.search_settings import SearchSettings

    told = _answers(answers)
    if repeated is not None:
        _refuse_more(context)
        opened, settings, past_before, past_answers = _past(
            repeated, classifier, data, training, allow=allow_changes, download=download
        )
        before = before or past_before
        told = told if told is not None else past_answers
    else:
        if classifier is None or data is None:
            raise InputError(
                "sundog audit",
                expected="given a classifier and images",
                got="a classifier alone" if classifier else "neither",
                hint="sundog audit CLASSIFIER DATA --out RUN, or sundog audit --from RUN.",
            )
        from sundog.audit.audit_open import open_audit_subjects

        settings = AuditSettings(
            stages=read_stages(options.names(stages)),
            taggers=taggers,
            group_column=group_column,
            search=SearchSettings(
                alpha=alpha, max_tags=max_tags, permutations=permutations, seed=seed
            ),
            cue_images=cue_images,
            explained=explained,
            methods=methods,
            risk_methods=tuple(options.names(risk_methods) or ()),
            seed=seed,
        )
        opened = open_audit_subjects(
            data,
            model=classifier,
            training=training,
            checkpoint=checkpoint,
            classes=options.classes(classes),
            class_names=options.names(class_names),
            split=split,
            limit=limit,
            size=size,
            resize=options.resize(resize),
            batch_size=batch_size,
            device=device,
            seed=seed,
            download=download,
            mean=options.channels("--mean", mean),
            std=options.channels("--std", std),
            output=options.network_output(network_output),
            path_column=path_column,
            label_column=label_column,
        )
    subject = prepare(opened.subject)
    check_input(subject, settings, before=before)
    plan = plan_audit(subject, settings, training=opened.training, out_dir=out)
    _say_plan(plan, opened, settings)
    if not go:
        return
    run = audit_classifier(
        subject,
        out,
        settings=settings,
        training=opened.training,
        opened=opened.opened,
        before=before,
        answers=told,
        plan=plan,
        watch=_say_stage,
        command=options.command_line(sys.argv),
    )
    _say_run(run)
    say_skipped(subject.image_set.skipped)
    if run.failed:
        raise typer.Exit(SOME_FAILED)


WITH_FROM = (
    *("classifier", "data", "out", "training", "repeated", "allow_changes", "before", "answers"),
    *("go", "download"),
)
"""What may be given beside --from: the past audit's manifest says the rest."""


def _refuse_more(context: typer.Context) -> None:
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in WITH_FROM
        and parameter.name is not None
        and getattr(context.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise InputError(
            "sundog audit --from",
            expected="without options that the past audit's manifest already says",
            got=", ".join(given),
            hint="Leave them out, or audit anew without --from.",
        )


def _past(
    run: Path,
    classifier: str | None,
    data: str | None,
    training: str | None,
    *,
    allow: bool,
    download: bool,
) -> tuple[OpenedAudit, AuditSettings, Path | None, dict[str, str]]:
    """Open what a past audit looked at; refuse what has changed since, unless it is allowed."""
    from sundog.audit.audit_open import (
        differences,
        open_past,
        read_past_audit,
        refuse_differences,
    )

    past = read_past_audit(run)
    changed = {"model": classifier, "data": data, "training": training}
    opened = open_past(past, changed, download=download)
    found = differences(past.manifest, opened)
    if not allow:
        refuse_differences(run, found)
    for what in found:
        say(f"Note: changed since {run}: {what}")
    return opened, past.settings, None if past.before is None else Path(past.before), past.answers


def _answers(path: Path | None) -> dict[str, str] | None:
    """Read --answers."""
    if path is None:
        return None
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunFolderError(
            f"--answers {str(path)!r}", expected="a JSON file", got=str(error.strerror or error)
        ) from error
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{str(path)!r}", expected="readable JSON", got=str(error)) from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise InputError(
            f"--answers {str(path)!r}",
            expected="an object of texts: field -> text",
            got=type(found).__name__ if not isinstance(found, dict) else "a value that is no text",
        )
    return {str(field): text for field, text in found.items()}


def _say_plan(plan: AuditPlan, opened: OpenedAudit, settings: AuditSettings) -> None:
    from sundog.audit.audit_plan import duration

    table = Table(box=None, title="Plan", title_justify="left")
    table.add_column("stage", style="bold")
    table.add_column("what")
    table.add_column("about", justify="right")
    for stage in plan.stages:
        about = "done" if stage.done else duration(stage.seconds)
        table.add_row(cell(stage.name), cell(stage.what), about)
    say_table(table)
    say(f"About {duration(plan.total)} on this machine, from timing a few images.")
    if "risk" in settings.wanted():
        say(opened.said)


def _say_stage(stage: Stage) -> None:
    from sundog.audit.audit_plan import duration

    if stage.status == "failed":
        say_error(f"stage {stage.name}: {stage.message}")
    elif stage.status == "done":
        planned = duration(stage.planned_seconds)
        memory = "" if stage.peak_mib is None else f", {stage.peak_mib:,.0f} MiB at most"
        say(f"{stage.name}: {duration(stage.seconds)}, planned {planned}{memory}")
    sys.stdout.flush()


def _say_run(run: AuditRun) -> None:
    summary = run.summary
    say("")
    say(summary.verdict.capitalize() + ".", bold=True)
    for sentence in summary.answer:
        say(sentence, bold=True)
    for stage in run.failed:
        say_error(f"stage {stage.name} failed: {stage.message}")
    if run.page is not None:
        say(f"Page: {run.page}")
    if summary.findings or summary.cues:
        say(f"Judge what was found: {next_command('review', str(run.path), options={})}")
