"""The fine detail: how strong each spatial frequency is, without saying where."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from sundog.core.shapes import Images

BLOCK = 8
LARGEST_GAIN = 4.0
_LEAST = 1e-3


def transfer_detail(images: Images, donors: Images) -> Images:
    """Give each frequency of the 8 x 8 block DCT the power that it has in the donor.

    Every coefficient but the block means is scaled by ``rms_donor / rms_image`` (at most 4), rms
    over the blocks of the image, per channel; clipped to [0, 1]. Carries blur, sharpening,
    compression and noise levels; edges stay where they are. A rest of fewer than eight rows or
    columns is left as it is.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1]; smaller than 8 px: unchanged.
        donors: of the same shape.
    """
    if min(images.shape[-2:]) < BLOCK:
        return images
    own, theirs = block_dct(images), block_dct(donors)
    gain = (_rms(theirs) / _rms(own).clamp_min(_LEAST)).clamp(0, LARGEST_GAIN)
    gain[..., 0, 0] = 1
    return _image(own * gain, images).clamp(0, 1)


@cache
def _basis() -> Tensor:
    rows = [
        [
            math.sqrt((1 if u == 0 else 2) / BLOCK)
            * math.cos((2 * x + 1) * u * math.pi / (2 * BLOCK))
            for x in range(BLOCK)
        ]
        for u in range(BLOCK)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def block_dct(images: Images) -> Tensor:
    """Return the orthonormal 8 x 8 DCT, ``float[batch, 3, rows, columns, 8, 8]`` of blocks."""
    batch, channels, height, width = images.shape
    tall, wide = height // BLOCK, width // BLOCK
    cut = images[:, :, : tall * BLOCK, : wide * BLOCK]
    grid = cut.reshape(batch, channels, tall, BLOCK, wide, BLOCK).permute(0, 1, 2, 4, 3, 5)
    basis = _basis().to(images)
    return basis @ grid @ basis.T


def _rms(blocks: Tensor) -> Tensor:
    return (blocks**2).mean(dim=(2, 3), keepdim=True).sqrt()


def _image(blocks: Tensor, images: Images) -> Images:
    basis = _basis().to(images)
    grid = (basis.T @ blocks @ basis).permute(0, 1, 2, 4, 3, 5)
    batch, channels, tall, _, wide, _ = grid.shape
    found = images.clone()
    found[:, :, : tall * BLOCK, : wide * BLOCK] = grid.reshape(
        batch, channels, tall * BLOCK, wide * BLOCK
    )
    return found
