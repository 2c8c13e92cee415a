"""``sundog inspect``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from sundog.cli import inspect_options, options
from sundog.cli.say import cell, next_command, say, say_table

if TYPE_CHECKING:
    from sundog.core.inspection.results import Judged

SHOWN = 25
METRICS = ("accuracy", "confidence")
ADJUSTMENTS = ("westfall_young", "holm", "benjamini_hochberg", "none")
MINIMALITY = ("noise", "recursive", "prime", "none")


def inspect(
    source: options.Source,
    model: options.Model = "efficientnet-lite0",
    out: options.Out = Path("inspect-run"),
    taggers: inspect_options.Taggers = "photometric,patches,metadata,imagenet",
    sorter: inspect_options.Sorter = None,
    concepts: inspect_options.Concepts = None,
    metric: inspect_options.Metric = "accuracy",
    alpha: inspect_options.Alpha = 0.05,
    adjustment: inspect_options.Adjustment = "westfall_young",
    max_tags: inspect_options.MaxTags = 3,
    min_pop: inspect_options.MinPop = 10,
    min_gap: inspect_options.MinGap = 0.1,
    minimality: inspect_options.Minimality = "noise",
    minimal_criteria: inspect_options.MinimalCriteria = None,
    permutations: Annotated[
        int, typer.Option("--permutations", min=100, help="Of Westfall-Young.")
    ] = 1000,
    top_k: Annotated[
        int, typer.Option("--top-k", min=1, max=50, help="Images per end of a ranking.")
    ] = 5,
    sample: Annotated[
        int,
        typer.Option(
            "--sample", min=0, max=60, help="Images per random sample, to check tags and judge."
        ),
    ] = 12,
    candidates: Annotated[
        int,
        typer.Option(
            "--candidates",
            min=0,
            help="Concepts per class to review though they are not significant.",
        ),
    ] = 0,
    overlay: inspect_options.Overlay = "auto",
    only: inspect_options.OnlyClasses = None,
    cache: inspect_options.Cache = None,
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
    """Find the concepts, alone or together, that make a classifier fail or cheat."""
    from sundog.audit.inspect_run import inspect_images
    from sundog.audit.search_settings import SearchSettings
    from sundog.audit.subject import open_subject

    settings = SearchSettings(
        metric=_metric(metric),
        alpha=alpha,
        adjustment=options.choice("--adjustment", adjustment, ADJUSTMENTS),
        max_tags=max_tags,
        min_pop=min_pop,
        min_gap=min_gap,
        minimality=options.choice("--minimality", minimality, MINIMALITY),
        minimal_criteria=_thresholds(minimal_criteria),
        permutations=permutations,
        top_k=top_k,
        seed=seed,
    )
    subject = open_subject(
        source,
        model=model,
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
    run = inspect_images(
        subject,
        out,
        taggers=taggers,
        sorter=sorter,
        concepts=options.names(concepts),
        settings=settings,
        classes=options.names(only),
        sample=sample,
        candidates=candidates,
        overlay=overlay,
        cache=cache,
        command=options.command_line(sys.argv),
    )
    say_findings(run.results.findings)
    say(run.content.headline, bold=True)
    for note in (*subject.notes(), *run.query.notes):
        say(f"Note: {note}")
    say(f"Page: {run.page}")
    if run.query.findings:
        say(f"Judge the findings: {next_command('review', str(run.path), options={})}")


def say_findings(findings: tuple[Judged, ...]) -> None:
    """Print the findings that stand on their own, and how many others there are."""
    own = tuple(judged for judged in findings if not judged.finding.explained_by)
    if own:
        say_table(findings_table(own[:SHOWN]))
    if len(own) > SHOWN:
        say(f"  and {len(own) - SHOWN} more")
    if len(findings) > len(own):
        say(f"  and {len(findings) - len(own)} that a stronger finding accounts for")


def findings_table(findings: tuple[Judged, ...]) -> Table:
    """Return findings as a table for a terminal."""
    from sundog.core.inspection.wording import whose

    table = Table(box=None, title="Findings (95 % intervals)", title_justify="left")
    for column in ("class", "concept", "effect", "with", "without", "gap", "n", "p", "people say"):
        left = column in ("class", "concept", "effect", "people say")
        table.add_column(column, justify="left" if left else "right")
    for judged in findings:
        finding, effect = judged.finding, judged.finding.effect
        table.add_row(
            cell(whose(finding)),
            cell(" + ".join(judged.names)),
            finding.direction,
            _share(effect.present),
            _share(effect.absent),
            _gap(effect.gap, effect.low, effect.high),
            f"{effect.n_present}/{effect.n_absent}",
            "–" if finding.p_adjusted is None else f"{finding.p_adjusted:.2g}",
            judged.decision,
        )
    return table


def _metric(text: str) -> Literal["accuracy", "confidence"]:
    metric: Literal["accuracy", "confidence"] = options.choice("--metric", text, METRICS)
    return metric


def _thresholds(text: str | None) -> tuple[float, ...] | None:
    from sundog.core.errors import InputError

    parts = options.names(text)
    if parts is None:
        return None
    try:
        return tuple(float(part) for part in parts)
    except ValueError as error:
        raise InputError("--minimal-criteria", expected="numbers", got=repr(text)) from error


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _gap(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{100 * value:+.0f}"
    return f"{100 * value:+.0f} [{100 * low:+.0f}, {100 * high:+.0f}]"
