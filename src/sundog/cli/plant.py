"""``sundog plant``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from sundog.cli import options


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
    split: options.Split = None,
    limit: options.Limit = None,
    size: options.Size = None,
    resize: options.ResizeOption = "pad",
    seed: options.Seed = 0,
    download: options.Download = False,
) -> None:
    """Write a copy of an image set with a planted cue, its masks and a manifest."""
    from sundog.audit.requests import parse_cue, parse_target
    from sundog.data.load import load_image_set
    from sundog.data.planted_set import write_planted

    image_set = load_image_set(source, split=split, limit=limit, seed=seed, download=download)
    made = parse_cue(
        cue,
        class_count=len(image_set.class_names),
        strength=strength,
        seed=seed,
        target_class=parse_target(target_class, image_set.class_names),
    )
    written = write_planted(
        image_set, made, out, size=size, resize=options.resize(resize), workers=2
    )
    console = Console()
    console.print(
        f"{written.count} images with cue {made.name!r} (strength {strength}), "
        f"{written.resumed} of them from an earlier run, {len(written.skipped)} left out.",
        highlight=False,
    )
    for skipped in written.skipped[:10]:
        console.print(f"  left out: {skipped.source}: {skipped.reason}", highlight=False)
    console.print(f"Manifest: {written.manifest}", highlight=False)
    console.print(f"Train on it: sundog train {written.manifest} --out RUN", highlight=False)
