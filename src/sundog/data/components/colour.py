"""The colour cast: mean and spread of each channel over the image."""

from __future__ import annotations

import torch

from sundog.core.shapes import Images

_LEAST = 1e-3


def transfer_colour(images: Images, donors: Images) -> Images:
    """Give each image the channel means and standard deviations of its donor.

    ``(x - mean) / std * std_donor + mean_donor`` per channel, clipped to [0, 1]. Carries a tint, a
    gain, a haze; leaves every edge where it was.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        donors: of the same shape.

    Source: Reinhard et al., 2001, IEEE CG&A 21(5), here in RGB.
    """
    own_mean, own_std = moments(images)
    mean, std = moments(donors)
    return ((images - own_mean) * (std / own_std) + mean).clamp(0, 1)


def moments(images: Images) -> tuple[Images, Images]:
    """Return mean and standard deviation (at least 0.001) of each channel, ``[batch, 3, 1, 1]``."""
    std, mean = torch.std_mean(images, dim=(2, 3), keepdim=True, correction=0)
    return mean, std.clamp_min(_LEAST)
