"""The stratified test of many slices at once: exact moments within strata, skewness corrected.

If a tag means nothing, the images of a stratum that carry it are a simple random sample of the
stratum. The sum of the outcome over a slice then has known mean, variance and third moment, strata
add up, and the standardised sum is the root of the Cochran-Mantel-Haenszel statistic. Small slices
of an easy class are skewed: one image too many is wrong far more often than the normal law says.
The Wilson-Hilferty transformation removes that; without it the smallest slices would rule the
permutation maxima and hide all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import special


@dataclass(frozen=True, eq=False)
class StrataMoments:
    """Moments of the outcome in each stratum.

    Attributes:
        n: ``int[K]`` images.
        mean: ``float[K]``.
        variance: ``float[K]`` with divisor n.
        third: ``float[K]`` third central moment with divisor n.
        binary: whether the outcome is right or wrong.
    """

    n: Int[np.ndarray, " strata"]
    mean: Float[np.ndarray, " strata"]
    variance: Float[np.ndarray, " strata"]
    third: Float[np.ndarray, " strata"]
    binary: bool


def stratum_moments(
    outcome: Shaped[np.ndarray, " images"], strata: Int[np.ndarray, " images"], *, count: int
) -> StrataMoments:
    """Return the moments of an outcome in each of ``count`` strata; 0 for an empty one."""
    values = outcome.astype(np.float64)
    n = np.bincount(strata, minlength=count)
    size = np.maximum(n, 1)
    mean = np.bincount(strata, weights=values, minlength=count) / size
    centred = values - mean[strata]
    return StrataMoments(
        n=n,
        mean=mean,
        variance=np.bincount(strata, weights=centred**2, minlength=count) / size,
        third=np.bincount(strata, weights=centred**3, minlength=count) / size,
        binary=outcome.dtype == np.bool_,
    )


@dataclass(frozen=True, eq=False)
class NullLaw:
    """What the sum over each slice would be if its tags meant nothing.

    Attributes:
        expected: ``float[m]``.
        deviation: ``float[m]`` standard deviation; 0 where the strata can say nothing.
        skewness: ``float[m]``.
        correction: 1/2 for right or wrong, else 0.
    """

    expected: Float[np.ndarray, " slices"]
    deviation: Float[np.ndarray, " slices"]
    skewness: Float[np.ndarray, " slices"]
    correction: float

    def rows(self, chosen: np.ndarray) -> NullLaw:
        """Return the law of some slices."""
        return NullLaw(
            self.expected[chosen], self.deviation[chosen], self.skewness[chosen], self.correction
        )

    def scores(self, totals: Float[np.ndarray, "slices ..."]) -> Float[np.ndarray, "slices ..."]:
        """Return normal scores of sums: negative where the sum is below what chance gives.

        ``z = (sum - expected) / deviation``, 1/2 nearer 0 for right or wrong; then
        ``(6 / g) ((1 + g z / 2)^(1/3) - 1) + g / 6`` with the skewness g.

        Args:
            totals: ``[m]`` or ``[m, permutations]`` sums of the outcome over the slices.

        Returns:
            Scores of the same shape; 0 where the deviation is 0.

        Source: Wilson & Hilferty, 1931, PNAS 17 (Pearson type III).
        """
        shape = (-1,) + (1,) * (totals.ndim - 1)
        excess = totals - self.expected.reshape(shape)
        excess = np.sign(excess) * np.maximum(np.abs(excess) - self.correction, 0.0)
        known = self.deviation > 0
        deviation = np.where(known, self.deviation, 1.0).reshape(shape)
        z = np.where(known.reshape(shape), excess / deviation, 0.0)
        skewed = np.abs(self.skewness) > 1e-4
        g = np.where(skewed, self.skewness, 1.0).reshape(shape)
        transformed = (6 / g) * (np.cbrt(np.maximum(1 + g * z / 2, 0.0)) - 1) + g / 6
        corrected = np.where(skewed.reshape(shape), transformed, z)
        return np.where(known.reshape(shape), corrected, 0.0)


def null_law(inside: Int[np.ndarray, "slices strata"], moments: StrataMoments) -> NullLaw:
    """Return the law of the sums over slices with ``inside`` images in each stratum.

    Of ``n1`` of ``n`` images drawn without replacement: mean ``n1 m``, variance
    ``n1 (n - n1) v / (n - 1)``, third moment ``n1 (n - n1) (n - 2 n1) t / ((n - 1) (n - 2))``; for
    right or wrong these are the hypergeometric ones.

    Source: Mantel & Haenszel, 1959, JNCI 22; Sukhatme, 1938, Biometrika 30 (third moment).
    """
    n1, n = inside.astype(np.float64), moments.n.astype(np.float64)
    two = n1 * (n - n1)
    variance = (two * moments.variance / np.maximum(n - 1, 1)).sum(axis=1)
    third = (two * (n - 2 * n1) * moments.third / np.maximum((n - 1) * (n - 2), 1)).sum(axis=1)
    known = variance > 1e-12
    deviation = np.where(known, np.sqrt(np.where(known, variance, 1.0)), 0.0)
    skewness = np.where(known, third / np.where(known, variance, 1.0) ** 1.5, 0.0)
    return NullLaw(
        expected=(n1 * moments.mean).sum(axis=1),
        deviation=deviation,
        skewness=skewness,
        correction=0.5 if moments.binary else 0.0,
    )


def two_sided(scores: Float[np.ndarray, " slices"]) -> Float[np.ndarray, " slices"]:
    """Return two-sided p-values of normal scores."""
    return np.minimum(1.0, 2 * special.ndtr(-np.abs(scores)))
