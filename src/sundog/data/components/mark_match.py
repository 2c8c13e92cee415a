"""Finding a mark: a small pattern of light and dark, whatever shines through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

FLAT = 0.02
"""Standard deviation of light (0..1) below which nothing is recognised."""


@dataclass(frozen=True, eq=False)
class Mark:
    """A pattern and where it counts.

    Attributes:
        factor: squares of this side are averaged before it is looked for.
        threshold: correlation from which it counts as found, in (0, 1].
        values: its light, ``float[height, width]`` in 0..1.
        weights: how much each of its pixels counts, >= 0, not all 0.
    """

    factor: int
    threshold: float
    values: Float[Tensor, "height width"]
    weights: Float[Tensor, "height width"]


def light(images: Float[Tensor, "batch 3 h w"], factor: int) -> Float[Tensor, "batch 1 h2 w2"]:
    """Return the mean over channels and over squares of side ``factor``; a rest is left out."""
    grey = images.mean(dim=1, keepdim=True)
    return grey if factor == 1 else F.avg_pool2d(grey, factor)


def correlation(
    grey: Float[Tensor, "batch 1 height width"],
    values: Float[Tensor, "marks tall wide"],
    weights: Float[Tensor, "marks tall wide"],
) -> Float[Tensor, "batch marks rows columns"]:
    """Return the weighted correlation of marks of one size with every place of every image.

    ``r = sum_k w_k (x_k - m_x)(t_k - m_t) / (s_x s_t)`` with weighted means and standard deviations
    over the mark's pixels; 0 where the image is flat (``s_x < 0.02``). In [-1, 1]; 1 = the same
    pattern, whatever its contrast.

    Args:
        grey: from :func:`light`.
        values: of the marks.
        weights: >= 0.
    """
    share = weights / weights.sum(dim=(1, 2), keepdim=True)
    mean = (share * values).sum(dim=(1, 2), keepdim=True)
    spread = (share * (values - mean) ** 2).sum(dim=(1, 2)).sqrt().clamp_min(1e-6)
    pattern = share * (values - mean)
    own = F.conv2d(grey, pattern[:, None])
    first = F.conv2d(grey, share[:, None])
    second = F.conv2d(grey * grey, share[:, None])
    return _ratio(own, first, second, spread)


def square_correlation(
    grey: Float[Tensor, "batch 1 height width"], values: Float[Tensor, "marks side side"]
) -> Float[Tensor, "batch marks rows columns"]:
    """Return :func:`correlation` of many squares all of whose pixels count alike: faster."""
    side = values.shape[-1]
    pattern = (values - values.mean(dim=(1, 2), keepdim=True)) / side**2
    spread = values.flatten(1).std(dim=1, correction=0).clamp_min(1e-6)
    own = F.conv2d(grey, pattern[:, None])
    first = F.avg_pool2d(grey, side, stride=1)
    second = F.avg_pool2d(grey * grey, side, stride=1)
    return _ratio(own, first, second, spread)


def best_places(
    grey: Float[Tensor, "batch 1 height width"], marks: Sequence[Mark]
) -> tuple[Float[Tensor, "batch marks"], Int64[Tensor, "batch marks 2"]]:
    """Return the highest correlation of each mark in each image, and the place (row, column).

    Each image is looked at alone, so that the result does not depend on the batch.

    Args:
        grey: shrunk by the marks' factor.
        marks: of one factor; one that is larger than the images is found nowhere (-1).
    """
    tall, wide = (max(mark.values.shape[axis] for mark in marks) for axis in (0, 1))
    values, weights = (
        torch.stack([_padded(part, tall, wide) for part in parts])
        for parts in ([mark.values for mark in marks], [mark.weights for mark in marks])
    )
    height, width = grey.shape[-2:]
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    inside = torch.stack(
        [
            (rows + mark.values.shape[0] <= height) & (columns + mark.values.shape[1] <= width)
            for mark in marks
        ]
    )
    tops, places = [], []
    for image in grey:
        found = correlation(F.pad(image[None], (0, wide - 1, 0, tall - 1)), values, weights)[0]
        top, where = found.masked_fill(~inside, -1.0).flatten(1).max(dim=1)
        tops.append(top)
        places.append(torch.stack([where // width, where % width], dim=1))
    return torch.stack(tops), torch.stack(places)


def _padded(part: Float[Tensor, "tall wide"], tall: int, wide: int) -> Float[Tensor, "tall wide"]:
    return F.pad(part, (0, wide - part.shape[1], 0, tall - part.shape[0]))


def _ratio(own: Tensor, first: Tensor, second: Tensor, spread: Tensor) -> Tensor:
    deviation = (second - first * first).clamp_min(0).sqrt()
    found = own / (deviation.clamp_min(FLAT) * spread[None, :, None, None])
    return torch.where(deviation < FLAT, 0.0, found).clamp(-1, 1)
