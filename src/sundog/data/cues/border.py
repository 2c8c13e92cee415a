"""A frame in the class's colour."""

from __future__ import annotations

import torch

from sundog.data.cues.colours import class_colour
from sundog.data.cues.pixel import Mask
from sundog.data.cues.placement import check_share
from sundog.data.transforms import Image


def plant_border(
    image: Image, code: int, count: int, draw: torch.Generator, *, width: float = 0.03
) -> tuple[Image, Mask]:
    """Plant a border.

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose colour is shown.
        count: not used.
        draw: not used.
        width: of the frame as a share of the image's shorter side, at least one pixel.

    Returns:
        The image with the border, and ``bool[height, width]``: the border.

    Raises:
        InputError: a width outside (0, 0.5].
    """
    check_share("width", width, high=0.5)
    edge = max(1, round(width * min(image.shape[1:])))
    mask = torch.ones(tuple(image.shape[1:]), dtype=torch.bool)
    mask[edge:-edge, edge:-edge] = False
    colour = torch.tensor(class_colour(code), dtype=image.dtype)
    return torch.where(mask, colour[:, None, None], image), mask
