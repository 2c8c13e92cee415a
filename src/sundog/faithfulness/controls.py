"""Control maps that no explanation should lose to: random, centre, edge, constant.

They ask the classifier nothing. Without them a deletion score has no scale.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from sundog.core.seeds import image_generator
from sundog.core.shapes import Images, Maps

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance (ITU-R BT.601)."""


def random_map(images: Images, *, seed: int = 0) -> Maps:
    """Return uniform noise in [0, 1), drawn from the seed and each image alone."""
    drawn = [
        torch.rand(image.shape[1:], generator=image_generator(image, seed, "random control"))
        for image in images
    ]
    return torch.stack(drawn).to(images)


def centre_map(images: Images, *, seed: int = 0) -> Maps:
    """Return a Gaussian around the centre, sigma = a quarter of each side; ``seed`` unused."""
    height, width = images.shape[2:]
    down = (torch.arange(height) - (height - 1) / 2) / (height / 4)
    across = (torch.arange(width) - (width - 1) / 2) / (width / 4)
    bump = torch.exp(-0.5 * (down[:, None] ** 2 + across[None, :] ** 2))
    return bump.to(images).expand(len(images), -1, -1).contiguous()


def edge_map(images: Images, *, seed: int = 0) -> Maps:
    """Return the Sobel gradient magnitude of the luminance, edges replicated; ``seed`` unused."""
    weights = images.new_tensor(LUMINANCE).view(1, 3, 1, 1)
    grey = F.pad((images * weights).sum(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = images.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([across, across.T])[:, None]
    return F.conv2d(grey, kernels).norm(dim=1)


def constant_map(images: Images, *, seed: int = 0) -> Maps:
    """Return ones: every pixel is a tie, so ranked metrics go from the last pixel to the first."""
    return torch.ones_like(images[:, 0])


CONTROLS: dict[str, Callable[..., Maps]] = {
    "random": random_map,
    "centre": centre_map,
    "edge": edge_map,
    "constant": constant_map,
}
"""Name to ``function(images, *, seed) -> maps``; always rows of the faithfulness table."""
