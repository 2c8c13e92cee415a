"""Which slices are needed to explain a class, by tests instead of thresholds.

Where one combination is biased, dozens of related slices show a gap as well: supersets (the same
images and a tag that adds nothing), subsets (a single tag whose gap is that of the pair it is part
of) and neighbours that swap one tag. The slices are taken in the order of their evidence, and one
is kept only if it still says something after those kept before it:

- ``c`` holds all tags of a kept slice ``k``: the images of ``c`` must differ from the images of
  ``k`` without ``c``, disjoint groups inside the parent;
- ``c`` shares some tags with kept slices (it may be a subset of them): the images of ``c`` that are
  in none of them must differ from the other images that are in none of them.

Both are one-sided tests in the direction of ``c``. A slice was the most extreme of many, so its
p-value is multiplied by how many there were: the searched slices of its size that hold the shared
tags (supersets and neighbours), or the proper subsets of ``k`` (subsets).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sundog.bias.complex_contrast import images_with
from sundog.core.progress import track

Tags = tuple[int, ...]
Mask = Bool[np.ndarray, " images"]
Test = Callable[[Mask, Mask, bool], float]
"""``test(group, other, lower)``: the one-sided p-value that the mean of ``group`` is lower (or
higher) than that of ``other``, which shares no image with it."""


@dataclass(frozen=True)
class Kept:
    """One slice that survived.

    Attributes:
        row: its row in the lattice.
        tags: its tag numbers.
        explained_by: the first slice kept before it that shares no tag with it and outside which
            its gap is no longer seen at ``alpha``: two names for nearly the same images, or two
            tags that occur together. None: it stands on its own.
    """

    row: int
    tags: Tags
    explained_by: Tags | None


def noise_minimal(
    combos: Int[np.ndarray, "slices size"],
    *,
    present: Bool[np.ndarray, "images tags"],
    candidates: Int[np.ndarray, " candidates"],
    lower: Bool[np.ndarray, " slices"],
    p_values: Float[np.ndarray, " slices"],
    adjusted: Float[np.ndarray, " slices"],
    test: Test,
    alpha: float = 0.05,
    progress: bool | None = None,
) -> tuple[Kept, ...]:
    """Keep the candidates that still say something after the stronger ones.

    Args:
        combos: ``int[m, L]`` every searched combination, tag numbers, then -1.
        present: ``bool[n, T]``, columns as numbered in ``combos``.
        candidates: rows of ``combos``, the significant slices.
        lower: ``bool[m]`` whether a slice is worse (else better) than the other images.
        p_values: of every slice, unadjusted.
        adjusted: adjusted p-values of every slice; evidence is their order, ties by ``p_values``,
            then fewer tags.
        test: the one-sided test of two disjoint groups of images.
        alpha: the level of the tests of what a slice adds.
        progress: whether to show progress; None: on a terminal.

    Returns:
        The kept slices, strongest first.

    Source: forward selection by conditional tests, as in conditional analysis of association
    studies (Yang et al., 2012, Nature Genetics 44); Bonferroni over the competitors of a slice.
    """
    family = _Family(combos)
    order = sorted(
        (int(row) for row in candidates),
        key=lambda row: (adjusted[row], p_values[row], int((combos[row] >= 0).sum()), row),
    )
    kept: list[Kept] = []
    masks: list[Mask] = []
    for row in track(order, description="Minimal slices", total=len(order), visible=progress):
        tags: Tags = tuple(int(tag) for tag in combos[row] if tag >= 0)
        mask = images_with(present, tags)
        worse = bool(lower[row])
        if not _adds(tags, mask, kept, masks, test, lower=worse, family=family, alpha=alpha):
            continue
        twin = next(
            (
                before.tags
                for before, other in zip(kept, masks, strict=True)
                if not set(before.tags) & set(tags)
                and test(mask & ~other, ~mask & ~other, worse) > alpha
            ),
            None,
        )
        kept.append(Kept(row=row, tags=tags, explained_by=twin))
        masks.append(mask)
    return tuple(kept)


def _adds(
    tags: Tags,
    mask: Mask,
    kept: Sequence[Kept],
    masks: Sequence[Mask],
    test: Test,
    *,
    lower: bool,
    family: _Family,
    alpha: float,
) -> bool:
    """Return whether a slice says something that the kept slices it shares tags with do not."""
    explained = np.zeros(len(mask), dtype=bool)
    competitors = 1
    for before, other in zip(kept, masks, strict=True):
        shared = tuple(sorted(set(before.tags) & set(tags)))
        if not shared:
            continue
        if len(shared) == len(before.tags):
            if test(mask, other & ~mask, lower) * family.holding(shared, len(tags)) > alpha:
                return False
            continue
        explained |= other
        if len(shared) == len(tags):
            competitors = max(competitors, 2 ** len(before.tags) - 2)
        else:
            competitors = max(competitors, family.holding(shared, len(tags)))
    if not explained.any():
        return True
    return test(mask & ~explained, ~mask & ~explained, lower) * competitors <= alpha


class _Family:
    """Counts the searched slices of one size that hold some tags, each once."""

    def __init__(self, combos: Int[np.ndarray, "slices size"]) -> None:
        sizes = (combos >= 0).sum(axis=1)
        self._blocks = {int(size): combos[sizes == size] for size in np.unique(sizes)}
        self._counts: dict[tuple[Tags, int], int] = {}

    def holding(self, shared: Tags, size: int) -> int:
        key = (shared, size)
        if key not in self._counts:
            block = self._blocks[size]
            hold = np.ones(len(block), dtype=bool)
            for tag in shared:
                hold &= (block == tag).any(axis=1)
            self._counts[key] = int(hold.sum())
        return self._counts[key]
