"""A window: the pixels of a box at a fixed place."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.core.shapes import Images


def window_mask(
    height: int, width: int, *, top: float, left: float, tall: float, wide: float
) -> Bool[Tensor, "height width"]:
    """Return the pixels of a box given in shares of the image; at least one pixel each way."""
    first_row, first_column = round(top * height), round(left * width)
    last_row = max(first_row + 1, round((top + tall) * height))
    last_column = max(first_column + 1, round((left + wide) * width))
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[first_row:last_row, first_column:last_column] = True
    return mask


def transfer_window(
    images: Images, donors: Images, *, top: float, left: float, tall: float, wide: float
) -> Images:
    """Paste the donor's pixels of the box at the same place.

    Args:
        images: ``float[batch, 3, height, width]``.
        donors: of the same shape.
        top: of the box, as a share of the height.
        left: of the box, as a share of the width.
        tall: height of the box, as a share.
        wide: width of the box, as a share.
    """
    height, width = images.shape[-2:]
    inside = window_mask(height, width, top=top, left=left, tall=tall, wide=wide)
    return torch.where(inside.to(images.device), donors, images)
