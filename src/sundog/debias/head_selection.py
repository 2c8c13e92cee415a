"""Which of several heads is kept: the one with the best worst group (or class) on validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.models.feature_table import FeatureTable

COLUMNS = ("worst", "average", "n", "chosen")


class Judged(NamedTuple):
    """Accuracies of a head; higher is better.

    Attributes:
        worst: accuracy of the worst group, in [0, 1].
        average: accuracy over all images.
        n: images.
    """

    worst: float
    average: float
    n: int


class Validation:
    """Images on which heads are compared, never those on which the result is reported.

    Args:
        table: labelled features.
        groups: ``int64[images]``, -1 = unknown (left out); None: the worst class counts, a good
            stand-in where no groups are known.

    Raises:
        InputError: lengths that differ, or not one image with a label and a group.

    Source: Yang et al., 2023, ICML, arXiv 2302.12254 (selection by the worst class).
    """

    def __init__(self, table: FeatureTable, groups: ArrayLike | None = None) -> None:
        labels = table.labels.numpy()
        by = labels if groups is None else check_groups(groups, len(table))
        keep = (labels >= 0) & (by >= 0)
        if not keep.any():
            raise InputError(
                "The validation images",
                expected="labelled" + ("" if groups is None else ", with known groups"),
                got=f"0 usable of {len(table)}",
            )
        self.by = "worst class" if groups is None else "worst group"
        self.features = table.features.numpy()[keep].astype(np.float64)
        self.labels: Int64[np.ndarray, "images"] = labels[keep]
        self.groups: Int64[np.ndarray, "images"] = by[keep]
        self.smallest = int(np.bincount(self.groups)[np.unique(self.groups)].min())

    def judge(self, weight: ArrayLike, bias: ArrayLike) -> Judged:
        """Return the accuracies of a head on raw features; a tie of logits counts as wrong."""
        logits = self.features @ np.asarray(weight).T + np.asarray(bias)
        return judge(logits, self.labels, self.groups)


def judge(logits: ArrayLike, labels: ArrayLike, groups: ArrayLike) -> Judged:
    """Return worst-group and average accuracy.

    Args:
        logits: ``[images, classes]``.
        labels: ``[images]`` in 0..classes-1.
        groups: ``[images]``, any whole numbers; groups without an image do not exist here.

    Raises:
        InputError: no image.
    """
    scores, y, g = np.asarray(logits), np.asarray(labels), np.asarray(groups)
    if not len(y):
        raise InputError("The validation images", expected="at least one", got="none")
    own = scores[np.arange(len(y)), y]
    others = scores.copy()
    others[np.arange(len(y)), y] = -np.inf
    right = own > others.max(axis=1)
    worst = min(float(right[g == group].mean()) for group in np.unique(g))
    return Judged(worst=worst, average=float(right.mean()), n=len(y))


def choose(
    candidates: Sequence[dict[str, Any]], judged: Sequence[Judged]
) -> tuple[int, pd.DataFrame]:
    """Return the position of the best candidate and the table of all.

    Best worst-group accuracy first; ties, which are common in small groups, are broken by the
    average, then by the order: list the most cautious candidate first.
    """
    order = sorted(range(len(judged)), key=lambda i: (-judged[i].worst, -judged[i].average, i))
    best = order[0]
    rows = [
        {**candidate, **score._asdict(), "chosen": i == best}
        for i, (candidate, score) in enumerate(zip(candidates, judged, strict=True))
    ]
    return best, pd.DataFrame(rows)


def no_selection() -> pd.DataFrame:
    """Return the table of a fit in which nothing was chosen."""
    return pd.DataFrame(columns=list(COLUMNS))


def check_groups(groups: ArrayLike, count: int) -> Int64[np.ndarray, "images"]:
    """Return the groups as int64.

    Raises:
        InputError: not one whole number >= -1 per image.
    """
    given = np.asarray(groups)
    if given.shape != (count,) or given.dtype.kind not in "iu" or (count and given.min() < -1):
        raise InputError(
            "groups",
            expected=f"{count} whole numbers, -1 = unknown",
            got=f"{given.dtype} of shape {given.shape}",
        )
    return given.astype(np.int64)
