"""The place of the content: the image is shrunk and put where its class belongs, on black."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from sundog.core.errors import InputError
from sundog.data.cues.pixel import Mask
from sundog.data.cues.placement import check_share
from sundog.data.transforms import Image


def plant_position(
    image: Image, code: int, count: int, draw: torch.Generator, *, scale: float = 0.75
) -> tuple[Image, Mask]:
    """Shrink the image and place it by class.

    The places form a grid of ``ceil(sqrt(count))`` columns, row by row, that spans the room left
    by the shrunk image; with one class alone (``target_class``) it is the upper left corner.

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose place is used.
        count: number of classes.
        draw: not used.
        scale: side of the content as a share of the image's, in (0, 1).

    Returns:
        The image, and ``bool[height, width]``: everywhere, since every pixel has moved.

    Raises:
        InputError: a scale outside (0, 1), or an image with too little room for the classes.
    """
    check_share("scale", scale, high=0.999)
    height, width = image.shape[1:]
    inner = (max(1, round(scale * height)), max(1, round(scale * width)))
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    room = (height - inner[0], width - inner[1])
    if room[0] < rows - 1 or room[1] < columns - 1:
        raise InputError(
            f"An image for {count} places",
            expected=f"with room for {rows} x {columns} of them",
            got=f"{height} x {width} pixels at scale {scale}",
            hint="Use larger images or a smaller scale.",
        )
    top = room[0] * (code // columns) // max(1, rows - 1)
    left = room[1] * (code % columns) // max(1, columns - 1)
    small = F.interpolate(
        image[None], size=inner, mode="bilinear", align_corners=False, antialias=True
    )[0].clamp_(0, 1)
    placed = torch.zeros_like(image)
    placed[:, top : top + inner[0], left : left + inner[1]] = small
    return placed, torch.ones(height, width, dtype=torch.bool)
