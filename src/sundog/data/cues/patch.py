"""A solid square in the class's colour, in a corner or at a place drawn for each image."""

from __future__ import annotations

import torch

from sundog.data.cues.colours import class_colour
from sundog.data.cues.pixel import Mask
from sundog.data.cues.placement import check_share, place_box
from sundog.data.transforms import Image


def plant_patch(
    image: Image,
    code: int,
    count: int,
    draw: torch.Generator,
    *,
    size: float = 0.12,
    corner: str = "bottom_right",
    margin: float = 0.03,
) -> tuple[Image, Mask]:
    """Plant a solid patch.

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose colour is shown.
        count: not used.
        draw: of this image, for ``corner="random"``.
        size: side of the patch as a share of the image's shorter side, at least one pixel.
        corner: top_left, top_right, bottom_left, bottom_right or random.
        margin: distance to the edge as a share of the shorter side.

    Returns:
        The image with the patch, and ``bool[height, width]``: the patch.

    Raises:
        InputError: a size outside (0, 1], a negative margin or one over 0.5, an unknown corner.
    """
    check_share("size", size)
    check_share("margin", margin, low=-1e-9, high=0.5)
    height, width = image.shape[1:]
    shorter = min(height, width)
    side = max(1, round(size * shorter))
    top, left = place_box(
        (height, width), (side, side), corner, margin=round(margin * shorter), draw=draw
    )
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top : top + side, left : left + side] = True
    colour = torch.tensor(class_colour(code), dtype=image.dtype)
    return torch.where(mask, colour[:, None, None], image), mask
