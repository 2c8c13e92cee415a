"""The images at both ends of a score: least and most represented, least and most certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.risk.output import RiskOutput

ENDS = {
    "representation": ("least represented", "most represented"),
    "epistemic": ("most certain", "least certain"),
    "aleatoric": ("clearest label", "noisiest label"),
}
"""What the lowest and the highest values of a field mean."""


@dataclass(frozen=True, eq=False)
class Extremes:
    """The images with the lowest and the highest values.

    Attributes:
        lowest: positions, the lowest value first.
        highest: positions, the highest value first.
        n: images with a value (of the chosen class).
        left_out: images without a value (NaN), never among the ends.
    """

    lowest: Int[np.ndarray, " count"]
    highest: Int[np.ndarray, " count"]
    n: int
    left_out: int


def extreme_images(
    scores: ArrayLike,
    *,
    count: int = 25,
    labels: ArrayLike | None = None,
    label: int | None = None,
    ids: Sequence[str] | None = None,
) -> Extremes:
    """Return the positions of the images with the lowest and with the highest values.

    Images of equal value come in order of their id (of their position without ids), at both ends.

    Args:
        scores: ``[n]``; NaN is left out and counted; infinite values are ends like any other.
        count: images per end; fewer if there are fewer. With fewer than twice as many images the
            ends overlap.
        labels: ``int[n]``, needed for ``label``.
        label: only images of this class.
        ids: one per image.

    Raises:
        InputError: ``count`` < 1, lengths that differ, a ``label`` without ``labels``.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise InputError("scores", expected="[n]", got=f"shape {values.shape}")
    if count < 1:
        raise InputError("count", expected="at least 1", got=str(count))
    if ids is not None and len(ids) != values.size:
        raise InputError("ids", expected=f"{values.size}, one per image", got=str(len(ids)))
    rows = np.ones(values.size, dtype=bool)
    if label is not None:
        if labels is None or np.shape(labels) != values.shape:
            raise InputError(
                "labels",
                expected=f"int[{values.size}] to choose a class by",
                got="none" if labels is None else f"shape {np.shape(labels)}",
            )
        rows = np.asarray(labels) == label
    known = rows & ~np.isnan(values)
    places = np.arange(values.size)
    tie = places if ids is None else np.asarray(ids, dtype=str)
    ends = [
        order[known[order]][:count]
        for order in (np.lexsort((places, tie, sign * values)) for sign in (1, -1))
    ]
    return Extremes(ends[0], ends[1], int(known.sum()), int(rows.sum() - known.sum()))


def risk_extremes(
    output: RiskOutput,
    *,
    count: int = 25,
    labels: ArrayLike | None = None,
    label: int | None = None,
    ids: Sequence[str] | None = None,
) -> dict[str, Extremes]:
    """Return the ends of every risk that the output has; :data:`ENDS` says what they mean.

    Args:
        output: of a wrapped classifier.
        count: images per end.
        labels: needed for ``label``.
        label: only images of this class.
        ids: one per image, for ties.

    Raises:
        InputError: see :func:`extreme_images`.
    """
    arrays = output.numpy()
    return {
        name: extreme_images(arrays[name], count=count, labels=labels, label=label, ids=ids)
        for name in output.fields
    }
