"""``sundog risk``."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sundog.cli import options
from sundog.cli.say import cell, next_command, say, say_skipped, say_table

if TYPE_CHECKING:
    from sundog.core.statistics import Estimate


def risk(
    source: options.Source,
    model: options.Model,
    out: options.Out = Path("risk-run"),
    fit_on: Annotated[
        str | None,
        typer.Option(
            "--fit",
            help="Training images to fit the methods on; the source's own train split if "
            "--split names another one, else the scored images themselves.",
        ),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            help="Risk methods separated by commas ('sundog list risks'), with parameters as "
            "name:key=value, e.g. knn:k=20. A risk is taken from the first that gives it.",
        ),
    ] = "laplace,knn",
    members: Annotated[
        str | None,
        typer.Option(
            "--members",
            help="Other trained classifiers, separated by commas: with --model an ensemble.",
        ),
    ] = None,
    outlying: Annotated[
        str | None,
        typer.Option("--outlying", help="Images of another kind: can the risks tell them?"),
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option("--group-column", help="Metadata column; groups are class x value."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--only-classes", help="Classes whose precision and recall are drawn."),
    ] = None,
    train: Annotated[
        str,
        typer.Option(
            "--train",
            help="For trained methods: heads (the classifier stays as it is) or all (a copy is "
            "trained with them).",
        ),
    ] = "heads",
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Of trained methods.")] = 10,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 1e-3,
    windows: Annotated[
        int, typer.Option("--windows", min=1, help="Windows of accuracy against risk.")
    ] = 10,
    shown: Annotated[
        int, typer.Option("--shown", min=1, help="Images shown at each end of a risk.")
    ] = 25,
    checkpoint: options.Checkpoint = None,
    classes: options.Classes = None,
    class_names: options.ClassNames = None,
    split: options.Split = None,
    limit: options.Limit = None,
    size: options.Size = None,
    resize: options.ResizeOption = "pad",
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
    mean: options.Mean = None,
    std: options.Std = None,
    network_output: options.NetworkOutputOption = "logits",
) -> None:
    """Say of every image how well represented, how unsure and how ambiguous it is."""
    from sundog.audit.requests import parse_named
    from sundog.audit.risk_run import score_risks
    from sundog.audit.risk_subjects import open_risk_subjects
    from sundog.models.zoo import get_model
    from sundog.risk.fit_options import FitOptions
    from sundog.risk.registry import METHODS

    subjects = open_risk_subjects(
        source,
        model=model,
        fit_on=fit_on,
        outlying=outlying,
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
    run = score_risks(
        subjects.scored,
        out,
        methods=parse_named(methods, kind="risk method", known=METHODS),
        members=[get_model(name, device=device) for name in options.names(members) or []],
        fit_on=subjects.fit_on,
        outlying=subjects.outlying,
        group_column=group_column,
        classes=options.names(only),
        train=options.choice("--train", train, ("heads", "all")),
        options=FitOptions(epochs=epochs, learning_rate=learning_rate, seed=seed),
        windows=windows,
        shown=shown,
        command=options.command_line(sys.argv),
    )
    say(subjects.said)
    for field, found in run.windows.items():
        table = Table(box=None, title=f"Accuracy along {field}", title_justify="left")
        for column in ("window", "n", "from", "to", "accuracy", "precision", "recall"):
            table.add_column(column, justify="right")
        for window in found.windows:
            table.add_row(
                cell(str(window.index + 1)),
                str(window.n),
                f"{window.low:.3g}",
                f"{window.high:.3g}",
                *(_share(e) for e in (window.accuracy, window.precision, window.recall)),
            )
        say_table(table)
    if run.metrics is not None:
        for pair in run.metrics.correlations.pairs:
            if "." not in pair.a and "." not in pair.b:
                say(f"Spearman correlation of {pair.a} and {pair.b}: {pair.rho}")
    say(run.content.headline, bold=True)
    for note in run.notes:
        say(f"Note: {note}")
    say_skipped(subjects.scored.image_set.skipped)
    say(f"Risks: {run.path / 'tables' / 'risks.parquet'}")
    say(f"Model: {run.path / 'model'}")
    say(f"Page: {run.page}")
    seen = {
        "--model": model,
        "--checkpoint": checkpoint,
        "--classes": None if classes == "auto" else classes,
        "--class-names": class_names,
        "--network-output": None if network_output == "logits" else network_output,
        "--mean": mean,
        "--std": std,
        "--size": size,
        "--resize": None if resize == "pad" else resize,
        "--path-column": path_column,
        "--label-column": label_column,
        "--group-column": group_column,
    }
    say(f"Mend it: {next_command('debias', source, options=seen)}")


def _share(found: Estimate) -> str:
    """Return a share in per cent with its interval; a dash where there is none to take."""
    if math.isnan(found.value):
        return "-"
    if math.isnan(found.low):
        return f"{found.value:.1%}"
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"
