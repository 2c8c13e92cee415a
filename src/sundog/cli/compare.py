"""``sundog compare``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sundog.cli import options
from sundog.cli.compare_tables import (
    changes_table,
    crossed_table,
    lists_line,
    maps_line,
    models_table,
)
from sundog.cli.say import say, say_skipped, say_table
from sundog.core.errors import InputError

if TYPE_CHECKING:
    from sundog.audit.runs import OpenedRuns

METHODS = "occlusion:grid=15,gradient_x_input,integrated_gradients:n_steps=25,grad_cam"
SMALLEST = 0.05
"""What matters by default: reliance on a named cue, pull of an unknown one."""


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Two or more classifiers: folders written by 'sundog train', or anything --model "
            "takes elsewhere. NAME=MODEL gives a name of your own. Or two folders written by "
            "'sundog audit', before and after a change; then no images are needed."
        ),
    ],
    images: Annotated[
        str | None,
        typer.Option(
            "--data", "--images", "-i", help="Labelled images to test on (as SOURCE elsewhere)."
        ),
    ] = None,
    cue: Annotated[
        str | None,
        typer.Option(
            "--cue",
            help="Test this cue, e.g. pixel or patch:size=0.2; 'recorded' is the one of the "
            "training runs. Without it, an unknown cue is looked for in the images as they are.",
        ),
    ] = None,
    methods: options.Methods = METHODS,
    map_images: Annotated[
        int, typer.Option("--map-images", min=0, help="Images to explain; all are predicted.")
    ] = 128,
    smallest: Annotated[
        float,
        typer.Option(
            "--smallest",
            min=0.001,
            max=0.999,
            help="What matters: reliance on a named cue (0.05 = 5 points), or probability that an "
            "unknown one pulls to its class.",
        ),
    ] = SMALLEST,
    search_images: Annotated[
        int,
        typer.Option(
            "--search-images", min=20, help="Images that an unknown cue is looked for in."
        ),
    ] = 600,
    hints: Annotated[
        bool,
        typer.Option(
            "--hints/--no-hints", help="Without --cue: look for stamps and clusters of maps too."
        ),
    ] = True,
    taggers: Annotated[
        str,
        typer.Option(
            "--taggers",
            help="Without --cue: taggers whose findings are laid side by side, or 'none'.",
        ),
    ] = "photometric",
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
    """Say which model is biased: by a cue that you name, or by one that is looked for.

    Causal tests decide, maps are shown beside.
    """
    from sundog.audit.audit_folder import is_audit
    from sundog.audit.requests import parse_methods
    from sundog.audit.runs import name_models, open_runs

    kind = options.figure_kind(figures)
    colours = options.palette(palette)
    named = name_models(models)
    audits = [is_audit(model) for model in named.values()]
    if all(audits):
        compare_runs_of_audits(list(named.values()), out)
        return
    if any(audits):
        raise InputError(
            "What is compared", expected="all classifiers or all audits", got="some of each"
        )
    if images is None:
        raise InputError("--data", expected="given: labelled images to compare on", got="nothing")
    opened = open_runs(
        named,
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
    common: dict[str, Any] = {
        "methods": parse_methods(methods, seed=seed) if map_images else {},
        "map_images": map_images,
        "seed": seed,
        "palette": colours,
        "figure_kind": kind,
        "command": options.command_line(sys.argv),
    }
    if opened.cue is not None:
        compare_known(opened, out, smallest, common)
    else:
        compare_by_search(
            opened,
            out,
            smallest,
            common,
            models=named,
            limit=search_images,
            hints=hints,
            taggers=None if taggers.strip().lower() == "none" else taggers,
        )


def compare_known(
    opened: OpenedRuns, out: Path, smallest: float, common: Mapping[str, Any]
) -> None:
    """Test a named cue on every model."""
    from sundog.audit.compare_run import compare_runs

    if opened.cue is None:
        raise InputError("--cue", expected="given", got="none")
    run = compare_runs(opened.subjects, opened.cue, out, smallest=smallest, **common)
    say_table(scores_table(run.comparison.table()))
    say(run.comparison.verdict, bold=True)
    notes = [note for subject in opened.subjects.values() for note in subject.notes()]
    for note in (*notes, *run.comparison.notes):
        say(f"Note: {note}")
    say_skipped(left_out(opened))
    say(f"Page: {run.page}")


def compare_by_search(
    opened: OpenedRuns,
    out: Path,
    smallest: float,
    common: Mapping[str, Any],
    *,
    models: Mapping[str, str],
    limit: int,
    hints: bool,
    taggers: str | None,
) -> None:
    """Look for an unknown cue in every model, and test it on all."""
    from sundog.audit.compare_unknown import compare_unknown

    run = compare_unknown(
        opened.subjects,
        out,
        smallest=smallest,
        limit=limit,
        hints=hints,
        taggers=taggers,
        models=models,
        **common,
    )
    found = run.comparison
    say_table(models_table(found))
    if found.crossed:
        say_table(crossed_table(found))
    say(run.content.headline, bold=True)
    say(found.sentence)
    for line in (maps_line(found), *lists_line(found)):
        if line:
            say(line)
    for note in found.notes:
        say(f"Note: {note}")
    say_skipped(left_out(opened))
    say(f"Page: {run.page}")


def left_out(opened: OpenedRuns) -> list[object]:
    """Return the images that could not be read, each once: all models see the same."""
    sets = (subject.image_set for subject in opened.subjects.values())
    return list(dict.fromkeys(one for images in sets for one in images.skipped))


def compare_runs_of_audits(folders: list[str], out: Path) -> None:
    """Lay two audits side by side."""
    from sundog.audit.compare_audits import compare_audits

    if len(folders) != 2:
        raise InputError(
            "Audits to compare", expected="two, before and after", got=str(len(folders))
        )
    run = compare_audits(folders[0], folders[1], out, command=options.command_line(sys.argv))
    if run.comparison.changes:
        say_table(changes_table(run.comparison))
    say(run.comparison.sentence, bold=True)
    for note in run.comparison.notes:
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
