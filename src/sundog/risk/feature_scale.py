"""Features centred and brought to unit size, by running statistics that training collects."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

SLOWEST = 0.01
"""Least weight of a new batch: so the statistics follow a backbone that is trained as well."""
SMALLEST = 1e-6


class FeatureScale(nn.Module):
    """``(features - mean) / size``: a mean per feature, one size for all of them.

    One size keeps the geometry, so that a feature that was constant in training does not blow up
    when it moves. Statistics are those of the batches given to :meth:`observe`: their plain mean at
    first, later a moving one. A batch is never scaled by its own statistics alone, so the result
    of an image does not depend on the others.

    Args:
        features: length of the feature vector.
    """

    steps: Tensor
    mean: Tensor
    square: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("square", torch.ones(()))

    @torch.no_grad()
    def observe(self, features: Float[Tensor, "batch features"]) -> None:
        """Take note of a training batch; an empty one changes nothing."""
        if not len(features):
            return
        values = features.detach().to(self.mean)
        self.steps += 1
        weight = max(1 / int(self.steps), SLOWEST)
        self.mean.lerp_(values.mean(dim=0), weight)
        self.square.lerp_((values - self.mean).square().mean(), weight)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Return the scaled features; as they are (but for nothing) before the first batch."""
        return (features.to(self.mean) - self.mean) / self.square.sqrt().clamp_min(SMALLEST)
