"""Parts that attribution maps propose: the box with the most relevance in each image."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from sundog.bias.shortcut_pairs import chunks
from sundog.core.errors import InputError
from sundog.core.shapes import Images

Attribute = Callable[[Images], Tensor]
"""``float[batch, 3, height, width]`` -> ``float[batch, height, width]``: maps of the prediction."""


def map_images(
    attribute: Attribute, images: Images, *, device: torch.device, batch_size: int
) -> Float[Tensor, "images height width"]:
    """Return the map of every image, on the CPU.

    Raises:
        InputError: maps of another shape, or not finite.
    """
    parts = []
    for rows in chunks(len(images), batch_size):
        part = images[rows]
        maps = attribute(part.to(device)).detach().float().cpu()
        if maps.shape != (len(part), *images.shape[-2:]):
            raise InputError(
                "attribute",
                expected=f"maps of shape {(len(part), *images.shape[-2:])}",
                got=str(tuple(maps.shape)),
            )
        parts.append(maps)
    found = torch.cat(parts)
    if not bool(torch.isfinite(found).all()):
        raise InputError("attribute", expected="finite maps", got="NaN or infinity")
    return found


def peak_masks(
    maps: Float[Tensor, "images height width"], *, side: float
) -> Bool[Tensor, "images height width"]:
    """Return, per image, the square whose sum of |relevance| is largest.

    Args:
        maps: signed or not.
        side: of the square, as a share of the shorter side; at least two pixels.
    """
    height, width = maps.shape[1:]
    size = max(2, round(side * min(height, width)))
    sums = F.avg_pool2d(maps.abs()[:, None], size, stride=1)[:, 0]
    best = sums.flatten(1).argmax(dim=1)
    top, left = best // sums.shape[2], best % sums.shape[2]
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + size)
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + size)
    return in_rows[:, :, None] & in_columns[:, None, :]
