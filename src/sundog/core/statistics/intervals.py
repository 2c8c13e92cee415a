"""The mean of a sample with its interval: Student t, or the bootstrap."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics.bootstrap import bootstrap_interval
from sundog.core.statistics.estimate import Estimate, check_level, check_sample

MeanMethod = Literal["t", "bca", "percentile"]


def mean_interval(
    values: ArrayLike,
    *,
    level: float = 0.95,
    method: MeanMethod = "t",
    resamples: int = 2000,
    seed: int = 0,
    at_least: float | None = None,
) -> Estimate:
    """Return the mean of a sample and its confidence interval.

    ``t``: ``mean ± t_{n-1} s / sqrt(n)``. ``bca`` and ``percentile``: the bootstrap.

    Args:
        values: ``[n]`` independent observations, finite.
        level: confidence level.
        method: ``t`` is right for n of about 30 and more whatever the distribution, and for
            normal data of any size; ``bca`` follows skewed data better.
        resamples: bootstrap samples.
        seed: for the bootstrap.
        at_least: what the mean cannot be below (0 for a loss): the t interval is cut there.

    Returns:
        The estimate. ``n = 0``: all NaN. ``n = 1``: the value without an interval.

    Raises:
        InputError: values that are not finite, a level outside (0, 1), an unknown method.

    Source: Student, 1908; Efron, 1987, JASA 82 (BCa).
    """
    sample, level = check_sample(values), check_level(level)
    n = sample.size
    if method not in ("t", "bca", "percentile"):
        raise InputError("method", expected="t, bca or percentile", got=repr(method))
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, level, method)
    mean = float(sample.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1, level, method)
    if method != "t":
        return bootstrap_interval(
            sample, statistic=np.mean, level=level, method=method, resamples=resamples, seed=seed
        )
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * float(sample.std(ddof=1)) / math.sqrt(n)
    low = mean - half if at_least is None else max(mean - half, min(mean, at_least))
    return Estimate(mean, low, mean + half, n, level, "t")
