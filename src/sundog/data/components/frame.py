"""A frame: the outer ring of the image."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.core.shapes import Images


def frame_mask(height: int, width: int, *, thick: float) -> Bool[Tensor, "height width"]:
    """Return the ring of ``thick`` x the shorter side, at least one pixel."""
    edge = max(1, round(thick * min(height, width)))
    mask = torch.ones(height, width, dtype=torch.bool)
    mask[edge:-edge, edge:-edge] = False
    return mask


def transfer_frame(images: Images, donors: Images, *, thick: float) -> Images:
    """Paste the donor's ring.

    Args:
        images: ``float[batch, 3, height, width]``.
        donors: of the same shape.
        thick: of the ring, as a share of the shorter side.
    """
    inside = frame_mask(*images.shape[-2:], thick=thick)
    return torch.where(inside.to(images.device), donors, images)
