"""Painting a part over with the colour around it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from sundog.core.shapes import Images

RING = 3
"""Pixels around the part whose mean colour is taken."""


def paste_located(
    images: Images,
    donors: Images,
    *,
    own: Bool[Tensor, "batch height width"],
    theirs: Bool[Tensor, "batch height width"],
) -> Images:
    """Paint over each image's own part and paste the donor's at the donor's place.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        donors: of the same shape; one without a part takes the image's away.
        own: where the part of each image is.
        theirs: where the part of each donor is.
    """
    inside = theirs.to(images.device)[:, None]
    return torch.where(inside, donors, paint_over(images, own.to(images.device)))


def paint_over(images: Images, masks: Bool[Tensor, "batch height width"]) -> Images:
    """Fill the masked pixels of each image with the mean colour of a ring around them.

    Args:
        images: ``float[batch, 3, height, width]``.
        masks: of the same size; an empty mask leaves its image as it is.
    """
    if not bool(masks.any()):
        return images
    inside = masks[:, None].to(images.dtype)
    ring = F.max_pool2d(inside, 2 * RING + 1, stride=1, padding=RING) - inside
    count = ring.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    colour = (images * ring).sum(dim=(2, 3), keepdim=True) / count
    return torch.where(inside > 0, colour, images)
