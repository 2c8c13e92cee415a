"""Where to cut scores of which some images have high ones and the others low ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

WIDTH = 0.2
"""Width of the valley that is looked for, of scores in [0, 1]."""
_LOW, _HIGH, _STEPS = 0.4, 0.85, 91


@dataclass(frozen=True)
class Valley:
    """A cut between two groups of scores.

    Attributes:
        threshold: the middle of the valley.
        above: scores above the valley.
        within: scores in the valley.
        below: scores below it.
    """

    threshold: float
    above: int
    within: int
    below: int

    @property
    def clear(self) -> bool:
        """Whether the valley is nearly empty: at most 10 % of what lies above it."""
        return self.within <= 0.1 * self.above


def find_valley(scores: Float[np.ndarray, "images"]) -> Valley:
    """Return the emptiest interval of width 0.2 with its middle in [0.4, 0.85].

    Of equally empty intervals next to each other the middle one is taken, of several such runs the
    longest, then the lowest.

    Args:
        scores: in [0, 1].
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    middles = np.linspace(_LOW, _HIGH, _STEPS)
    low = np.searchsorted(ordered, middles - WIDTH / 2, side="left")
    high = np.searchsorted(ordered, middles + WIDTH / 2, side="left")
    within = high - low
    emptiest = within == within.min()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], emptiest.astype(int), [0]))))
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends - starts).argmax())
    place = int(starts[longest] + ends[longest] - 1) // 2
    return Valley(
        threshold=float(middles[place]),
        above=int(len(ordered) - high[place]),
        within=int(within[place]),
        below=int(low[place]),
    )
