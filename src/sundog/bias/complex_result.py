"""What a search for complex bias returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from sundog.bias.class_images import Metric
from sundog.bias.complex_adjust import Adjustment
from sundog.bias.minimality import Minimality
from sundog.bias.slice_effects import SliceEffect
from sundog.core.notebook import Card, InNotebook


@dataclass(frozen=True)
class ClassRow:
    """What the search did in one class.

    Attributes:
        name: the class.
        n: its images.
        mean: accuracy, or mean confidence; NaN without images.
        tags: tags that were combined.
        rare: tags that fewer than ``min_support`` images carry, left out.
        constant: tags that every image carries, left out.
        tested: combinations tested.
        found: slices in the result.
        smallest_detectable: smallest |gap| of a slice of half the class that would have been found
            with 80 % power, at alpha divided by all tests (Westfall-Young finds no less); NaN if
            nothing was tested or no gap would be found.
        smallest_detectable_rare: the same for a slice of ``min_support`` images.
        reason: why nothing was tested, or "".
    """

    name: str
    n: int
    mean: float
    tags: int
    rare: int
    constant: int
    tested: int
    found: int
    smallest_detectable: float
    smallest_detectable_rare: float
    reason: str


@dataclass(frozen=True, repr=False)
class SliceSearch(InNotebook):
    """The result of :func:`~sundog.bias.complex.find_slices`.

    Attributes:
        slices: ranked by adjusted p-value, then by the lower bound of the gap's size (never by the
            gap itself: the largest observed gaps are the smallest slices).
        tested: combinations tested, in all classes.
        classes: one row per class.
        dropped: filter → how many slices it dropped; in the order applied: ``not significant``,
            ``not minimal``, ``gap too small``, ``too few tags``.
        adjustment: how ``p_adjusted`` was made; with ``none`` it is the plain p-value.
        minimality: the rule that was applied.
        metric: ``accuracy`` or ``confidence``.
        alpha: the threshold on ``p_adjusted``.
        notes: what a reader must know.
    """

    slices: tuple[SliceEffect, ...]
    tested: int
    classes: tuple[ClassRow, ...]
    dropped: dict[str, int]
    adjustment: Adjustment
    minimality: Minimality
    metric: Metric
    alpha: float
    notes: tuple[str, ...]

    @property
    def adjusted(self) -> bool:
        """Whether the p-values were adjusted for how much was searched."""
        return self.adjustment != "none"

    def table(self) -> pd.DataFrame:
        """Return one row per slice.

        Returns:
            Columns class, concepts (joined by " + "), gap, low, high, n, p, p_adjusted, direction.
        """
        columns = ["class", "concepts", "gap", "low", "high", "n", "p", "p_adjusted", "direction"]
        rows = [
            (
                one.class_name,
                " + ".join(one.concepts),
                one.gap.value,
                one.gap.low,
                one.gap.high,
                one.n_present,
                one.p,
                one.p_adjusted,
                one.direction,
            )
            for one in self.slices
        ]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain dictionaries and lists; NaN where nothing is known."""
        return asdict(self)

    def _card(self) -> Card:
        count = len(self.slices)
        return Card(
            headline=f"{count} slice{'' if count == 1 else 's'} of {self.tested:,} combinations",
            word="found" if count else "nothing found",
            tone="alarm" if count else "plain",
            facts={
                "p-values": self.adjustment,
                "metric": self.metric,
                "minimality": self.minimality,
                "alpha": self.alpha,
            },
            tables=[("Slices, by adjusted p-value", self.table())] if count else [],
            notes=self.notes,
        )
