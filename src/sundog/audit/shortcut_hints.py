"""What proposes components to move: recurring stamps. Hints never decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from sundog.bias.shortcut_grid import place
from sundog.concepts.patches_learn import Patch, learn_patches
from sundog.concepts.patches_seeds import Seed
from sundog.concepts.patches_stamp import Stamp
from sundog.core.progress import track
from sundog.core.shapes import Images, Labels
from sundog.data.components.component import Component
from sundog.data.components.stamp_match import as_planes
from sundog.data.content import Pixels
from sundog.data.sampling import balanced_sample

MOST_PATCHES = 32
MOST_IMAGES = 300
"""Images that stamps are learned from."""
NEAR = 0.25
"""Stamps whose middles are nearer than this (as a share of the image) are one cue's variants."""


@dataclass(frozen=True, eq=False)
class Hints:
    """Proposals.

    Attributes:
        stamps: name -> component of the family ``stamp``.
        boxes: (top, left, height, width) as shares.
        notes: what was proposed, in sentences.
    """

    stamps: dict[str, Component] = field(default_factory=dict)
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    notes: tuple[str, ...] = ()


def find_stamps(
    images: Images, labels: Labels, *, progress: bool | None = None
) -> dict[str, Component]:
    """Return recurring stamps, those at one place together: they are the values of one cue.

    Args:
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: ``int64[images]``: a stamp is often in one class alone.
        progress: None shows it on a terminal.
    """
    keys = [str(number) for number in range(len(labels))]
    some = balanced_sample(labels.numpy(), keys, limit=MOST_IMAGES)
    pixels = [_pixels(images[i]) for i in some.tolist()]
    groups: Int64[np.ndarray, "images"] = labels.numpy()[some]

    def watch(seeds: Sequence[Seed]) -> Iterator[Seed]:
        return iter(track(seeds, description="growing stamps", total=len(seeds), visible=progress))

    found = learn_patches(pixels, groups, max_patches=MOST_PATCHES, watch=watch)
    stamps = [patch for patch in found if isinstance(patch.kind, Stamp)]
    clusters: list[list[Patch]] = []
    for patch in stamps:
        for cluster in clusters:
            middle = cluster[0].centre
            if max(abs(a - b) for a, b in zip(middle, patch.centre, strict=True)) < NEAR:
                cluster.append(patch)
                break
        else:
            clusters.append([patch])
    named = {}
    for cluster in clusters[:6]:
        y, x = cluster[0].centre
        name = f"stamp, {place((y, x, 0.0, 0.0))}"
        while name in named:
            name += " (another)"
        named[name] = stamp_component(cluster)
    return named


def stamp_component(patches: Sequence[Patch]) -> Component:
    """Return the component of some stamps: the values of one cue."""
    return Component(
        "stamp",
        {
            "stamps": [
                {
                    "factor": patch.kind.level.shrink,
                    "tolerance": patch.kind.tolerance,
                    "threshold": float(patch.threshold),
                    "offsets": patch.kind.offsets.tolist(),
                    "colours": patch.kind.colours.tolist(),
                }
                for patch in patches
                if isinstance(patch.kind, Stamp)
            ]
        },
    )


def find_hints(
    images: Images,
    labels: Labels,
    *,
    attribute: Callable[[Images], Tensor] | None,
    seed: int,
    progress: bool | None = None,
) -> Hints:
    """Return what stamps propose; see :func:`find_stamps`.

    Args:
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: ``int64[images]``.
        attribute: maps of the prediction, or None.
        seed: of all draws.
        progress: None shows it on a terminal.
    """
    stamps = find_stamps(images, labels, progress=progress)
    notes = (
        f"{len(stamps)} recurring stamps proposed." if stamps else "No recurring stamp proposed.",
    )
    return Hints(stamps=stamps, notes=notes)


def _pixels(image: Tensor) -> Pixels:
    return as_planes(np.rint(image.permute(1, 2, 0).numpy() * 255).astype(np.uint8))
