"""Random flips and shifts, drawn per image and epoch, whatever the batch."""

from __future__ import annotations

from typing import Literal, get_args

import torch
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
    drawn = draws[indices]
    flipped = torch.where(drawn[:, 0, None, None, None] < 0.5, images.flip(3), images)
    if augment == "flip":
        return flipped
    height, width = images.shape[2:]
    reach = (height // 8, width // 8)
    padded = F.pad(flipped, (reach[1], reach[1], reach[0], reach[0]))
    top = (drawn[:, 1] * (2 * reach[0] + 1)).long().tolist()
    left = (drawn[:, 2] * (2 * reach[1] + 1)).long().tolist()
    return torch.stack(
        [
            image[:, y : y + height, x : x + width]
            for image, y, x in zip(padded, top, left, strict=True)
        ]
    )


def augmentation_draws(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return ``float[count, 3]`` in [0, 1): flip, vertical and horizontal shift of each image."""
    return torch.rand((count, 3), generator=generator(seed, "augment", epoch))
