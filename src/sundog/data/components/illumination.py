"""The illumination: a plane of light across the image, per channel."""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.shapes import Images


def transfer_illumination(images: Images, donors: Images) -> Images:
    """Replace the best-fitting plane (without its mean) by the donor's, clipped to [0, 1].

    Carries a gradient of light or colour from one side to the other; the mean colour stays.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        donors: of the same shape.
    """
    return (images - _plane(images) + _plane(donors)).clamp(0, 1)


def _plane(images: Images) -> Tensor:
    height, width = images.shape[-2:]
    y = torch.linspace(-1, 1, height).to(images)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width).to(images)[None, :].expand(height, width)
    total = torch.zeros_like(images)
    for axis in (y, x):
        power = (axis**2).mean().clamp_min(1e-12)
        total = total + (images * axis).mean(dim=(2, 3), keepdim=True) / power * axis
    return total
