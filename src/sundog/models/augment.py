"""Random flips and shifts, drawn per image and epoch, whatever the batch."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.nn import functional as F

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.core.shapes import Images, Labels

Augment = Literal["none", "flip", "flip-shift"]


def check_augment(augment: str | bool) -> Augment:
    """Return the augmentation; ``True`` is ``flip`` and ``False`` is ``none``."""
    if isinstance(augment, bool):
        return "flip" if augment else "none"
    if augment not in get_args(Augment):
        raise InputError("augment", expected=f"one of {get_args(Augment)}", got=repr(augment))
    return augment  # type: ignore[return-value]


def augment_images(images: Images, indices: Labels, draws: Tensor, *, augment: Augment) -> Images:
    """Return the images flipped left to right (one in two) and shifted by up to an eighth.

    Args:
        images: ``float[batch, 3, height, width]``.
        indices: positions in the image set, rows of ``draws``.
        draws: ``float[images, 3]`` in [0, 1) from :func:`augmentation_draws`.
        augment: ``none``, ``flip`` or ``flip-shift`` (zeros come in at the border).
    """
    if augment == "none":
        return images
    height, width = images.shape[2:]
    mirrored, shifts = augmentation_moves(
        indices, draws, augment=augment, image_size=(height, width)
    )
    flipped = torch.where(mirrored[:, None, None, None].to(images.device), images.flip(3), images)
    if augment == "flip":
        return flipped
    reach = (height // 8, width // 8)
    padded = F.pad(flipped, (reach[1], reach[1], reach[0], reach[0]))
    return torch.stack(
        [
            image[:, y + reach[0] : y + reach[0] + height, x + reach[1] : x + reach[1] + width]
            for image, (y, x) in zip(padded, shifts.tolist(), strict=True)
        ]
    )


def augmentation_moves(
    indices: Labels, draws: Tensor, *, augment: Augment, image_size: tuple[int, int]
) -> tuple[Bool[Tensor, "batch"], Int64[Tensor, "batch 2"]]:
    """Return which images are mirrored, and by how many rows and columns each window is shifted.

    Pixel (y, x) of the (mirrored) image is found at ``(y - rows, x - columns)`` afterwards: a mask
    must move in the same way.

    Args:
        indices: positions in the image set, rows of ``draws``.
        draws: from :func:`augmentation_draws`.
        augment: ``none``, ``flip`` or ``flip-shift``.
        image_size: (height, width) in pixels.
    """
    drawn = draws[indices]
    shifts = torch.zeros((len(drawn), 2), dtype=torch.int64)
    if augment == "none":
        return torch.zeros(len(drawn), dtype=torch.bool), shifts
    if augment == "flip-shift":
        reach = torch.tensor([image_size[0] // 8, image_size[1] // 8])
        shifts = (drawn[:, 1:] * (2 * reach + 1)).long() - reach
    return drawn[:, 0] < 0.5, shifts


def augmentation_draws(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return ``float[count, 3]`` in [0, 1): flip, vertical and horizontal shift of each image."""
    return torch.rand((count, 3), generator=generator(seed, "augment", epoch))
