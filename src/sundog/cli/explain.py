"""``sundog explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sundog.cli import options


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
    palette: Annotated[
        str,
        typer.Option(
            "--palette", help="Colours of the overlay: red_blue or a colour-blind-safe one."
        ),
    ] = "red_blue",
    batch_size: options.BatchSize = 16,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
) -> None:
    """Show where a classifier looks: maps of several methods for every image, as a page."""
    from sundog.audit.explain_run import explain_images
    from sundog.audit.requests import parse_methods, parse_target
    from sundog.audit.subject import open_subject

    asked = parse_methods(methods)
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
    )
    run = explain_images(
        subject,
        asked,
        out,
        target=parse_target(target, subject.class_names),
        output=options.output(output),
        seed=seed,
        palette=palette,
        command=options.command_line(sys.argv),
    )
    console = Console()
    console.print(
        f"{run.images} images, {len(run.costs)} methods, {run.skipped} unreadable images."
    )
    for skipped in subject.image_set.skipped[:10]:
        console.print(f"  left out: {skipped.source}: {skipped.reason}", highlight=False)
    console.print(f"Page: {run.page}", highlight=False)
    console.print(
        f"Which method to trust: sundog faithfulness {source} --model {model}", highlight=False
    )
