"""``sundog compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from sundog.cli import options
from sundog.cli.say import say, say_table


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Two or more classifiers: folders written by 'sundog train', or anything --model "
            "takes elsewhere. NAME=MODEL gives a name of your own."
        ),
    ],
    images: Annotated[
        str,
        typer.Option("--images", "-i", help="Labelled images to test on (as SOURCE elsewhere)."),
    ],
    cue: Annotated[
        str | None,
        typer.Option(
            "--cue",
            help="Cue to plant, e.g. pixel or patch:size=0.2; the runs' own if not given.",
        ),
    ] = None,
    methods: options.Methods = "occlusion:grid=15,gradient_x_input,integrated_gradients:n_steps=25,"
    "grad_cam",
    map_images: Annotated[
        int, typer.Option("--map-images", min=0, help="Images to explain; all are predicted.")
    ] = 128,
    smallest: Annotated[
        float,
        typer.Option(
            "--smallest", min=0.001, max=0.999, help="Reliance that matters (0.05 = 5 points)."
        ),
    ] = 0.05,
    out: options.Out = Path("compare-run"),
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
    palette: options.Palette = "red_blue",
    figures: options.FigureKindOption = "png",
    batch_size: options.BatchSize = 32,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
) -> None:
    """Say which classifiers rely on a cue: predictions decide, maps are shown beside."""
    from sundog.audit.compare_run import compare_runs
    from sundog.audit.requests import parse_methods
    from sundog.audit.runs import name_models, open_runs

    kind = options.figure_kind(figures)
    asked = parse_methods(methods, seed=seed) if map_images else {}
    colours = options.palette(palette)
    opened = open_runs(
        name_models(models),
        images,
        cue=cue,
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
    run = compare_runs(
        opened.subjects,
        opened.cue,
        out,
        methods=asked,
        map_images=map_images,
        smallest=smallest,
        seed=seed,
        palette=colours,
        figure_kind=kind,
        command=options.command_line(sys.argv),
    )
    say_table(scores_table(run.comparison.table()))
    say(run.comparison.verdict, bold=True)
    notes = [note for subject in opened.subjects.values() for note in subject.notes()]
    for note in (*notes, *run.comparison.notes):
        say(f"Note: {note}")
    say(f"Page: {run.page}")


def scores_table(frame: object) -> Table:
    """Return the run x cue table for a terminal."""
    table = Table(
        box=None, title="Accuracy and loss by run and cue (95 % intervals)", title_justify="left"
    )
    for column in ("run", "cue", "accuracy", "loss", "n"):
        table.add_column(column, justify="left" if column in ("run", "cue") else "right")
    for row in frame.itertuples(index=False):  # type: ignore[attr-defined]
        accuracy, loss = row.accuracy, row.loss
        table.add_row(
            escape(str(row.run)),
            str(row.cue),
            f"{accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}]",
            "–" if loss is None else f"{loss.value:.3f} [{loss.low:.3f}, {loss.high:.3f}]",
            str(row.n),
        )
    return table
