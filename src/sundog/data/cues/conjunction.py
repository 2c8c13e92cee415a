"""Two attributes that only together tell the class: a patch and a tint, each in one of two colours.

The patch's colour is drawn for each image, as often the one as the other whatever the class; so is
the tint's, then. Images of even classes have patch and tint of the same colour, images of odd
classes of different ones.
"""

from __future__ import annotations

import torch

from sundog.data.cues.colours import class_colour
from sundog.data.cues.pixel import Mask
from sundog.data.cues.placement import check_share, place_box
from sundog.data.transforms import Image

COLOURS = (class_colour(0), class_colour(2))
"""Blue and orange."""


def plant_conjunction(
    image: Image,
    code: int,
    count: int,
    draw: torch.Generator,
    *,
    amount: float = 0.25,
    size: float = 0.15,
    corner: str = "bottom_right",
    margin: float = 0.03,
) -> tuple[Image, Mask]:
    """Tint the image and plant a patch, of one colour for even classes and of two for odd ones.

    With more than two classes the cue tells even classes from odd ones, no more.

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class that the cue speaks for.
        count: not used.
        draw: of this image: which colour the patch has, and its place for ``corner="random"``.
        amount: of the tint, in (0, 1].
        size: side of the patch as a share of the image's shorter side, at least one pixel.
        corner: top_left, top_right, bottom_left, bottom_right or random.
        margin: distance of the patch to the edge as a share of the shorter side.

    Returns:
        The image, and ``bool[height, width]``: everywhere, since the tint is.

    Raises:
        InputError: an amount or size outside (0, 1], a bad margin, an unknown corner.
    """
    check_share("amount", amount)
    check_share("size", size)
    check_share("margin", margin, low=-1e-9, high=0.5)
    height, width = image.shape[1:]
    first = int(torch.randint(2, (1,), generator=draw))
    patch, tint = (
        torch.tensor(COLOURS[which], dtype=image.dtype)[:, None, None]
        for which in (first, (first + code) % 2)
    )
    shorter = min(height, width)
    side = max(1, round(size * shorter))
    top, left = place_box(
        (height, width), (side, side), corner, margin=round(margin * shorter), draw=draw
    )
    planted = ((1 - amount) * image + amount * tint).clamp_(0, 1)
    planted[:, top : top + side, left : left + side] = patch
    return planted, torch.ones(height, width, dtype=torch.bool)
