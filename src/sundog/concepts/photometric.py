"""Tags that are measured: light, contrast, colour, blur, border, lettering, shape.

Each score is a physical measure of one image with a stated formula (the table is in
:mod:`sundog.concepts.photometric_table`). Tags whose meaning is absolute (greyscale, frame,
portrait) have a fixed threshold. The others (dark, vivid colours, blurry, much red) are relative:
by default the fifth of the set that shows most of it carries the tag, so that both ends of a
measure are tags whatever the set.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from sundog.concepts.photometric_table import TAGS, measure_image
from sundog.concepts.tag_scores import Scores, Thresholds
from sundog.concepts.tagger import Rows, Tagger
from sundog.core.errors import InputError

ThresholdKind = Literal["set", "fixed"]


class PhotometricTagger(Tagger):
    """Measures images; needs no weights and learns nothing.

    Attributes:
        name: ``photometric``.
        tag_names: the rows of :data:`~sundog.concepts.photometric_table.TAGS`.
        thresholds: the fixed ones of the table.
    """

    name = "photometric"
    version = 1

    def __init__(self, *, thresholds: ThresholdKind = "set", tail: float = 0.2) -> None:
        """Choose how relative tags get their thresholds.

        Args:
            thresholds: ``set`` = from the scores of the set; ``fixed`` = those of the table, the
                same for every set.
            tail: share of the set that carries a relative tag, in (0, 0.5].

        Raises:
            InputError: another kind, or a share out of range.
        """
        if thresholds not in get_args(ThresholdKind):
            raise InputError(
                "thresholds", expected=f"one of {get_args(ThresholdKind)}", got=repr(thresholds)
            )
        if not 0 < tail <= 0.5:
            raise InputError("tail", expected="in (0, 0.5]", got=str(tail))
        self._kind = thresholds
        self._tail = tail
        self.tag_names = tuple(TAGS)
        self.thresholds = np.array([tag.fixed for tag in TAGS.values()], dtype=np.float32)

    def identity(self) -> dict[str, Any]:
        """Return name and version; the measures have no parameters."""
        return {"name": self.name, "version": self.version}

    def score(self, rows: Rows) -> Scores:
        """Return the measures of the images, each ``offset + sign * measure`` of its tag."""
        scores = np.empty((len(rows), len(TAGS)), dtype=np.float32)
        for position, pixels in enumerate(rows.images):
            found = measure_image(pixels)
            scores[position] = [t.offset + t.sign * found[t.measure] for t in TAGS.values()]
        return scores

    def calibrate(self, scores: Scores) -> Thresholds:
        """Return the fixed thresholds, those of relative tags replaced by the upper fifth."""
        if self._kind == "fixed":
            return self.thresholds
        limits = self.thresholds.copy()
        for position, tag in enumerate(TAGS.values()):
            if tag.relative:
                limits[position] = upper_tail(
                    scores[:, position], self._tail, low=tag.low, high=tag.high
                )
        return limits


def upper_tail(
    scores: Float[np.ndarray, "images"],
    tail: float,
    *,
    low: float = -np.inf,
    high: float = np.inf,
) -> float:
    """Return a threshold that about ``tail`` of the scores reach, and never the lower half.

    It is the ``1 - tail`` quantile (a score that occurs), at least ``low``, and at most ``high``
    if that lies above the median. If ties put it at the median or below, it is the next score
    above the median, or infinity if there is none: then no image carries the tag.

    Args:
        scores: NaN = not known, left out; none known gives infinity.
        tail: in (0, 0.5].
        low: smallest threshold.
        high: largest threshold.
    """
    known = scores[~np.isnan(scores)]
    if not len(known):
        return float("inf")
    middle = float(np.quantile(known, 0.5, method="lower"))
    limit = max(low, float(np.quantile(known, 1 - tail, method="higher")))
    if middle < high:
        limit = min(limit, high)
    if limit > middle:
        return limit
    above = known[known > middle]
    return float(above.min()) if len(above) else float("inf")
