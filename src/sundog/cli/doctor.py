"""``sundog doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sundog.cli import options
from sundog.cli.say import cell, say, say_table

if TYPE_CHECKING:
    from sundog.audit.doctor_result import Diagnosis

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "unsure": "cyan", "skipped": "dim"}


def doctor(
    model: Annotated[
        str,
        typer.Argument(
            metavar="CLASSIFIER",
            help="'efficientnet-lite0', 'timm:NAME', 'torchvision:NAME', 'hf:NAME', a folder "
            "written by 'sundog train', or a TorchScript, .pt2 or .onnx file.",
            show_default=False,
        ),
    ],
    source: options.Source,
    checkpoint: options.Checkpoint = None,
    classes: options.Classes = None,
    class_names: options.ClassNames = None,
    split: options.Split = None,
    limit: Annotated[
        int,
        typer.Option("--limit", min=1, help="Images that are shown to the classifier."),
    ] = 256,
    size: options.Size = None,
    resize: Annotated[
        str | None,
        typer.Option("--resize", help="pad, crop or stretch; as in training if not given."),
    ] = None,
    mean: options.Mean = None,
    std: options.Std = None,
    network_output: options.NetworkOutputOption = "logits",
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            help="Attribution methods of the long run, which must work; all are tried if not "
            "given, and the five of 'sundog explain' must work.",
        ),
    ] = None,
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    download: options.Download = False,
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write the checks to this file.")
    ] = None,
) -> None:
    """Check classifier, normalisation, labels, images and machine before a long run.

    Nothing is changed. Exit code 1 if a check failed, else 0.
    """
    from sundog.audit.doctor import diagnose
    from sundog.audit.requests import parse_methods
    from sundog.core.files import write_json

    found = diagnose(
        model,
        source,
        checkpoint=checkpoint,
        classes=options.classes(classes),
        class_names=options.names(class_names),
        split=split,
        limit=limit,
        size=size,
        resize=None if resize is None else options.resize(resize),
        methods=None if methods is None else [m for m, _ in parse_methods(methods).values()],
        device=device,
        seed=seed,
        download=download,
        mean=options.channels("--mean", mean),
        std=options.channels("--std", std),
        output=options.network_output(network_output),
        path_column=path_column,
        label_column=label_column,
    )
    if json is not None:
        write_json(json, found.to_dict())
    say_diagnosis(found)
    if json is not None:
        say(f"Checks: {json}")
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def say_diagnosis(found: Diagnosis) -> None:
    """Print the checks as a table, then what to try, then the answer."""
    table = Table(title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("found", overflow="fold", ratio=3)
    table.add_column("expected", overflow="fold", ratio=1)
    for check in found.checks:
        word = cell(check.status)
        word.stylize(STYLES[check.status])
        table.add_row(word, cell(check.name), cell(check.found), cell(check.expected))
    say_table(table)
    advice = [c for c in found.of_status("fail", "warn", "unsure") if c.try_]
    if advice:
        say("")
        say("To try:", bold=True)
    for check in sorted(advice, key=lambda c: ("fail", "warn", "unsure").index(c.status)):
        say(f"  {check.status}: {check.name}: {check.try_}")
    say("")
    say(found.headline(), bold=True)
    say(f"{found.sample} of {found.images} images were looked at, in {found.seconds:.0f} s.")
