"""The surround: everything outside a centred ellipse."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.core.shapes import Images


def surround_mask(height: int, width: int, *, keep: float) -> Bool[Tensor, "height width"]:
    """Return the pixels outside the ellipse whose axes are ``keep`` x height and width."""
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - height / 2)[:, None]
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2)[None, :]
    return (2 * y / (keep * height)) ** 2 + (2 * x / (keep * width)) ** 2 > 1


def transfer_surround(images: Images, donors: Images, *, keep: float) -> Images:
    """Paste what surrounds the donor's middle.

    Args:
        images: ``float[batch, 3, height, width]``.
        donors: of the same shape.
        keep: axes of the kept ellipse, as shares of height and width.
    """
    outside = surround_mask(*images.shape[-2:], keep=keep)
    return torch.where(outside.to(images.device), donors, images)
