"""How common a value of a latent is among those of the training images: bins of equal width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sundog.core.errors import InputError, ModelStateError

ACTIVE_VARIANCE = 0.01
"""A latent whose mean varies less than this over the images says nothing about them."""

EDGE = 1e-4
"""How far beyond the outermost row, in units of their span, a value still belongs to its bin: the
outermost rows themselves come back with other rounding in a batch of another size."""


@dataclass(frozen=True, eq=False)
class LatentHistogram:
    """How many rows fall in each of the bins of each dimension.

    Attributes:
        low: ``float64[width]``, lower end of the first bin.
        high: ``float64[width]``, upper end of the last bin.
        counts: ``int64[width, bins]``, rows in each bin.
        active: ``bool[width]``, whether a dimension varies at all.
        smoothing: rows added to every bin.
    """

    low: Float[Tensor, "width"]
    high: Float[Tensor, "width"]
    counts: Int64[Tensor, "width bins"]
    active: Bool[Tensor, "width"]
    smoothing: float

    def log_shares(self, values: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """Return the log of the share of rows in the bin of each value, ``float64``, <= 0.

        ``log((count + a) / (rows + a (bins + 2)))`` with ``a`` the smoothing. Beyond the lowest
        and the highest row (and a 10,000th of their span) lie two open bins without a row. Higher =
        more common. A dimension that is not active gives 0 for every value; a value that is NaN
        gives NaN.

        Args:
            values: one column per dimension.
        """
        values = values.detach().to("cpu", torch.float64)
        bins = self.counts.shape[1]
        span = torch.where(self.active, self.high - self.low, 1.0)
        place = ((values - self.low) / span * bins).nan_to_num().floor().clamp(0, bins - 1).long()
        count = self.counts.T.gather(0, place).double()
        edge = EDGE * span
        outside = (values < self.low - edge) | (values > self.high + edge)
        count = torch.where(outside, 0.0, count)
        total = self.counts.double().sum(dim=1) + self.smoothing * (bins + 2)
        logs = ((count + self.smoothing) / total).log()
        logs = torch.where(self.active, logs, 0.0)
        return torch.where(values.isnan(), torch.nan, logs)


def latent_histogram(
    rows: Float[Tensor, "rows width"], *, bins: int = 5, smoothing: float = 1.0
) -> LatentHistogram:
    """Return a histogram per dimension with equal bins from the smallest to the largest value.

    A dimension whose variance over the rows is below :data:`ACTIVE_VARIANCE` is not active: under
    the prior of a VAE (variance 1) it carries no information about the image, and its bins would
    only add noise.

    Args:
        rows: finite, >= 2 rows.
        bins: per dimension, >= 1.
        smoothing: rows added to every bin, > 0, so that no bin has probability 0.

    Raises:
        InputError: a number out of range, or values that are not finite.
        ModelStateError: fewer than two rows.

    Source: activity of latents: Burda, Grosse & Salakhutdinov, 2015, arXiv 1509.00519.
    """
    if bins < 1:
        raise InputError("num_bins", expected=">= 1", got=str(bins))
    if not 0 < smoothing < float("inf"):
        raise InputError("smoothing", expected="> 0", got=str(smoothing))
    if len(rows) < 2:
        raise ModelStateError(
            "The feature queue",
            expected="filled with at least two images before it can be asked",
            got=str(len(rows)),
            hint="Fit first.",
        )
    values = rows.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(values).all()):
        raise InputError("Rows of the queue", expected="finite", got="NaN or infinity")
    low, high = values.min(dim=0).values, values.max(dim=0).values
    active = values.var(dim=0) >= ACTIVE_VARIANCE
    span = torch.where(active, high - low, 1.0)
    place = ((values - low) / span * bins).floor().clamp(0, bins - 1).long()
    counts = torch.zeros((values.shape[1], bins), dtype=torch.int64)
    counts.scatter_add_(1, place.T, torch.ones_like(place.T))
    return LatentHistogram(low=low, high=high, counts=counts, active=active, smoothing=smoothing)
