"""``sundog debias``."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from sundog.cli import options
from sundog.cli.say import cell, next_command, say, say_skipped, say_table


def debias(
    source: options.Source,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Classifier to mend, taken as it is: a folder written by 'sundog train', or what "
            "--model of the other commands takes.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            help="Instead of --model: train this network from scratch for every seed, plainly and "
            "by each method (small-cnn, cnn5, lab-cnn, resnet18, small-vit, timm:NAME, "
            "torchvision:NAME).",
        ),
    ] = None,
    out: options.Out = Path("debias-run"),
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            help="Methods separated by commas ('sundog list debiasers'), with parameters as "
            "name:key=value; auto takes the quick ones whose needs are known.",
        ),
    ] = "auto",
    validation: Annotated[
        str | None,
        typer.Option(
            "--validation", help="Images to choose by and to refit on; the source's own split."
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option("--test", help="Images for the numbers; half of the validation images."),
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option(
            "--group-column",
            help="Metadata column of the attribute; groups are class x value. A planted set's "
            "cue_class if not given.",
        ),
    ] = None,
    cue: Annotated[
        str | None,
        typer.Option(
            "--cue",
            help="Study: plant this cue in the images first ('sundog list cues'); real data say "
            "where the cue is in a column mask_path.",
        ),
    ] = None,
    strength: Annotated[
        float,
        typer.Option(
            "--strength", min=0.0, max=1.0, help="How often the planted cue agrees with the label."
        ),
    ] = 0.95,
    from_audit: Annotated[
        Path | None,
        typer.Option(
            "--from-audit",
            help="Folder of an audit (or inspection): mend by the cues and concepts that people "
            "called spurious in it ('sundog review').",
        ),
    ] = None,
    unreviewed: Annotated[
        bool,
        typer.Option(
            "--unreviewed", help="With --from-audit: also by claimed cues that nobody has judged."
        ),
    ] = False,
    taggers: Annotated[
        str | None,
        typer.Option(
            "--taggers",
            help="With --from-audit: its taggers, where they need parameters (csv:path=...).",
        ),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option("--probe", help="Other cues to look at again after each repair."),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Independent trainings; intervals are over them.")
    ] = 3,
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 10,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 1e-3,
    weight_decay: Annotated[float, typer.Option("--weight-decay")] = 1e-4,
    batch_size: options.BatchSize = 64,
    optimizer: Annotated[str, typer.Option("--optimizer", help="adamw or sgd.")] = "adamw",
    schedule: Annotated[str, typer.Option("--schedule", help="cosine or constant.")] = "cosine",
    augment: Annotated[str, typer.Option("--augment", help="none, flip or flip-shift.")] = "none",
    force: Annotated[
        bool, typer.Option("--force", help="Go on although the model shows no bias.")
    ] = False,
    checkpoint: options.Checkpoint = None,
    classes: options.Classes = None,
    class_names: options.ClassNames = None,
    size: options.Size = None,
    resize: options.ResizeOption = "pad",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Train on this many images, drawn with --seed."),
    ] = None,
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
    mean: options.Mean = None,
    std: options.Std = None,
    network_output: options.NetworkOutputOption = "logits",
) -> None:
    """Mend a classifier by several methods, and prove what it did: before and after."""
    from sundog.audit.debias_open import open_debias
    from sundog.audit.debias_run import debias_classifier
    from sundog.audit.debias_settings import DebiasSettings
    from sundog.audit.requests import parse_named
    from sundog.debias.registry import METHODS

    asked = (
        [("auto", {})]
        if methods.strip() == "auto"
        else parse_named(methods, kind="debiasing method", known=METHODS)
    )
    opened = open_debias(
        source,
        model=model,
        network=network,
        validation=validation,
        test=test,
        group_column=group_column,
        cue=cue,
        strength=strength,
        from_audit=from_audit,
        unreviewed=unreviewed,
        taggers=taggers,
        checkpoint=checkpoint,
        classes=options.classes(classes),
        class_names=options.names(class_names),
        size=size,
        resize=options.resize(resize),
        limit=limit,
        path_column=path_column,
        label_column=label_column,
        device=device,
        seed=seed,
        download=download,
        mean=options.channels("--mean", mean),
        std=options.channels("--std", std),
        output=options.network_output(network_output),
    )
    say(opened.data.split)
    for note in opened.data.notes:
        if note.startswith("Suppressed:"):  # the others come with the results
            say(note)
    run = debias_classifier(
        opened.model,
        opened.data,
        out,
        settings=DebiasSettings(
            methods=[name for name, _ in asked],
            parameters={name: given for name, given in asked if given},
            seeds=[seed + i for i in range(seeds)],
            epochs=epochs,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            batch_size=batch_size,
            optimizer=options.choice("--optimizer", optimizer, ("adamw", "sgd")),
            schedule=options.choice("--schedule", schedule, ("cosine", "constant")),
            augment=options.choice("--augment", augment, ("none", "flip", "flip-shift")),
            probes=options.names(probe) or [],
            force=force,
        ),
        device=device,
        command=options.command_line(sys.argv),
    )
    table = Table(box=None, title="Before and after, on test images", title_justify="left")
    shown = [s for s in _SHOWN if s in run.before.scores]
    table.add_column("method", style="bold")
    for name in shown:
        table.add_column(_SHOWN[name], justify="right")
    for result in (run.before, *run.results):
        table.add_row(cell(result.name), *(_text(result.scores.get(name)) for name in shown))
    say_table(table)
    for refusal in run.refused:
        say(f"Refused {refusal.name} ({refusal.gate}): {refusal.reason.rstrip('.')}.")
        if refusal.instead:
            say(f"  Try instead: {refusal.instead}")
    say(run.content.headline, bold=True)
    for note in run.notes:
        say(f"Note: {note}")
    sets = (
        part.images.image_set
        for part in (opened.data.train, opened.data.validation, opened.data.test)
    )
    say_skipped(list(dict.fromkeys(one for images in sets for one in images.skipped)))
    if run.chosen:
        say(f"Mended classifier: {run.path / 'mended'}")
        again = next_command("explain", source, options={"--model": run.path / "mended"})
        say(f"Look at it: {again}")
    say(f"Scores: {run.path / 'tables' / 'scores.parquet'}")
    say(f"Page: {run.page}")


_SHOWN = {
    "average": "average",
    "worst_group": "worst group",
    "gap": "gap",
    "flip_rate": "flip rate",
    "without_cue": "without the cue",
    "precision": "precision",
    "ece": "ECE",
}


def _text(score: object) -> str:
    value = getattr(score, "value", None)
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.1%} [{score.low:.1%}, {score.high:.1%}]"  # type: ignore[attr-defined]
