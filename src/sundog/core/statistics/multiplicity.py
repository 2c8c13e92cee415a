"""Corrections for many tests: Holm (no false finding at all) and Benjamini-Hochberg (few)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sundog.core.errors import InputError


def holm(p_values: ArrayLike, *, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return p-values adjusted so that ``adjusted <= alpha`` keeps P(any false finding) <= alpha.

    ``max over j <= i of min(1, (w_(j) + ... + w_(m)) p_(j) / w_(j))`` in ascending order of
    ``p / w``; with equal weights ``(m - j + 1) p_(j)``. Valid under any dependence between the
    tests, if the weights were chosen without looking at the p-values.

    Args:
        p_values: ``[m]`` in [0, 1]; NaN (a test that could not be made) stays NaN, uncounted.
        weights: ``[m]``, positive: how much of alpha each test is worth; None: equal.

    Returns:
        ``float64[m]`` in the order given; never smaller than the p-value itself.

    Raises:
        InputError: a value outside [0, 1], or weights that are not positive, one per p-value.

    Source: Holm, 1979, Scandinavian Journal of Statistics 6.
    """
    p, tested = _check(p_values)
    w = np.ones(p.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != p.shape or not (np.isfinite(w) & (w > 0)).all():
        raise InputError(
            "weights", expected=f"{p.size} positive numbers", got=f"shape {w.shape}, or others"
        )
    worth = w[tested]
    order = np.argsort(p[tested] / worth, kind="stable")
    left = np.cumsum(worth[order][::-1])[::-1]
    scaled = p[tested][order] * (left / worth[order])
    return _restore(p, tested, order, np.maximum.accumulate(scaled))


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted so that ``adjusted <= q`` keeps the false share of findings <= q.

    ``min over j >= i of min(1, m p_(j) / j)`` in ascending order; valid for independent or
    positively dependent tests.

    Args:
        p_values: ``[m]`` in [0, 1]; NaN stays NaN and is not counted.

    Returns:
        ``float64[m]`` in the order given.

    Raises:
        InputError: a value outside [0, 1].

    Source: Benjamini & Hochberg, 1995, JRSS B 57.
    """
    p, tested = _check(p_values)
    m = int(tested.sum())
    order = np.argsort(p[tested], kind="stable")
    scaled = p[tested][order] * (m / np.arange(1, m + 1))
    return _restore(p, tested, order, np.minimum.accumulate(scaled[::-1])[::-1])


def _check(p_values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    p = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(p)
    if p.ndim != 1:
        raise InputError("p_values", expected="one-dimensional", got=f"shape {p.shape}")
    if ((p[tested] < 0) | (p[tested] > 1)).any():
        raise InputError("p_values", expected="in [0, 1]", got="values outside")
    return p, tested


def _restore(
    p: NDArray[np.float64],
    tested: NDArray[np.bool_],
    order: NDArray[np.int64],
    adjusted: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Put adjusted values back in the caller's order, clipped to 1."""
    values = np.empty(order.size)
    values[order] = np.minimum(adjusted, 1.0)
    result = p.copy()
    result[tested] = values
    return result
