"""Gaussian blur of images, differentiable, on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sundog.core.shapes import Images


def blur_images(images: Images, *, sigma: float) -> Images:
    """Gaussian blur (kernel radius 3 sigma, edges replicated); ``sigma`` in pixels."""
    radius = max(1, int(3 * sigma + 0.5))
    x = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
