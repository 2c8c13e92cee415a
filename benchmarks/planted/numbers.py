"""Numbers with intervals as JSON."""

import math
from typing import Any

from sundog.core.statistics import Estimate


def as_json(estimate: Estimate) -> dict[str, Any]:
    """Return value, interval and n; what is not finite becomes None."""
    return {
        "value": finite(estimate.value),
        "low": finite(estimate.low),
        "high": finite(estimate.high),
        "n": estimate.n,
    }


def finite(value: float | None) -> float | None:
    """Return the number, or None if it is none."""
    return None if value is None or not math.isfinite(value) else float(value)
