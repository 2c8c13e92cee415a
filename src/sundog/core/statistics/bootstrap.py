"""Bootstrap intervals for any statistic of one sample, seeded, with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import Estimate, check_level, check_sample

BootstrapMethod = Literal["bca", "percentile"]
_CELLS = 4_000_000
"""Numbers held at once while resampling (32 MB)."""


class Statistic(Protocol):
    """A statistic along one axis, such as ``numpy.mean`` or ``numpy.median``."""

    def __call__(self, values: NDArray[np.float64], /, *, axis: int) -> Any:
        """Return the statistic along ``axis``."""


def bootstrap_interval(
    values: ArrayLike,
    *,
    statistic: Statistic = np.mean,
    level: float = 0.95,
    method: BootstrapMethod = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return a statistic of a sample with its bootstrap interval.

    ``percentile``: quantiles of the resampled statistic. ``bca``: the quantiles shifted by the
    bias ``z0 = Phi^-1(share of resamples below the estimate, ties counted half)`` and the
    acceleration ``a = sum(d^3) / (6 sum(d^2)^1.5)``, d the jackknife deviations.

    Args:
        values: ``[n]`` independent observations, finite.
        statistic: vectorised along an axis: ``numpy.mean``, ``numpy.median``, ...
        level: confidence level.
        method: ``bca`` or ``percentile``.
        resamples: number of bootstrap samples, at least 100.
        seed: same seed, same interval.

    Returns:
        The estimate. ``n < 2``: without an interval. A sample of equal values has an interval of
        width 0: the bootstrap knows only what it saw.

    Raises:
        InputError: values that are not finite, a level outside (0, 1), too few resamples.

    Source: Efron, 1987, JASA 82; Efron & Tibshirani, 1993, chapter 14.
    """
    sample, level = check_sample(values), check_level(level)
    if method not in ("bca", "percentile"):
        raise InputError("method", expected="bca or percentile", got=repr(method))
    if resamples < 100:
        raise InputError("resamples", expected="at least 100", got=str(resamples))
    n = sample.size
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, level, method)
    value = float(statistic(sample, axis=-1))
    if n == 1:
        return Estimate(value, math.nan, math.nan, 1, level, method)
    rng = np.random.default_rng(seed)
    drawn = np.concatenate(
        [
            np.asarray(statistic(sample[index], axis=-1), dtype=np.float64)
            for index in _resample_indices(rng, n, resamples)
        ]
    )
    tail = (1 - level) / 2
    probabilities = np.array([tail, 1 - tail])
    if method == "bca":
        probabilities = _corrected(drawn, value, _jackknife(sample, statistic), probabilities)
    low, high = np.quantile(drawn, probabilities)
    return Estimate(value, float(low), float(high), n, level, method)


def _resample_indices(
    rng: np.random.Generator, n: int, resamples: int
) -> Iterator[NDArray[np.int64]]:
    """Yield index blocks ``[rows, n]`` of at most ``_CELLS`` numbers."""
    rows = max(1, _CELLS // n)
    for start in range(0, resamples, rows):
        yield rng.integers(0, n, size=(min(rows, resamples - start), n))


def _jackknife(sample: NDArray[np.float64], statistic: Statistic) -> NDArray[np.float64]:
    """Return the statistic with each observation left out in turn, ``[n]``."""
    n = sample.size
    if statistic is np.mean:
        return (sample.sum() - sample) / (n - 1)
    parts = []
    rows = max(1, _CELLS // n)
    column = np.arange(n - 1)
    for start in range(0, n, rows):
        left_out = np.arange(start, min(start + rows, n))[:, None]
        kept = sample[column + (column >= left_out)]
        parts.append(np.asarray(statistic(kept, axis=-1), dtype=np.float64))
    return np.concatenate(parts)


def _corrected(
    drawn: NDArray[np.float64],
    value: float,
    jackknife: NDArray[np.float64],
    probabilities: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the BCa quantile levels; the plain ones when every resample gives the same value."""
    below = (np.sum(drawn < value) + np.sum(drawn <= value)) / (2 * drawn.size)
    deviations = jackknife.mean() - jackknife
    spread = float((deviations**2).sum())
    if not 0 < below < 1 or spread == 0:
        return probabilities
    bias = stats.norm.ppf(below)
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5)
    z = bias + stats.norm.ppf(probabilities)
    corrected = stats.norm.cdf(bias + z / (1 - acceleration * z))
    return np.asarray(corrected, dtype=np.float64)
