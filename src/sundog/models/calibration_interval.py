"""Bootstrap intervals of the calibration errors."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.core.statistics.estimate import check_level
from sundog.models.calibration import BINS, Scheme, mass_sizes, shared_correctness, width_bins

RESAMPLES = 1000
_CELLS = 200_000
CLEAR = 2.0
"""A bin whose gap exceeds so many standard errors has a known sign."""
_METHOD = "bootstrap, bin by bin"


def calibration_interval(
    confidence: Float[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    *,
    scheme: Scheme = "width",
    bins: int = BINS,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return a calibration error with its bootstrap interval over images.

    The error ``sum_b |d_b|`` is biased upwards, and more so in resamples, so that plain bootstrap
    intervals miss a calibrated model nearly always. Here every bin is bounded by itself: with
    ``e_b`` the resampled minus the seen ``d_b``, the seen error exceeds the true one by at most
    ``sum e_b sign(d_b)`` over the bins more than two standard errors from 0 plus ``sum |e_b|`` over
    the others, and falls below it by at most the same with the first sum negated; the ends are
    the quantiles of these. The bins stay as they are cut in the data.

    Args:
        confidence: the largest probability of each image.
        correct: whether its class is the label.
        scheme: ``width`` (:func:`~sundog.models.calibration.ece`) or ``mass``
            (:func:`~sundog.models.calibration.adaptive_ece`).
        bins: number of bins, >= 1.
        level: confidence level.
        resamples: bootstrap samples; 0 gives no interval.
        seed: same seed, same interval, whatever the order of the images.

    Returns:
        The error in [0, 1]; NaN without images; without an interval for one image.

    Raises:
        InputError: an unknown scheme, ``bins`` < 1.

    Source: Andrews & Soares, 2010, Econometrica 78 (bounds through the parts that may bind).
    """
    level = check_level(level)
    if scheme not in ("width", "mass"):
        raise InputError("scheme", expected="width or mass", got=repr(scheme))
    n = confidence.size
    index = width_bins(confidence, bins=bins)
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0, level, _METHOD)
    order = np.lexsort((correct, confidence))  # so that the order of the images does not matter
    confidence, correct, index = confidence[order], correct[order], index[order]
    if scheme == "width":
        gap = correct - confidence
    else:
        gap = shared_correctness(confidence, correct) - confidence
        index = np.repeat(np.arange(len(sizes := mass_sizes(n, bins))), sizes)
    seen = np.bincount(index, weights=gap, minlength=bins) / n
    value = float(np.abs(seen).sum())
    if n < 2 or not resamples:
        return Estimate(value, math.nan, math.nan, n, level, _METHOD)
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // n)
    drawn = []
    for start in range(0, resamples, rows):
        picked = rng.integers(0, n, size=(min(rows, resamples - start), n))
        cell = (index[picked] + bins * np.arange(len(picked))[:, None]).ravel()
        sums = np.bincount(cell, weights=gap[picked].ravel(), minlength=bins * len(picked))
        drawn.append(sums.reshape(len(picked), bins) / n)
    above, below = error_deviations(seen, np.concatenate(drawn))
    tail = (1 + level) / 2
    low = max(0.0, value - float(np.quantile(above, tail)))
    high = min(1.0, value + float(np.quantile(below, tail)))
    return Estimate(value, min(value, low), max(value, high), n, level, _METHOD)


def error_deviations(
    seen: Float[np.ndarray, " bins"], drawn: Float[np.ndarray, "draws bins"]
) -> tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]:
    """Return by how much the seen calibration error may exceed the true one, and fall below it.

    Args:
        seen: ``d_b``, sum of correctness minus confidence over the images of each bin, by n.
        drawn: the same of resamples.
    """
    deviation = drawn - seen
    clear = np.abs(seen) > CLEAR * drawn.std(axis=0)
    known = (deviation[:, clear] * np.sign(seen[clear])).sum(axis=1)
    unknown = np.abs(deviation[:, ~clear]).sum(axis=1)
    return unknown + known, unknown - known
