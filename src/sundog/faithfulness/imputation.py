"""Noisy linear imputation: removed pixels become a smooth guess from the pixels that are left."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from sundog.core.seeds import image_generator
from sundog.core.shapes import Images

NOISE = 0.01
"""Standard deviation of the noise that is added to an imputed value, in units of [0, 1]."""
_EDGE, _DIAGONAL = 1 / 6, 1 / 12
_NEIGHBOURS = (
    (-1, -1, _DIAGONAL),
    (-1, 0, _EDGE),
    (-1, 1, _DIAGONAL),
    (0, -1, _EDGE),
    (0, 1, _EDGE),
    (1, -1, _DIAGONAL),
    (1, 0, _EDGE),
    (1, 1, _DIAGONAL),
)


def imputation_noise(images: Images, *, seed: int) -> Images:
    """Return one field of N(0, 0.01²) noise per image, drawn from the seed and the image alone.

    The field does not depend on which pixels are removed, on the batch, or on other images.
    """
    drawn = [
        NOISE * torch.randn(image.shape, generator=image_generator(image, seed, "noisy linear"))
        for image in images
    ]
    return torch.stack(drawn).to(images)


def impute_noisy_linear(images: Images, keep: Tensor, noise: Images) -> Images:
    """Return the images with removed pixels imputed from their neighbours, plus noise.

    Each removed pixel p solves ``u_p sum_q w_q = sum_q w_q v_q`` over its (up to 8) neighbours q
    inside the image, v the image where kept and u where removed, w = 1/6 for edge and 1/12 for
    diagonal neighbours; the noise is added to removed pixels only. The values may leave [0, 1] by
    the noise. When no pixel is left, they are the image's channel means plus noise.

    Args:
        images: ``float[batch, 3, height, width]``.
        keep: ``bool[batch, height, width]``, False where a pixel is removed.
        noise: ``float[batch, 3, height, width]``, see :func:`imputation_noise`.

    Returns:
        ``float[batch, 3, height, width]``, equal to ``images`` where kept.

    Source: Rong et al., 2022 (ROAD), arXiv 2202.00449.
    """
    filled = [
        torch.from_numpy(_solve(image, kept))
        for image, kept in zip(
            images.detach().cpu().double().numpy(), keep.cpu().numpy(), strict=True
        )
    ]
    return torch.where(keep[:, None], images, torch.stack(filled).to(images) + noise)


def _solve(image: NDArray[np.float64], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return one image ``[3, h, w]`` with the removed pixels solved for, all channels at once."""
    channels, height, width = image.shape
    removed = np.flatnonzero(~keep.ravel())
    count = removed.size
    if count == 0:
        return image
    if count == height * width:
        return np.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape).copy()
    values = image.reshape(channels, -1).T
    unknown = np.full(height * width, -1)
    unknown[removed] = np.arange(count)
    row, column = np.divmod(removed, width)
    diagonal, right = np.zeros(count), np.zeros((count, channels))
    entries = []
    for down, across, weight in _NEIGHBOURS:
        inside = (row + down >= 0) & (row + down < height)
        inside &= (column + across >= 0) & (column + across < width)
        here = np.flatnonzero(inside)
        there = removed[here] + down * width + across
        diagonal[here] += weight
        joined = unknown[there] >= 0
        entries.append((here[joined], unknown[there[joined]], -weight))
        right[here[~joined]] += weight * values[there[~joined]]
    rows = np.concatenate([*(here for here, _, _ in entries), np.arange(count)])
    columns = np.concatenate([*(there for _, there, _ in entries), np.arange(count)])
    data = np.concatenate([*(np.full(here.size, w) for here, _, w in entries), diagonal])
    matrix = sparse.csc_matrix((data, (rows, columns)), shape=(count, count))
    # Symmetric and positive definite: no pivoting, and an ordering made for symmetric patterns.
    factors = splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    result = values.copy()
    result[removed] = factors.solve(right)
    return np.ascontiguousarray(result.T).reshape(image.shape)
