"""From one attribution per channel to one per pixel, from a small map to the image's size."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Maps

Reduction = Literal["l2", "sum", "abs_sum", "none"]
"""``l2``: the seed's, unsigned. ``sum``: signed, keeps completeness. ``abs_sum``: unsigned."""


def reduce_channels(attribution: Images, reduction: Reduction) -> Tensor:
    """Reduce ``[batch, 3, h, w]`` to ``[batch, h, w]``; ``none`` returns it unchanged.

    Raises:
        InputError: unknown reduction.
    """
    if reduction == "l2":
        return _norm(attribution)
    if reduction == "sum":
        return attribution.sum(dim=1)
    if reduction == "abs_sum":
        return attribution.abs().sum(dim=1)
    if reduction == "none":
        return attribution
    raise InputError("reduction", expected=f"one of {get_args(Reduction)}", got=repr(reduction))


def _norm(attribution: Images) -> Maps:
    """Return the L2 norm over the channels, also where a square would vanish or overflow.

    Not norm(dim=1), which is ten times slower across channels.
    """
    limits = torch.finfo(attribution.dtype)
    peak = attribution.abs().flatten(1).amax(dim=1)
    usual = (peak > 1e6 * limits.tiny**0.5) & (peak < 0.1 * limits.max**0.5)
    usual |= (peak == 0) | ~torch.isfinite(peak)
    if bool(usual.all()):
        return attribution.square().sum(dim=1).sqrt()
    scale = peak.where(~usual, 1)[:, None, None]
    return (attribution / scale[:, None]).square().sum(dim=1).sqrt() * scale


def resize_maps(maps: Maps, size: tuple[int, int]) -> Maps:
    """Resize maps bilinearly (half-pixel centres, as the seed when growing) to (height, width)."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def scale_max(maps: Maps) -> Maps:
    """Scale each map by its largest magnitude to [-1, 1], for display; a zero map stays zero."""
    peak = maps.abs().amax(dim=(1, 2), keepdim=True)
    return maps / peak.where(peak > 0, peak.new_ones(()))


def scale_zero_one(maps: Maps) -> Maps:
    """Scale each map from minimum to maximum to [0, 1], for display; a constant map gives 0."""
    low = maps.amin(dim=(1, 2), keepdim=True)
    span = maps.amax(dim=(1, 2), keepdim=True) - low
    return (maps - low) / span.where(span > 0, span.new_ones(()))
