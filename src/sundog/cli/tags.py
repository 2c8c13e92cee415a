"""``sundog tags``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from sundog.cli import inspect_options, options
from sundog.cli.say import cell, say, say_skipped, say_table

SHOWN = 40


def tags(
    source: options.Source,
    out: options.Out = Path("tags-run"),
    taggers: inspect_options.Taggers = "photometric,patches,metadata,imagenet",
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Classifier, for taggers that look at its features."),
    ] = None,
    cache: inspect_options.Cache = None,
    split: options.Split = None,
    limit: options.Limit = None,
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
) -> None:
    """Tag every image and show what each tag looks like."""
    from sundog.audit.subject import open_subject
    from sundog.audit.tags_run import tag_image_set
    from sundog.data.load import load_image_set

    subject = None
    if model is not None:
        subject = open_subject(
            source,
            model=model,
            split=split,
            limit=limit,
            device=device,
            seed=seed,
            download=download,
            path_column=path_column,
            label_column=label_column,
        )
    image_set = (
        subject.image_set
        if subject is not None
        else load_image_set(
            source,
            split=split,
            limit=limit,
            seed=seed,
            download=download,
            path_column=path_column,
            label_column=label_column,
        )
    )
    run = tag_image_set(
        image_set,
        taggers,
        out,
        subject=subject,
        cache=cache,
        batch_size=batch_size,
        seed=seed,
        command=options.command_line(sys.argv),
    )
    useful = run.table[(run.table["images"] > 0) & (run.table["images"] < len(image_set))]
    shown = useful.sort_values("images", ascending=False, kind="stable").head(SHOWN)
    table = Table(box=None, title="Tags by number of images", title_justify="left")
    for column in ("tag", "images", "share"):
        table.add_column(column, justify="left" if column == "tag" else "right")
    for row in shown.itertuples(index=False):
        table.add_row(cell(str(row.tag)), str(row.images), f"{row.share:.1%}")
    say_table(table)
    if len(useful) > len(shown):
        say(f"  and {len(useful) - len(shown)} more")
    say(run.content.headline, bold=True)
    for note in run.notes:
        say(f"Note: {note}")
    say_skipped(image_set.skipped)
    say(f"Scores: {run.path / 'tables' / 'scores.parquet'}")
    say(f"Page: {run.page}")
