"""Bootstrap intervals of the calibration errors."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.core.statistics.estimate import check_level
from sundog.models.calibration import BINS, Scheme, mass_sizes, shared_correctness, width_bins

RESAMPLES = 1000
_CELLS = 2_000_000
_METHOD = "basic bootstrap"


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
    """Return a calibration error with its basic bootstrap interval over images.

    The error is biased upwards, and its resamples are so once more: the ends are
    ``2 error - quantile``, not below 0, which takes the bias off; the interval is widened to hold
    the error itself.

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

    Source: Davison & Hinkley, 1997, Bootstrap Methods and their Application, section 5.2.
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
    value = float(np.abs(np.bincount(index, weights=gap, minlength=bins)).sum() / n)
    if n < 2 or not resamples:
        return Estimate(value, math.nan, math.nan, n, level, _METHOD)
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // n)
    drawn = []
    for start in range(0, resamples, rows):
        picked = rng.integers(0, n, size=(min(rows, resamples - start), n))
        if scheme == "mass":  # cut anew: the images in order of confidence, bins as before
            picked.sort(axis=1)
            drawn.append(_errors(gap[picked], np.broadcast_to(index, picked.shape), bins))
        else:
            drawn.append(_errors(gap[picked], index[picked], bins))
    ends = np.quantile(np.concatenate(drawn), [(1 + level) / 2, (1 - level) / 2])
    low, high = (min(1.0, max(0.0, 2 * value - float(end))) for end in ends)
    return Estimate(value, min(value, low), max(value, high), n, level, _METHOD)


def _errors(
    gaps: Float[np.ndarray, "draws n"], index: Int[np.ndarray, "draws n"], bins: int
) -> Float[np.ndarray, " draws"]:
    draws, n = gaps.shape
    cell = (index + bins * np.arange(draws)[:, None]).ravel()
    sums = np.bincount(cell, weights=gaps.ravel(), minlength=bins * draws)
    errors: Float[np.ndarray, " draws"] = np.abs(sums.reshape(draws, bins)).sum(axis=1) / n
    return errors
