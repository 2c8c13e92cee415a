"""``sundog train``."""

from __future__ import annotations

from typing import Annotated

import typer

from sundog.cli import options
from sundog.cli.say import next_command, say


def train(
    source: options.Source,
    out: options.Out,
    network: Annotated[
        str,
        typer.Option(
            "--network",
            help="small-cnn, cnn5, lab-cnn, resnet18, small-vit, timm:NAME or torchvision:NAME.",
        ),
    ] = "small-cnn",
    validation: Annotated[
        str | None,
        typer.Option(
            "--validation",
            help="Images to evaluate on; the source's own validation split if it has one.",
        ),
    ] = None,
    train_cue: Annotated[
        str | None,
        typer.Option("--train-cue", help="Plant this cue in the training images: a biased model."),
    ] = None,
    eval_cue: Annotated[
        str | None,
        typer.Option(
            "--eval-cue", help="Also evaluate with this cue; the training cue if not given."
        ),
    ] = None,
    strength: options.Strength = 1.0,
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 10,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 1e-3,
    weight_decay: Annotated[float, typer.Option("--weight-decay")] = 1e-4,
    batch_size: options.BatchSize = 64,
    seed: options.Seed = 5807,
    size: options.Size = None,
    resize: options.ResizeOption = "pad",
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    augment: Annotated[str, typer.Option("--augment", help="none, flip or flip-shift.")] = "none",
    optimizer: Annotated[str, typer.Option("--optimizer", help="adamw or sgd.")] = "adamw",
    schedule: Annotated[str, typer.Option("--schedule", help="cosine or constant.")] = "cosine",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            help="32-true or bf16-mixed: faster where the processor multiplies bfloat16.",
        ),
    ] = "32-true",
    evaluate_every: Annotated[
        int, typer.Option("--evaluate-every", min=1, help="Epochs between evaluations.")
    ] = 1,
    limit: options.Limit = None,
    device: options.Device = "auto",
    download: options.Download = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget what an earlier run left in the folder.")
    ] = False,
) -> None:
    """Train a classifier, with a planted cue or without, evaluated with the cue on and off."""
    from sundog.audit.training import train_from_names

    run = train_from_names(
        source,
        out,
        network=network,
        validation=validation,
        train_cue=train_cue,
        eval_cue=eval_cue,
        strength=strength,
        epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        seed=seed,
        size=size,
        resize=options.resize(resize),
        augment=options.choice("--augment", augment, ("none", "flip", "flip-shift")),
        optimizer=options.choice("--optimizer", optimizer, ("adamw", "sgd")),
        schedule=options.choice("--schedule", schedule, ("cosine", "constant")),
        precision=options.choice("--precision", precision, ("32-true", "bf16-mixed")),
        evaluate_every=evaluate_every,
        limit=limit,
        device=device,
        download=download,
        path_column=path_column,
        label_column=label_column,
        resume=not restart,
    )
    for line in run.last_lines():
        say(line)
    say(f"Run: {out}")
    again = next_command(
        "compare",
        str(out),
        "OTHER",
        options={
            "--data": validation if validation is not None else source,
            "--split": run.held_split,
            "--label-column": label_column,
            "--cue": "recorded" if train_cue or eval_cue else None,
        },
    )
    say(f"Compare it with another run: {again}")
