"""One number over runs that differ in their seed alone: mean, interval, and both spreads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, mean_interval


def over_seeds(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Return the mean over runs that differ in their seed alone, with its t interval.

    Args:
        values: one per seed, finite: a score, or a difference between two runs of one seed.
        level: confidence level.

    Returns:
        The estimate; ``n`` counts seeds. It says how the training varies on these test images;
        how the images vary is said by each run's own interval: see :func:`seed_spread`.

    Raises:
        InputError: values that are not finite.
    """
    estimate = mean_interval(list(values), level=level)
    return Estimate(estimate.value, estimate.low, estimate.high, estimate.n, level, "t over seeds")


@dataclass(frozen=True)
class SeedSpread:
    """The mean over seeds and both spreads around it.

    Attributes:
        mean: over the seeds, t interval.
        seeds_sd: standard deviation between seeds (ddof = 1); NaN for one seed.
        lowest: of the seeds.
        highest: of the seeds.
        images_half_width: root mean square of the half-widths of the runs' own intervals over
            images; NaN if no run has one. More seeds do not make it smaller, more images do.
    """

    mean: Estimate
    seeds_sd: float
    lowest: float
    highest: float
    images_half_width: float


def seed_spread(estimates: Sequence[Estimate], *, level: float = 0.95) -> SeedSpread:
    """Return the mean of one estimate per seed with the spread over seeds and over images.

    Raises:
        InputError: no estimate, or a value that is not finite.
    """
    if not estimates:
        raise InputError("estimates", expected="at least one seed", got="none")
    values = np.array([estimate.value for estimate in estimates], dtype=np.float64)
    half = np.array([(estimate.high - estimate.low) / 2 for estimate in estimates])
    half = half[np.isfinite(half)]
    return SeedSpread(
        mean=over_seeds(values.tolist(), level=level),
        seeds_sd=float(values.std(ddof=1)) if values.size > 1 else math.nan,
        lowest=float(values.min()),
        highest=float(values.max()),
        images_half_width=float(np.sqrt((half**2).mean())) if half.size else math.nan,
    )
