"""A curve with its intervals in SVG inside the page: how the answer grows with the dose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate

WIDTH, HEIGHT = 320, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 20, 12, 34


@dataclass(frozen=True)
class DoseCurve:
    """Shares against a dose.

    Attributes:
        title: what grows, and with what.
        points: (dose, share with its interval), at least two.
        across: what the dose is, under the axis.
        reference: share without the cue, drawn as a dotted line; None for none.
        reference_name: its name.
    """

    title: str
    points: Sequence[tuple[float, Estimate]]
    across: str
    reference: float | None = None
    reference_name: str = ""


@dataclass(frozen=True)
class DrawnCurve:
    """A curve ready for a page: positions in units of the drawing."""

    title: str
    words: str
    line: str
    band: str
    dots: list[tuple[float, float]]
    doses: list[tuple[float, str]]
    shares: list[tuple[float, str]]
    reference: float | None
    reference_name: str
    across: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    base: int = HEIGHT - _BOTTOM


def draw_curve(curve: DoseCurve) -> DrawnCurve:
    """Place the points; shares run from 0 to 100 %, doses from 0 to the largest.

    Raises:
        InputError: fewer than two points with a value, or a dose that is not above 0.
    """
    points = sorted(
        ((dose, share) for dose, share in curve.points if math.isfinite(share.value)),
        key=lambda point: point[0],
    )
    if len(points) < 2 or points[0][0] < 0 or points[-1][0] <= 0:
        raise InputError(
            "dose curve", expected="two or more doses of at least 0", got=f"{len(points)} points"
        )
    largest = points[-1][0]

    def across(dose: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * dose / largest, 1)

    def up(share: float) -> float:
        inside = min(max(share, 0.0), 1.0)
        return round(HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * inside, 1)

    bounded = [(d, s) for d, s in points if math.isfinite(s.low) and math.isfinite(s.high)]
    upper = [f"{across(d)},{up(s.high)}" for d, s in bounded]
    lower = [f"{across(d)},{up(s.low)}" for d, s in reversed(bounded)]
    words = "; ".join(f"{dose:.0%}: {share.value:.0%}" for dose, share in points)
    return DrawnCurve(
        title=curve.title,
        words=f"{curve.title}. {words}.",
        line=" ".join(f"{across(d)},{up(s.value)}" for d, s in points),
        band=" ".join([*upper, *lower]),
        dots=[(across(d), up(s.value)) for d, s in points],
        doses=[(across(d), f"{d:.0%}") for d, _ in points],
        shares=[(up(share), f"{share:.0%}") for share in (0.0, 0.5, 1.0)],
        reference=None
        if curve.reference is None or math.isnan(curve.reference)
        else up(curve.reference),
        reference_name=curve.reference_name,
        across=curve.across,
    )
