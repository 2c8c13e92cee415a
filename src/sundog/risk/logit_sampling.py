"""Class probabilities under Gaussian noise on the logits, with the same draws for every image."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed, generator
from sundog.core.shapes import Logits

CHUNK = 1 << 22
"""Most numbers (samples x images x classes) held at a time: 32 MiB in float64."""
FINEST = 2.0**-31
"""Sobol points are multiples of 2^-30: kept this far from 0 and 1."""


def fixed_normals(samples: int, columns: int, *, seed: int) -> Float[Tensor, "samples columns"]:
    """Return standard normal points that cover the space evenly, on the CPU.

    Half are the inverse normal distribution function of scrambled Sobol points, the other half
    their negatives, so that the mean of every column is 0. Beyond 21,201 columns (what Sobol
    sequences have) they are pseudo-random. The same points serve every image: its score then
    depends on nothing but the image.

    Args:
        samples: even, >= 2.
        columns: >= 1.
        seed: of the scrambling.

    Returns:
        ``float64[samples, columns]``; row ``i + samples / 2`` is minus row ``i``.

    Raises:
        InputError: an odd number of samples, or none.

    Source:
        Owen, 1998, "Scrambling Sobol' and Niederreiter-Xing points", J. Complexity 14.
    """
    if samples < 2 or samples % 2:
        raise InputError("samples", expected="even and >= 2", got=str(samples))
    if columns < 1:
        raise InputError("columns", expected=">= 1", got=str(columns))
    half = samples // 2
    if columns <= SobolEngine.MAXDIM:
        engine: Any = SobolEngine
        sequence = engine(columns, scramble=True, seed=derive_seed(seed, "sobol"))
        uniform: Tensor = sequence.draw(half, dtype=torch.float64).clamp(FINEST, 1 - FINEST)
        points = torch.special.ndtri(uniform)
    else:
        draw = generator(seed, "normals")
        points = torch.randn((half, columns), generator=draw, dtype=torch.float64)
    return torch.cat([points, -points])


def mean_noisy_log_probabilities(
    logits: Logits,
    scale: Float[Tensor, "batch classes"],
    normals: Float[Tensor, "samples ..."],
) -> Float[Tensor, "batch classes"]:
    """Return ``log mean_s softmax(logits + scale * normals_s)`` by log-sum-exp.

    Differentiable, in the number format of ``logits``. Computed in parts, so that at most
    :data:`CHUNK` numbers are held at a time where no gradient is wanted.

    Args:
        logits: the mean.
        scale: standard deviations, >= 0, one per logit; 0 leaves a logit without noise.
        normals: ``[samples, classes]`` for the same draws for every image, or
            ``[samples, batch, classes]`` for draws of its own for each.

    Returns:
        Log-probabilities; their exponentials sum to 1 over the classes.

    Raises:
        InputError: shapes that do not fit.

    Source:
        Kendall & Gal, 2017, arXiv 1703.04977, equation 12.
    """
    if scale.shape != logits.shape or normals.shape[-1] != logits.shape[-1]:
        raise InputError(
            "scale and normals",
            expected=f"{tuple(logits.shape)} and [samples, (batch,) {logits.shape[-1]}]",
            got=f"{tuple(scale.shape)} and {tuple(normals.shape)}",
        )
    normals = normals.to(logits)
    own = normals.ndim == 3
    if own and normals.shape[1] != len(logits):
        raise InputError(
            "normals", expected=f"for {len(logits)} images", got=f"for {normals.shape[1]}"
        )
    shared = normals if own else normals[:, None]
    rows = len(logits)
    if not torch.is_grad_enabled():
        rows = max(1, CHUNK // max(1, len(normals) * logits.shape[-1]))
    parts = []
    for start in range(0, len(logits), max(1, rows)):
        part = slice(start, start + rows)
        draws = shared[:, part] if own else shared
        noisy = logits[None, part] + scale[None, part] * draws
        sampled = torch.logsumexp(torch.log_softmax(noisy, dim=-1), dim=0)
        parts.append(sampled - math.log(len(normals)))
    return torch.cat(parts) if parts else torch.log_softmax(logits, dim=-1)
