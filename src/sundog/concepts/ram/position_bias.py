"""Position biases of one window size made into those of another."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import RectBivariateSpline
from torch import Tensor


def resize_bias_table(
    table: Float[Tensor, "positions heads"], window: int
) -> Float[Tensor, "new_positions heads"]:
    """Interpolate a table of relative-position biases with cubic splines, head by head.

    The old offsets ``-k..k`` are first spread to ``1, 1 + q, 1 + q + q^2, ...`` to either side,
    with the growth q in [1.01, 1.5] for which the sum of k terms reaches the new largest offset,
    found by bisection; the spline is read at the new whole offsets. So near offsets keep their
    biases and far ones are stretched. A table of one entry is repeated.

    Args:
        table: ``float[(2w - 1)^2, heads]``.
        window: patches per side of the new windows.

    Returns:
        ``float32[(2 window - 1)^2, heads]``.

    Source:
        The fine-tuning code of BEiT: Bao et al., 2021, arXiv 2106.08254; RAM resizes with it too.
    """
    side = round(len(table) ** 0.5)
    if side == 1:
        return table.float().expand((2 * window - 1) ** 2, -1).contiguous()
    reach, degree = window - 1, min(3, side - 1)
    knots = _spread(side // 2, reach)
    asked = np.arange(-reach, reach + 1, dtype=np.float64)
    heads = []
    for column in table.double().numpy().T:
        values = column.reshape(side, side)
        spline = RectBivariateSpline(knots, knots, values, kx=degree, ky=degree, s=0)
        heads.append(spline(asked, asked).ravel())
    return torch.from_numpy(np.stack(heads, axis=1)).float()


def _spread(steps: int, reach: int) -> Float[np.ndarray, "knots"]:
    low, high = 1.01, 1.5
    growth = (low + high) / 2
    while high - low > 1e-6:
        growth = (low + high) / 2
        if (1 - growth**steps) / (1 - growth) > reach:
            high = growth
        else:
            low = growth
    half = np.cumsum(growth ** np.arange(steps))
    return np.concatenate([-half[::-1], [0.0], half])
