"""The colour balance: how the channels differ in mean and spread, brightness left alone."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sundog.core.shapes import Images
from sundog.data.components.colour import moments


def transfer_cast(images: Images, donors: Images) -> Images:
    """Give each image the colour balance of its donor; its brightness and contrast stay.

    With mean ``m_c`` and standard deviation ``s_c`` of channel c, and ``m``, ``s`` their means over
    the channels (``n``, ``t``: the donor's), channel c gets the mean ``m + n_c - n`` and the
    deviation ``s t_c / t``, clipped to [0, 1]. Carries a tint, a filter, a sensor's balance, from
    which images without colour cannot differ by themselves.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        donors: of the same shape.

    Source: Reinhard et al., 2001, IEEE CG&A 21(5), the differences between channels alone.
    """
    own_mean, own_std = moments(images)
    mean, std = moments(donors)
    goal_mean = _level(own_mean) + mean - _level(mean)
    goal_std = _level(own_std) * std / _level(std)
    return ((images - own_mean) * (goal_std / own_std) + goal_mean).clamp(0, 1)


def casts(images: Images) -> Float[Tensor, "batch 3"]:
    """Return the cast of the middle of each image: mean of each channel minus the mean of all.

    Of the middle half of the sides, where a coloured frame or background does not reach.
    """
    height, width = images.shape[-2:]
    tall, wide = max(1, height // 4), max(1, width // 4)
    mean = images[:, :, tall : height - tall, wide : width - wide].mean(dim=(2, 3))
    return mean - mean.mean(dim=1, keepdim=True)


def _level(found: Tensor) -> Tensor:
    return found.mean(dim=1, keepdim=True)
