"""What is told of a slice that runs through several classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from sundog.bias.class_images import ClassImages, Metric
from sundog.bias.complex_contrast import gap_between, images_with
from sundog.bias.shapley import shapley_split
from sundog.bias.slice_effects import Parent, SliceEffect
from sundog.bias.strata_scores import null_law, stratum_moments
from sundog.bias.strata_tables import (
    StrataTable,
    cochran_mantel_haenszel,
    homogeneity,
    mantel_haenszel_gap,
    tabulate,
)
from sundog.core.statistics import Estimate
from sundog.core.statistics.two_groups import effective_size


@dataclass(frozen=True)
class ClassGap:
    """The gap of a pooled slice inside one class.

    Attributes:
        class_name: the class.
        n_present: its images with all tags.
        gap: present minus absent with interval.
    """

    class_name: str
    n_present: int
    gap: Estimate


@dataclass(frozen=True)
class PooledSlice:
    """A slice over all classes, images compared inside their own class only.

    Attributes:
        effect: the numbers of a slice. ``class_name`` is None; ``gap`` is the Mantel-Haenszel gap,
            and the two means are weighted in the same way over the classes, so they differ by it.
        statistic: Cochran-Mantel-Haenszel, chi-square with one degree of freedom, uncorrected.
        p_homogeneity: p-value that the gap is the same in all classes; NaN if fewer than two
            classes have five images on both sides.
        classes: the gap in every class that has images with and without the tags.
    """

    effect: SliceEffect
    statistic: float
    p_homogeneity: float
    classes: tuple[ClassGap, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dictionaries and lists."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Pool:
    """The images of all classes in one row.

    Attributes:
        classes: the classes.
        names: tag names.
        present: ``bool[n, T]``.
        outcome: right or wrong, or the confidence.
        correct: ``bool[n]``.
        strata: ``int[n]`` number of the class.
        members: image numbers of each class.
    """

    classes: tuple[ClassImages, ...]
    names: tuple[str, ...]
    present: Bool[np.ndarray, "images tags"]
    outcome: Shaped[np.ndarray, " images"]
    correct: Bool[np.ndarray, " images"]
    strata: Int[np.ndarray, " images"]
    members: tuple[Int[np.ndarray, " members"], ...]

    def table(self, mask: np.ndarray) -> StrataTable:
        """Return a group of images against all others of their classes."""
        return tabulate(mask, ~mask, self.outcome, self.strata, count=len(self.classes))

    def one_sided(self, group: np.ndarray, other: np.ndarray, lower: bool) -> float:
        """Return the one-sided stratified p-value that a group is lower (higher) than another."""
        count = len(self.classes)
        both = group | other
        moments = stratum_moments(self.outcome[both], self.strata[both], count=count)
        inside = np.bincount(self.strata[group], minlength=count)[None]
        law = null_law(inside, moments)
        if law.deviation[0] == 0:
            return 1.0
        score = float(law.scores(np.array([float(self.outcome[group].sum())]))[0])
        return 0.5 * math.erfc((-score if lower else score) / math.sqrt(2))


def describe_pooled(
    pool: Pool,
    *,
    tags: tuple[int, ...],
    metric: Metric,
    p: float,
    adjusted: float,
    lower: bool,
    level: float = 0.95,
    explained_by: tuple[int, ...] | None = None,
) -> PooledSlice:
    """Return everything that is told of one slice over all classes.

    Args:
        pool: the images.
        tags: tag numbers of the slice.
        metric: what was compared.
        p: its two-sided p-value.
        adjusted: its adjusted p-value.
        lower: whether the slice is worse.
        level: of the intervals.
        explained_by: see :class:`~sundog.bias.slice_effects.SliceEffect`.
    """
    mask = images_with(pool.present, tags)
    table = pool.table(mask)
    gap = _pooled_gap(pool, mask, table, level=level)
    gaps = {
        frozenset(part): mantel_haenszel_gap(pool.table(images_with(pool.present, part))).value
        for length in range(1, len(tags) + 1)
        for part in combinations(tags, length)
    }
    # A part that no class has with and without moves nothing.
    known = {part: 0.0 if math.isnan(value) else value for part, value in gaps.items()}
    use = table.used
    weight = table.n_present[use] * table.n_absent[use] / table.n[use]
    mean_present = float((weight * table.present[use] / table.n_present[use]).sum() / weight.sum())
    right = tabulate(mask, ~mask, pool.correct, pool.strata, count=len(pool.classes))
    shares = _shares(pool, tags)
    effect = SliceEffect(
        class_name=None,
        concepts=tuple(pool.names[tag] for tag in tags),
        metric=metric,
        n_present=int(mask.sum()),
        n_absent=int(table.n_absent[use].sum()),
        mean_present=mean_present,
        mean_absent=mean_present - gap.value,
        gap=gap,
        p=p,
        p_adjusted=adjusted,
        direction="hurts" if lower else "helps",
        errors=int((mask & ~pool.correct).sum()),
        expected_errors=_expected_errors(right),
        expected_images=float((table.n * shares).sum()),
        parents=_parents(pool, tags, mask, gaps, lower=lower) if len(tags) > 1 else (),
        shapley={pool.names[tag]: part for tag, part in shapley_split(known, tags).items()},
        explained_by=None
        if explained_by is None
        else tuple(pool.names[tag] for tag in explained_by),
    )
    return PooledSlice(
        effect=effect,
        statistic=cochran_mantel_haenszel(table)[0],
        p_homogeneity=homogeneity(table)[0],
        classes=_class_gaps(pool, mask, use, level=level),
    )


def _pooled_gap(pool: Pool, mask: np.ndarray, table: StrataTable, *, level: float) -> Estimate:
    """Return the pooled gap; near-duplicates count by their effective number in its interval."""
    gap = mantel_haenszel_gap(table, level=level)
    if all(one.groups is None for one in pool.classes):
        return gap
    worth = np.ones((2, len(pool.classes)))
    for number, (members, one) in enumerate(zip(pool.members, pool.classes, strict=True)):
        for side, here in enumerate((mask[members], ~mask[members])):
            if one.groups is not None and here.any():
                worth[side, number] = effective_size(one.groups[here]) / here.sum()
    smaller = StrataTable(
        n_present=table.n_present * worth[0],
        n_absent=table.n_absent * worth[1],
        present=table.present * worth[0],
        absent=table.absent * worth[1],
        squares_present=table.squares_present * worth[0],
        squares_absent=table.squares_absent * worth[1],
        binary=table.binary,
    )
    around = mantel_haenszel_gap(smaller, level=level)
    half = (around.high - around.low) / 2
    return replace(gap, low=max(gap.value - half, -1.0), high=min(gap.value + half, 1.0))


def _shares(pool: Pool, tags: tuple[int, ...]) -> Float[np.ndarray, " classes"]:
    """Return the share of each class that would carry all tags if they were independent in it."""
    shares = np.ones(len(pool.classes))
    for number, members in enumerate(pool.members):
        for tag in tags:
            shares[number] *= float(pool.present[members, tag].mean()) if len(members) else 0.0
    return shares


def _expected_errors(right: StrataTable) -> float:
    """Return the errors with the tags if they were as frequent as without, class by class.

    A class that carries the tags everywhere has no others: its own errors are expected.
    """
    own = right.n_present - right.present
    others = (right.n_absent - right.absent) / np.maximum(right.n_absent, 1)
    return float(np.where(right.n_absent > 0, right.n_present * others, own).sum())


def _parents(
    pool: Pool,
    tags: tuple[int, ...],
    mask: np.ndarray,
    gaps: dict[frozenset[int], float],
    *,
    lower: bool,
) -> tuple[Parent, ...]:
    parents = []
    for left_out in tags:
        rest = tuple(tag for tag in tags if tag != left_out)
        around = images_with(pool.present, rest)
        parents.append(
            Parent(
                concepts=tuple(pool.names[tag] for tag in rest),
                gap=gaps[frozenset(rest)],
                n=int(around.sum()),
                p_more=pool.one_sided(mask, around & ~mask, lower),
            )
        )
    return tuple(parents)


def _class_gaps(
    pool: Pool, mask: np.ndarray, use: np.ndarray, *, level: float
) -> tuple[ClassGap, ...]:
    found = []
    numbers: Sequence[int] = np.flatnonzero(use).tolist()
    for number in numbers:
        members, one = pool.members[number], pool.classes[number]
        found.append(
            ClassGap(
                class_name=one.name,
                n_present=int(mask[members].sum()),
                gap=gap_between(
                    pool.outcome[members], mask[members], groups=one.groups, level=level
                ),
            )
        )
    return tuple(found)
