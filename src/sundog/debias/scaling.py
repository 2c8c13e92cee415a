"""Standardised features, and linear heads brought from there to the raw features and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError

ROUNDING = 1e-6
"""Spread of a feature, relative to its largest value, up to which it counts as constant."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """``standardised = (features - mean) / spread``.

    Attributes:
        mean: ``float64[features]``.
        spread: ``float64[features]``, standard deviation; 1 for a feature that is constant.
    """

    mean: Float64[np.ndarray, "features"]
    spread: Float64[np.ndarray, "features"]

    @staticmethod
    def of(features: ArrayLike) -> Scaling:
        """Return mean and standard deviation (divided by n) of each feature.

        Args:
            features: ``[images, features]``, at least one image.

        Raises:
            InputError: no image, or values that are not finite.
        """
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or not len(x):
            raise InputError("features", expected="[images, features], n > 0", got=f"{x.shape}")
        if not np.isfinite(x).all():
            raise InputError("features", expected="finite", got="NaN or infinity")
        mean, spread = x.mean(axis=0), x.std(axis=0)
        # Features come with 32 bits: a spread that is rounding alone would blow rounding up.
        constant = spread <= ROUNDING * np.abs(x).max(axis=0)
        return Scaling(mean=mean, spread=np.where(constant, 1.0, spread))

    def apply(self, features: ArrayLike) -> Float64[np.ndarray, "images features"]:
        """Return the standardised features."""
        scaled: Float64[np.ndarray, "images features"] = (
            np.asarray(features, dtype=np.float64) - self.mean
        ) / self.spread
        return scaled

    def to_raw(
        self, weight: ArrayLike, bias: ArrayLike
    ) -> tuple[Float64[np.ndarray, "classes features"], Float64[np.ndarray, "classes"]]:
        """Return the head on raw features that equals a head on standardised ones.

        ``W f' + b = (W / spread) f + (b - (W / spread) mean)``.
        """
        raw = np.asarray(weight, dtype=np.float64) / self.spread
        return raw, np.asarray(bias, dtype=np.float64) - raw @ self.mean

    def from_raw(
        self, weight: ArrayLike, bias: ArrayLike
    ) -> tuple[Float64[np.ndarray, "classes features"], Float64[np.ndarray, "classes"]]:
        """Return the head on standardised features that equals a head on raw ones."""
        raw = np.asarray(weight, dtype=np.float64)
        return raw * self.spread, np.asarray(bias, dtype=np.float64) + raw @ self.mean
