"""What is told of one slice: its gap, its parents, its tags' shares, and what chance would give."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from sundog.bias.class_images import Metric
from sundog.bias.complex_contrast import gap_between, images_with, one_sided_p
from sundog.bias.complex_search import ClassSearch
from sundog.bias.shapley import shapley_split
from sundog.core.statistics import Estimate

Direction = Literal["hurts", "helps"]


@dataclass(frozen=True)
class Parent:
    """A slice without one of its tags.

    Attributes:
        concepts: the remaining tags.
        gap: mean of the parent's images minus mean of all others of the class.
        n: images of the parent.
        p_more: one-sided p-value that the left-out tag adds to the gap: the slice against the
            parent's other images (Fisher, or Welch for confidence), unadjusted.
    """

    concepts: tuple[str, ...]
    gap: float
    n: int
    p_more: float


@dataclass(frozen=True)
class SliceEffect:
    """The images of a class that carry some tags, against all other images of the class.

    Attributes:
        class_name: the class; None for a slice over all classes.
        concepts: the tags.
        metric: ``accuracy`` or ``confidence``.
        n_present: images with all tags.
        n_absent: other images of the class.
        mean_present: mean outcome with all tags.
        mean_absent: mean outcome of the others.
        gap: present minus absent with its interval, which knows nothing of the search: of the
            strongest slices of many it is too far from 0.
        p: two-sided, unadjusted: Fisher (accuracy), three-moment permutation law (confidence) or
            stratified score (all classes).
        p_adjusted: over every class and combination searched.
        direction: ``hurts`` (the gap is negative) or ``helps``.
        errors: wrong images with all tags.
        expected_errors: wrong images there if they failed as often as the others of the class.
        expected_images: images with all tags if the tags were independent in the class.
        parents: one for each left-out tag; none for a single tag.
        shapley: tag → its share of the gap; the shares sum to the gap.
        explained_by: tags of a stronger slice without a common tag, outside of which this gap is no
            longer seen; None if it stands on its own or this was not asked.
    """

    class_name: str | None
    concepts: tuple[str, ...]
    metric: Metric
    n_present: int
    n_absent: int
    mean_present: float
    mean_absent: float
    gap: Estimate
    p: float
    p_adjusted: float
    direction: Direction
    errors: int
    expected_errors: float
    expected_images: float
    parents: tuple[Parent, ...]
    shapley: dict[str, float]
    explained_by: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dictionaries and lists."""
        return asdict(self)


def describe(
    search: ClassSearch,
    *,
    row: int,
    metric: Metric,
    adjusted: float,
    level: float = 0.95,
    explained_by: tuple[int, ...] | None = None,
) -> SliceEffect:
    """Return everything that is told of one slice of a searched class.

    Args:
        search: the class.
        row: of the slice in ``search.lattice``.
        metric: what was searched.
        adjusted: the slice's adjusted p-value.
        level: of the interval of the gap.
        explained_by: tag numbers, see :class:`SliceEffect`.
    """
    lattice, images, names = search.lattice, search.images, search.names
    tags = tuple(int(tag) for tag in lattice.combos[row] if tag >= 0)
    mask = images_with(search.present, tags)
    n = len(images)
    size = int(mask.sum())
    lower = bool(lattice.gap[row] < 0)
    gaps = {
        frozenset(subset): float(lattice.gap[lattice.row_of(subset)])
        for length in range(1, len(tags) + 1)
        for subset in combinations(tags, length)
    }
    errors = int(size - images.correct[mask].sum())
    others_wrong = int((~images.correct[~mask]).sum())
    return SliceEffect(
        class_name=images.name,
        concepts=tuple(names[tag] for tag in tags),
        metric=metric,
        n_present=size,
        n_absent=n - size,
        mean_present=float(lattice.mean_present[row]),
        mean_absent=float(lattice.mean_absent[row]),
        gap=gap_between(search.outcome, mask, groups=images.groups, level=level),
        p=float(search.p_values[row]),
        p_adjusted=float(adjusted),
        direction="hurts" if lower else "helps",
        errors=errors,
        expected_errors=size * others_wrong / (n - size),
        expected_images=n * math.prod(float(search.present[:, tag].mean()) for tag in tags),
        parents=_parents(search, tags, mask, lower=lower) if len(tags) > 1 else (),
        shapley={names[tag]: share for tag, share in shapley_split(gaps, tags).items()},
        explained_by=None if explained_by is None else tuple(names[tag] for tag in explained_by),
    )


def _parents(
    search: ClassSearch, tags: tuple[int, ...], mask: Any, *, lower: bool
) -> tuple[Parent, ...]:
    parents = []
    for left_out in tags:
        rest = tuple(tag for tag in tags if tag != left_out)
        around = images_with(search.present, rest)
        parents.append(
            Parent(
                concepts=tuple(search.names[tag] for tag in rest),
                gap=float(search.lattice.gap[search.lattice.row_of(rest)]),
                n=int(np.count_nonzero(around)),
                p_more=one_sided_p(search.outcome, mask, around & ~mask, lower),
            )
        )
    return tuple(parents)
