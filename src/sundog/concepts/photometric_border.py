"""Is there a frame around the picture, or a bar at two of its sides?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from sundog.concepts.photometric_view import Lab

SAME_COLOUR = 10.0
"""Colours within this CIELAB distance count as one: noise and JPEG stay below."""
RING_SHARE = 0.02
"""Width of the outer ring, as a share of the shorter side, at least one pixel."""
DEEPEST = 0.15
"""A frame is at most so wide, as a share of the side that it cuts into."""
_MIDDLE = 0.8


@dataclass(frozen=True)
class Border:
    """What surrounds the picture; scores in [0, 1].

    Attributes:
        plain: share of the outer ring's pixels that have the ring's median colour.
        frame: a strip of one colour with an edge along its whole length, at all four sides.
        bars: the same at two opposite sides, and not at the other two.
    """

    plain: float
    frame: float
    bars: float


def measure_border(lab: Lab) -> Border:
    """Measure the border of an image.

    At one side, a strip of depth d has uniformity u(d): the share of its pixels within 10 CIELAB
    units of the reference colour; and an edge s(d): the share of positions along the side (the
    middle 80 %) that differ from it by more directly behind the strip (one pixel of blur is
    allowed). The side scores ``max over d of min(u(d), s(d))``, d up to 15 % of the image. The
    frame is the minimum over the four sides, with the median colour of the outer ring as
    reference; bars are ``min(both sides, 1 - smaller of the other two)`` for the better pair,
    with the median colour of the pair's outermost pixels. All are 0 for images below 5 pixels.

    Args:
        lab: the image in CIELAB.
    """
    height, width = lab.shape[:2]
    if min(height, width) < 5:
        return Border(plain=0.0, frame=0.0, bars=0.0)
    edge = max(1, round(RING_SHARE * min(height, width)))
    ring = np.concatenate(
        [
            lab[:edge].reshape(-1, 3),
            lab[-edge:].reshape(-1, 3),
            lab[edge:-edge, :edge].reshape(-1, 3),
            lab[edge:-edge, -edge:].reshape(-1, 3),
        ]
    )
    colour = np.median(ring, axis=0)
    upright = lab.transpose(1, 0, 2)
    rows, columns = (lab, lab[::-1]), (upright, upright[::-1])
    frame = min(_side(side, colour) for side in (*rows, *columns))
    top_bottom, left_right = (_pair(pair) for pair in (rows, columns))
    bars = max(min(top_bottom, 1 - left_right), min(left_right, 1 - top_bottom))
    plain = float(np.mean(_distance(ring, colour) <= SAME_COLOUR))
    return Border(plain=plain, frame=frame, bars=bars)


def _pair(sides: tuple[Lab, Lab]) -> float:
    colour = np.median(np.concatenate([sides[0][0], sides[1][0]]), axis=0)
    return min(_side(side, colour) for side in sides)


def _side(lab: Lab, colour: Float32[np.ndarray, "3"]) -> float:
    """Return the score of the first rows as a strip of one colour."""
    depth = max(1, int(DEEPEST * lab.shape[0]))
    cut = int(lab.shape[1] * (1 - _MIDDLE) / 2)
    strip = lab[: depth + 2, cut : lab.shape[1] - cut]
    other = _distance(strip, colour) > SAME_COLOUR
    inside = np.cumsum(other.mean(axis=1))[:depth] / np.arange(1, depth + 1)
    behind = (other[1 : depth + 1] | other[2 : depth + 2]).mean(axis=1)
    return float(np.minimum(1 - inside, behind).max())


def _distance(
    lab: Float32[np.ndarray, "... 3"], colour: Float32[np.ndarray, "3"]
) -> Float32[np.ndarray, "..."]:
    return np.sqrt(np.square(lab - colour).sum(axis=-1))
