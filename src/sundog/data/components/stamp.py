"""A stamp: a few pixels of given colours, wherever they are in the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.core.shapes import Images
from sundog.data.components.paint_over import paste_located
from sundog.data.components.stamp_match import as_planes, match_stamp, shrink

Stamps = Sequence[Mapping[str, Any]]
"""Each ``{"factor", "tolerance", "threshold", "offsets", "colours"}``: the scale it is looked for
at, how far a colour may be off (0..255), the share of its pixels that must be found, its pixels.
Together they are the values of one cue: an image carries the one that fits best."""


def stamp_masks(images: Images, *, stamps: Stamps) -> Bool[Tensor, "batch height width"]:
    """Return where the best-fitting stamp is in each image; nowhere if none is.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        stamps: JSON values.
    """
    ready = [
        (
            int(stamp["factor"]),
            int(stamp["tolerance"]),
            float(stamp["threshold"]),
            np.asarray(stamp["offsets"], dtype=np.int64),
            np.asarray(stamp["colours"], dtype=np.uint8),
        )
        for stamp in stamps
    ]
    masks = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool)
    for row, image in enumerate(images.detach().cpu()):
        pixels = np.rint(image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        views: dict[int, np.ndarray] = {}
        best = (0.0, 1, (0, 0), np.zeros((0, 2), np.int64))
        for factor, tolerance, threshold, offsets, colours in ready:
            if factor not in views:
                views[factor] = as_planes(shrink(pixels, factor))
            score, where = match_stamp(views[factor], offsets, colours, tolerance)
            if score >= threshold and score > best[0]:
                best = (score, factor, where, offsets)
        _, factor, (top, left), offsets = best
        for dy, dx in offsets.tolist():
            y, x = (top + dy) * factor, (left + dx) * factor
            masks[row, y : y + factor, x : x + factor] = True
    return masks


def transfer_stamp(images: Images, donors: Images, *, stamps: Stamps) -> Images:
    """Paint over the image's own stamp and paste the donor's at the donor's place.

    A donor without a stamp takes it away.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        donors: of the same shape.
        stamps: JSON values.
    """
    own, theirs = stamp_masks(images, stamps=stamps), stamp_masks(donors, stamps=stamps)
    return paste_located(images, donors, own=own, theirs=theirs)
