"""``sundog plant``."""

from __future__ import annotations

from typing import Annotated

import typer

from sundog.cli import options
from sundog.cli.say import count, next_command, say, say_skipped


def plant(
    source: options.Source,
    out: options.Out,
    cue: options.Cue = "pixel",
    strength: options.Strength = 1.0,
    target_class: Annotated[
        str | None,
        typer.Option(
            "--target-class", help="The one class the cue speaks for; all classes if not given."
        ),
    ] = None,
    presence: Annotated[
        float,
        typer.Option(
            "--presence",
            min=0.0,
            max=1.0,
            help="Share of the images that may carry a cue at all; the others stay clean.",
        ),
    ] = 1.0,
    split: options.Split = None,
    limit: options.Limit = None,
    size: options.Size = None,
    resize: options.ResizeOption = "pad",
    path_column: options.PathColumn = None,
    label_column: options.LabelColumn = None,
    seed: options.Seed = 0,
    download: options.Download = False,
) -> None:
    """Write a copy of an image set with a planted cue, its masks and a manifest."""
    from sundog.audit.requests import parse_cue, parse_target
    from sundog.data.load import load_image_set
    from sundog.data.planted_set import write_planted

    image_set = load_image_set(
        source,
        split=split,
        limit=limit,
        seed=seed,
        download=download,
        path_column=path_column,
        label_column=label_column,
    )
    image_set.require_classes(2)
    made = parse_cue(
        cue,
        class_count=len(image_set.class_names),
        strength=strength,
        seed=seed,
        target_class=parse_target(target_class, image_set.class_names),
    )
    written = write_planted(
        image_set,
        made,
        out,
        presence=presence,
        size=size,
        resize=options.resize(resize),
        workers=2,
    )
    say(
        f"{count(written.count, 'image')} with cue {made.name!r} "
        f"(strength {strength}, presence {presence}), "
        f"{written.resumed} of them from an earlier run, {len(written.skipped)} left out."
    )
    say_skipped(written.skipped)
    say(f"Manifest: {written.manifest}")
    again = next_command("train", str(written.manifest), options={"--out": "RUN"})
    say(f"Train on it: {again}")
