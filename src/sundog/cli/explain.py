"""``sundog explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sundog.cli import options
from sundog.cli.say import count, next_command, say, say_skipped


def explain(
    source: options.Source,
    model: options.Model = "efficientnet-lite0",
    methods: options.Methods = options.PRACTICAL,
    out: options.Out = Path("explain-run"),
    checkpoint: options.Checkpoint = None,
    classes: options.Classes = None,
    class_names: options.ClassNames = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", help="Explained class, by name or number; the predicted one if not given."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", help="What is explained: logit, probability or log_probability."),
    ] = None,
    split: options.Split = None,
    limit: options.Limit = None,
    size: options.Size = None,
    resize: options.ResizeOption = "pad",
    mean: options.Mean = None,
    std: options.Std = None,
    network_output: options.NetworkOutputOption = "logits",
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    palette: options.Palette = "red_blue",
    figures: options.FigureKindOption = "png",
    batch_size: options.BatchSize = 16,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
) -> None:
    """Show where a classifier looks: maps of several methods for every image, as a page."""
    from sundog.audit.explain_run import explain_images
    from sundog.audit.requests import parse_methods, parse_target
    from sundog.audit.subject import open_subject

    kind = options.figure_kind(figures)
    asked = parse_methods(methods, seed=seed)
    colours = options.palette(palette)
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
    run = explain_images(
        subject,
        asked,
        out,
        target=parse_target(target, subject.class_names),
        output=options.output(output),
        seed=seed,
        palette=colours,
        figure_kind=kind,
        command=options.command_line(sys.argv),
    )
    labelled = int((run.predictions["label"] >= 0).sum())
    say(
        f"{count(run.images, 'image')} ({labelled} labelled), {count(len(run.costs), 'method')}, "
        f"{run.skipped} left out."
    )
    say_skipped(subject.image_set.skipped)
    for note in subject.notes():
        say(f"Note: {note}")
    say(f"Page: {run.page}")
    again = next_command(
        "faithfulness",
        source,
        options={
            "--model": model,
            "--checkpoint": checkpoint,
            "--classes": classes,
            "--class-names": class_names,
            "--split": split,
            "--limit": limit,
            "--size": size,
            "--mean": mean,
            "--std": std,
            "--label-column": label_column,
        },
    )
    say(f"Which method to trust: {again}")
