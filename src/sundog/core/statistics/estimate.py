"""A number with its interval, its sample size and the name of the method that made it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sundog.core.errors import InputError


@dataclass(frozen=True)
class Estimate:
    """A value with a confidence interval.

    Attributes:
        value: the point estimate; NaN if ``n`` is 0.
        low: lower end of the interval; NaN if the sample is too small for one.
        high: upper end of the interval.
        n: number of independent observations.
        level: confidence level, e.g. 0.95.
        method: how the interval was made: ``t``, ``bca``, ``percentile``, ``wilson``, ``newcombe``.
    """

    value: float
    low: float
    high: float
    n: int
    level: float
    method: str

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.3g} (n = {self.n}, no interval)"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}] (n = {self.n})"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dictionary."""
        return asdict(self)


def check_sample(values: ArrayLike, *, name: str = "values") -> NDArray[np.float64]:
    """Return a one-dimensional float64 array of finite numbers.

    Raises:
        InputError: more than one axis, or a value that is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(name, expected="one-dimensional", got=f"shape {array.shape}")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise InputError(
            name,
            expected="finite",
            got=f"NaN or infinity in {bad} of {array.size} values",
            hint="Drop them first and report how many there were.",
        )
    return array


def check_level(level: float) -> float:
    """Return ``level`` if it lies strictly between 0 and 1.

    Raises:
        InputError: it does not.
    """
    if not 0 < level < 1:
        raise InputError("level", expected="between 0 and 1", got=str(level), hint="Try 0.95.")
    return float(level)
