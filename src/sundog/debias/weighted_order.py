"""Drawing the positions of an epoch, with replacement, by their probabilities."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import generator


def weighted_order(
    probabilities: Float64[np.ndarray, "images"], *, count: int, seed: int, epoch: int
) -> Int64[Tensor, "visited"]:
    """Return ``count`` positions drawn with replacement, by inversion of the cumulative sum.

    Args:
        probabilities: ``float64[n]``, >= 0, any scale; an image with 0 is never drawn.
        count: positions to draw, >= 1.
        seed: of the run.
        epoch: each epoch draws anew.

    Raises:
        InputError: negative, infinite or only zero probabilities, no count.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 1 or not np.isfinite(p).all() or (p < 0).any() or not p.sum() > 0:
        raise InputError("probabilities", expected="finite, >= 0, not all 0", got=f"{p.shape}")
    if count < 1:
        raise InputError("count", expected=">= 1", got=str(count))
    possible = np.flatnonzero(p)
    steps = np.cumsum(p[possible])
    draw = generator(seed, "weighted order", epoch)
    uniform = torch.rand(count, dtype=torch.float64, generator=draw).numpy()
    places = np.searchsorted(steps, uniform * steps[-1], side="right")
    return torch.from_numpy(possible[np.minimum(places, possible.size - 1)].astype(np.int64))
