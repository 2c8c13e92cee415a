"""A mark: a watermark, a caption, a logo, wherever it is and whatever shines through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sundog.core.shapes import Images
from sundog.data.components.mark_match import Mark, best_places, light
from sundog.data.components.paint_over import paste_located

Marks = Sequence[Mapping[str, Any]]
"""Each ``{"factor", "threshold", "values", "weights"}`` (see :class:`Mark`), JSON lists, and
``"class_index"``, the class that repeats it. Together they are the values of one cue: an image
carries the one that fits best."""


def read_mark(given: Mapping[str, Any]) -> Mark:
    """Return a mark from its JSON values."""
    return Mark(
        factor=int(given["factor"]),
        threshold=float(given["threshold"]),
        values=torch.tensor(given["values"], dtype=torch.float32),
        weights=torch.tensor(given["weights"], dtype=torch.float32),
    )


def find_mark(
    images: Images, *, marks: Marks
) -> tuple[Int64[Tensor, "batch"], Int64[Tensor, "batch 4"]]:
    """Return which mark fits each image best (-1 = none), and its box (top, left, height, width).

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        marks: JSON values.
    """
    ready = [read_mark(mark) for mark in marks]
    pixels = images.detach().float().cpu()
    best = torch.zeros(len(images))
    which = torch.full((len(images),), -1, dtype=torch.int64)
    boxes = torch.zeros(len(images), 4, dtype=torch.int64)
    for factor in sorted({mark.factor for mark in ready}):
        numbers = [k for k, mark in enumerate(ready) if mark.factor == factor]
        tops, places = best_places(light(pixels, factor), [ready[k] for k in numbers])
        for column, number in enumerate(numbers):
            mark = ready[number]
            better = (tops[:, column] >= mark.threshold) & (tops[:, column] > best)
            size = torch.tensor(mark.values.shape).expand(len(images), 2)
            found = factor * torch.cat([places[:, column], size], dim=1)
            best = torch.where(better, tops[:, column], best)
            boxes = torch.where(better[:, None], found, boxes)
            which[better] = number
    return which, boxes


def mark_masks(images: Images, *, marks: Marks) -> Bool[Tensor, "batch height width"]:
    """Return the box of the best-fitting mark in each image; nowhere if none fits.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        marks: JSON values.
    """
    _, boxes = find_mark(images, marks=marks)
    masks = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool)
    for row, (top, left, tall, wide) in enumerate(boxes.tolist()):
        masks[row, top : top + tall, left : left + wide] = True
    return masks


def mark_classes(images: Images, *, marks: Marks) -> Int64[Tensor, "batch"]:
    """Return the class whose mark each image shows; -1 = none, or of no class.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        marks: JSON values.
    """
    which, _ = find_mark(images, marks=marks)
    classes = torch.tensor([*(int(mark.get("class_index", -1)) for mark in marks), -1])
    return classes[which]


def transfer_mark(images: Images, donors: Images, *, marks: Marks) -> Images:
    """Paint over the image's own mark and paste the donor's, with what shines through it.

    A donor without a mark takes it away.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        donors: of the same shape.
        marks: JSON values.
    """
    own, theirs = mark_masks(images, marks=marks), mark_masks(donors, marks=marks)
    return paste_located(images, donors, own=own, theirs=theirs)
