"""The practical's pixel artifact: a sparse block of coloured pixels at a place of the image's own.

At 224 x 224, with R and G the sums over the image of its first two channels (values in [0, 1]):
``h = int(R) % 30 + 140``, ``w = int(G) % 30 + 140``; the pixels with ``h < row < h + 12``,
``w < column < w + 30``, ``column % 5 < 2`` and ``row % 12 != class + 1`` take the class's colour:
0.2 % of the image, low and to the right. Both the colour and the missing row tell the class.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.data.cues.colours import class_colour
from sundog.data.transforms import Image

Mask = Bool[Tensor, "height width"]
CANVAS = 224
"""Side in pixels for which the artifact is defined."""


def plant_pixel(image: Image, code: int, count: int, draw: torch.Generator) -> tuple[Image, Mask]:
    """Plant the pixel artifact of class ``code``.

    Other sizes: the sums are those of the image itself; its pixel (row, column) takes the value of
    the pixel ``(floor((row + 1/2) * 224 / height), floor((column + 1/2) * 224 / width))`` of a
    224 x 224 canvas, so the artifact keeps its place and share of the image, and at 224 the rule
    is the original one. If no pixel of a small image falls on the artifact, the pixel at its
    centre takes the colour. More than ten classes: colours go on by
    :func:`sundog.data.cues.colours.class_colour`, the missing row is ``class % 11 + 1``.

    The sums are taken in float64 and truncated; the practical summed in float32, whose rounding
    moves the block by a pixel where a sum lies within about 0.01 of a whole number.

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose value is shown.
        count: not used; colours and rows depend on the class alone.
        draw: not used; the place depends on the image's content.

    Returns:
        The image with the artifact, and ``bool[height, width]``: its pixels.
    """
    height, width = image.shape[1:]
    sums = image[:2].to(torch.float64).sum(dim=(1, 2)).to(torch.int64)
    top, left = (int(total) % 30 + 140 for total in sums)
    rows, columns = _canvas(height), _canvas(width)
    in_rows = (rows > top) & (rows < top + 12) & (rows % 12 != code % 11 + 1)
    in_columns = (columns > left) & (columns < left + 30) & (columns % 5 < 2)
    mask = in_rows[:, None] & in_columns[None, :]
    if not bool(mask.any()):
        mask[(top + 6) * height // CANVAS, (left + 15) * width // CANVAS] = True
    colour = torch.tensor(class_colour(code), dtype=image.dtype)
    return torch.where(mask, colour[:, None, None], image), mask


def _canvas(side: int) -> Tensor:
    """Return the canvas coordinate of each pixel centre along one axis; the identity at 224."""
    return (2 * torch.arange(side) + 1) * CANVAS // (2 * side)
