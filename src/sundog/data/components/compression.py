"""The compression: re-encoding as JPEG as strongly as the donor was, or seems to have been."""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.shapes import Images
from sundog.data.components.detail import BLOCK, block_dct
from sundog.data.components.jpeg_quality import UNKNOWN, encoded, jpeg_qualities

STEPS = (75, 40, 20, 8)
_FLAT = 2 / 255
"""A DCT coefficient below this counts as emptied by a quantiser."""


def transfer_compression(images: Images, donors: Images) -> Images:
    """Encode each image at the JPEG quality of its donor, if that is lower than its own.

    The quality is read from the pixels (:func:`jpeg_qualities`). Where the donor's cannot be read,
    as in resized images: that which leaves the image as empty of detail as its donor, emptiness
    being the share of 8 x 8 DCT coefficients below 2/255; of the image itself and its versions at
    qualities 75 to 8 the nearest one is taken. An image is never made finer. Carries compression
    with its blocks and rings.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1]; smaller than 8 px: unchanged.
        donors: of the same shape.
    """
    if min(images.shape[-2:]) < BLOCK:
        return images
    made = images.clone()
    given = torch.tensor(jpeg_qualities(donors))
    seen = (given != UNKNOWN).nonzero()[:, 0]
    if len(seen):
        own = jpeg_qualities(images[seen])
        for row, quality in zip(seen.tolist(), own, strict=True):
            if quality == UNKNOWN or quality > int(given[row]):
                made[row] = encoded(images[row], int(given[row]))
    rest = (given == UNKNOWN).nonzero()[:, 0]
    if len(rest):
        made[rest] = _as_empty(images[rest], donors[rest])
    return made


def _as_empty(images: Images, donors: Images) -> Images:
    goal = _emptiness(donors)
    best, gap = images.clone(), (_emptiness(images) - goal).abs()
    for quality in STEPS:
        tried = torch.stack([encoded(image, quality) for image in images])
        found = (_emptiness(tried) - goal).abs()
        nearer = found < gap
        best[nearer], gap[nearer] = tried[nearer], found[nearer]
    return best


def _emptiness(images: Images) -> Tensor:
    return (block_dct(images).abs() < _FLAT).to(torch.float32).mean(dim=(1, 2, 3, 4, 5))
