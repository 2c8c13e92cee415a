"""What proposes components to move: recurring stamps, clusters of maps. Hints never decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sundog.bias.mark_search import find_marks, mark_component
from sundog.bias.shortcut import split_halves
from sundog.bias.shortcut_grid import Box, place, spread_apart
from sundog.bias.shortcut_peaks import Attribute, map_images
from sundog.bias.spray_boxes import candidate_boxes
from sundog.bias.spray_classes import spray_classes
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
LEAST_MAPS = 22
"""Images of a class whose maps are clustered (twice the neighbours of the graph, and two)."""
MOST_BOXES = 8
MOST_IMAGES = 300
"""Images that stamps are learned from."""
SCATTERED = 0.12
"""Standard deviation of a mark's place (as a share of the image) above which it has none."""
NEAR = 0.25
"""Stamps whose middles are nearer than this (as a share of the image) are one cue's variants."""


@dataclass(frozen=True, eq=False)
class Hints:
    """Proposals.

    Attributes:
        stamps: name -> component of the family ``stamp`` or ``mark``.
        boxes: (top, left, height, width) as shares.
        notes: what was proposed, in sentences.
    """

    stamps: dict[str, Component] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
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


def find_mark(images: Images, labels: Labels, *, seed: int) -> dict[str, Component]:
    """Return the patterns that classes repeat as the values of one cue; empty if there are none.

    Args:
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: ``int64[images]``.
        seed: of the images that are compared.
    """
    marks = find_marks(images, labels, seed=seed)
    if not marks:
        return {}
    component = mark_component(marks)
    masks = component.locate(images)
    if masks is None or not bool(masks.any()):
        return {}
    y, x = (
        np.array(
            [
                float(torch.nonzero(m)[:, axis].float().mean()) / m.shape[axis]
                for m in masks
                if m.any()
            ]
        )
        for axis in (0, 1)
    )
    if max(y.std(), x.std()) > SCATTERED:
        return {"mark, at changing places": component}
    return {f"mark, {place((float(y.mean()), float(x.mean()), 0.0, 0.0))}": component}


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
    attribute: Attribute | None,
    seed: int,
    device: torch.device | None = None,
    batch_size: int = 64,
    progress: bool | None = None,
) -> Hints:
    """Return what stamps and clusters of maps propose, from the images that do not decide.

    Args:
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: ``int64[images]``, all labelled.
        attribute: maps of the prediction, or None: no clusters.
        seed: that of the search.
        device: where maps are made.
        batch_size: images at once.
        progress: None shows it on a terminal.
    """
    first, _ = split_halves(labels, seed=seed)
    some = torch.from_numpy(np.flatnonzero(first))
    stamps = find_stamps(images[some], labels[some], progress=progress)
    mark = find_mark(images[some], labels[some], seed=seed)
    notes = [
        f"Proposed, not proven: {len(stamps)} places with recurring stamps, "
        f"{'a' if mark else 'no'} recurring mark."
    ]
    boxes: list[Box] = []
    if attribute is not None:
        maps = map_images(
            attribute, images[some], device=device or torch.device("cpu"), batch_size=batch_size
        )
        boxes, said = _cluster_boxes(maps.numpy(), labels[some].numpy(), seed=seed)
        notes.append(said)
    return Hints(stamps={**stamps, **mark}, boxes=tuple(boxes), notes=tuple(notes))


def _cluster_boxes(
    maps: Float[np.ndarray, "images height width"],
    labels: Int64[np.ndarray, "images"],
    *,
    seed: int,
) -> tuple[list[Box], str]:
    """Return boxes around what clusters of maps share, and what the clusters are worth."""
    able = [c for c in np.unique(labels) if (labels == c).sum() >= LEAST_MAPS]
    if not able:
        return [], f"No clusters of maps: fewer than {LEAST_MAPS} images per class."
    kept = np.isin(labels, able)
    found = spray_classes(maps[kept], labels[kept], seed=seed)
    clear = int((found.table["p_adjusted"] <= 0.05).sum())
    boxes = [
        candidate.box
        for candidate in candidate_boxes(found, maps[kept])
        if candidate.box is not None
    ]
    return [boxes[i] for i in spread_apart(boxes, most=MOST_BOXES)], (
        f"Maps of {clear} of {len(found.table)} classes fall into clusters clearer than chance "
        "(adjusted p <= 0.05)."
    )


def _pixels(image: Tensor) -> Pixels:
    return as_planes(np.rint(image.permute(1, 2, 0).numpy() * 255).astype(np.uint8))
