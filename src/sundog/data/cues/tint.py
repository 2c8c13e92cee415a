"""A tint of the whole image towards the class's colour: ``(1 - amount) image + amount colour``."""

from __future__ import annotations

import torch

from sundog.data.cues.colours import class_colour
from sundog.data.cues.pixel import Mask
from sundog.data.cues.placement import check_share
from sundog.data.transforms import Image


def plant_tint(
    image: Image, code: int, count: int, draw: torch.Generator, *, amount: float = 0.25
) -> tuple[Image, Mask]:
    """Plant a tint.

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose colour is shown.
        count: not used.
        draw: not used.
        amount: of the colour, in (0, 1].

    Returns:
        The tinted image, and ``bool[height, width]``: everywhere.

    Raises:
        InputError: an amount outside (0, 1].
    """
    check_share("amount", amount)
    colour = torch.tensor(class_colour(code), dtype=image.dtype)[:, None, None]
    tinted = ((1 - amount) * image + amount * colour).clamp_(0, 1)
    return tinted, torch.ones(tuple(image.shape[1:]), dtype=torch.bool)
