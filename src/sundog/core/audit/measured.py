"""A number with its interval, as a record."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field

from sundog.core.inspection.record import Record
from sundog.core.statistics import Estimate


class Measured(Record):
    """A value with its interval and sample size; None where it could not be measured.

    Attributes:
        value: the point estimate.
        low: lower end.
        high: upper end.
        n: independent observations.
        level: of the interval.
        method: of the interval, e.g. ``wilson``.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = Field(ge=0)
    level: float = 0.95
    method: str = ""

    @classmethod
    def of(cls, estimate: Estimate) -> Self:
        """Return the record of an estimate; NaN and infinity become None."""
        return cls(
            value=_finite(estimate.value),
            low=_finite(estimate.low),
            high=_finite(estimate.high),
            n=estimate.n,
            level=estimate.level,
            method=estimate.method,
        )

    def estimate(self) -> Estimate:
        """Return the estimate again; None becomes NaN."""
        value, low, high = (math.nan if v is None else v for v in (self.value, self.low, self.high))
        return Estimate(value, low, high, self.n, self.level, self.method)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
