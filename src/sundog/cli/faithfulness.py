"""``sundog faithfulness``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sundog.cli import options
from sundog.cli.say import say, say_skipped


def faithfulness(
    source: options.Source,
    model: options.Model = "efficientnet-lite0",
    methods: options.Methods = options.PRACTICAL,
    metrics: Annotated[
        str, typer.Option("--metrics", help="Metrics separated by commas ('sundog list metrics').")
    ] = "deletion,insertion",
    steps: Annotated[
        int, typer.Option("--steps", help="Images per curve, first and last included (>= 2).")
    ] = 10,
    spacing: Annotated[
        str, typer.Option("--spacing", help="equal chunks, log (sees small cues), or equal,log.")
    ] = "equal",
    fills: Annotated[
        str | None,
        typer.Option(
            "--fills", help="black, grey, mean, blur, noisy_linear (ROAD); several to compare."
        ),
    ] = None,
    randomise: Annotated[
        int,
        typer.Option(
            "--randomise",
            min=0,
            help="Images on which to check that maps change when the weights are made random.",
        ),
    ] = 0,
    out: options.Out = Path("faithfulness-run"),
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
    figures: options.FigureKindOption = "png",
    batch_size: options.BatchSize = 16,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
) -> None:
    """Score explanations: deletion, insertion and more, with controls and paired differences."""
    from sundog.audit.faithfulness_run import score_explanations
    from sundog.audit.masks import has_masks, read_masks
    from sundog.audit.requests import parse_methods
    from sundog.audit.subject import open_subject

    kind = options.figure_kind(figures)
    asked = parse_methods(methods, seed=seed)
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
    masks = None
    if has_masks(subject.image_set):
        masks = read_masks(
            subject.image_set, Path(source).parent, size=subject.size, resize=subject.resize
        )
    run = score_explanations(
        subject,
        asked,
        out,
        metrics=options.names(metrics) or [],
        steps=steps,
        spacing=options.spacings(spacing),
        fills=options.fills(fills),
        masks=masks,
        randomise=randomise,
        seed=seed,
        figure_kind=kind,
        command=options.command_line(sys.argv),
    )
    say(run.table.to_text())
    say_skipped(subject.image_set.skipped)
    for note in subject.notes():
        say(f"Note: {note}")
    say(f"Page: {run.page}")
