"""``sundog shortcuts``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from sundog.cli import options
from sundog.cli.say import cell, say, say_skipped, say_table


def shortcuts(
    source: options.Source,
    model: options.Model,
    out: options.Out = Path("shortcuts-run"),
    images: Annotated[
        int, typer.Option("--images", min=20, help="Images that components are moved between.")
    ] = 600,
    method: Annotated[
        str, typer.Option("--method", help="Attribution method whose maps propose parts.")
    ] = "gradient_x_input",
    hints: Annotated[
        bool, typer.Option(help="Also let recurring stamps and clusters of maps propose.")
    ] = True,
    smallest: Annotated[
        float, typer.Option("--smallest", min=0.001, max=0.999, help="Pull that matters.")
    ] = 0.05,
    checkpoint: options.Checkpoint = None,
    classes: options.Classes = None,
    class_names: options.ClassNames = None,
    split: options.Split = None,
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
    """Find cues that nobody named: move parts between images and see which class follows."""
    from sundog.audit.shortcut_run import find_cues
    from sundog.audit.subject import open_subject

    subject = open_subject(
        source,
        model=model,
        checkpoint=checkpoint,
        classes=options.classes(classes),
        class_names=options.names(class_names),
        split=split,
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
    run = find_cues(
        subject,
        out,
        limit=images,
        method=method,
        hints=hints,
        smallest=smallest,
        seed=seed,
        command=options.command_line(sys.argv),
    )
    if run.cues.claimed:
        table = Table(box=None, title="Cues that the classifier follows", title_justify="left")
        for column in ("cue", "speaks for", "follow it", "control", "accuracy on it", "adjusted p"):
            table.add_column(column)
        for cue in run.cues.claimed:
            table.add_row(
                cell(cue.name),
                cell(", ".join(cue.classes[:6]) + (" ..." if cue.classes[6:] else "")),
                options.percent(cue.flip),
                options.percent(cue.control),
                options.percent(cue.reliance),
                f"{cue.p_adjusted:.2g}",
            )
        say_table(table)
    say(run.content.headline, bold=True)
    for note in (*subject.notes(), *run.cues.notes):
        say(f"Note: {note}")
    say_skipped(subject.image_set.skipped)
    say(f"Page: {run.page}")
