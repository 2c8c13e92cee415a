"""The compression: re-encoding as JPEG as strongly as the donor seems to have been."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from sundog.core.shapes import Images
from sundog.data.components.detail import BLOCK, block_dct

QUALITIES = (75, 40, 20, 8)
_FLAT = 2 / 255
"""A DCT coefficient below this counts as emptied by a quantiser."""


def transfer_compression(images: Images, donors: Images) -> Images:
    """Encode each image at the JPEG quality that leaves it as empty of detail as its donor.

    Emptiness: the share of 8 x 8 DCT coefficients below 2/255. Of the image itself and its
    versions at qualities 75 to 8, the one nearest to the donor's emptiness is taken: an image is
    never made finer. Carries compression with its blocks and rings.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1]; smaller than 8 px: unchanged.
        donors: of the same shape.
    """
    if min(images.shape[-2:]) < BLOCK:
        return images
    goal = _emptiness(donors)
    best, gap = images.clone(), (_emptiness(images) - goal).abs()
    for quality in QUALITIES:
        encoded = torch.stack([_encode(image, quality) for image in images.cpu()]).to(images)
        found = (_emptiness(encoded) - goal).abs()
        nearer = found < gap
        best[nearer], gap[nearer] = encoded[nearer], found[nearer]
    return best


def _emptiness(images: Images) -> Tensor:
    return (block_dct(images).abs() < _FLAT).to(torch.float32).mean(dim=(1, 2, 3, 4, 5))


def _encode(image: Tensor, quality: int) -> Tensor:
    pixels = np.rint(image.permute(1, 2, 0).double().numpy() * 255).astype(np.uint8)
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, "JPEG", quality=quality)
    stream.seek(0)
    with Pillow.open(stream) as opened:
        decoded = np.asarray(opened.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(decoded).permute(2, 0, 1)
