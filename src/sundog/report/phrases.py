"""Numbers in sentences: ``71 % [66, 76]``, ``+3.1 points [+0.4, +5.8]``, ``4,321 images``."""

from __future__ import annotations

import math

from sundog.core.statistics import Estimate
from sundog.report.table import format_number


def share(value: Estimate | float, *, digits: int = 0) -> str:
    """Write a share in [0, 1] with its interval: ``71 % [66, 76]``."""
    made = _estimate(value)
    text = format_number(made.value, format="percent", digits=digits)
    if not math.isfinite(made.value) or math.isnan(made.low):
        return text
    return f"{text} [{100 * made.low:.{digits}f}, {100 * made.high:.{digits}f}]".replace("-", "−")


def points(value: Estimate | float, *, digits: int = 1) -> str:
    """Write a difference of shares with its interval: ``+3.1 points [+0.4, +5.8]``."""
    made = _estimate(value)
    text = f"{format_number(made.value, format='points', digits=digits)} points"
    if not math.isfinite(made.value) or math.isnan(made.low):
        return text
    ends = [format_number(end, format="points", digits=digits) for end in (made.low, made.high)]
    return f"{text} [{ends[0]}, {ends[1]}]"


def correlation(value: Estimate) -> str:
    """Write a correlation with its interval: ``+0.31 [+0.25, +0.37]``."""
    if not math.isfinite(value.value):
        return "–"
    text = f"{value.value:+.2f}"
    if math.isfinite(value.low):
        text += f" [{value.low:+.2f}, {value.high:+.2f}]"
    return text.replace("-", "−")


def counted(number: int, thing: str) -> str:
    """Write a count with its noun: ``1 image``, ``4,321 images``, ``2 classes``."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"


def joined(names: list[str], *, most: int = 6) -> str:
    """Write names with commas and an *and*; more than ``most`` are counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def above_zero(value: Estimate | None) -> bool:
    """Whether the interval lies above zero."""
    return value is not None and value.low > 0


def below_zero(value: Estimate | None) -> bool:
    """Whether the interval lies below zero."""
    return value is not None and value.high < 0


def _estimate(value: Estimate | float) -> Estimate:
    if isinstance(value, Estimate):
        return value
    return Estimate(float(value), math.nan, math.nan, 0, 0.95, "")
