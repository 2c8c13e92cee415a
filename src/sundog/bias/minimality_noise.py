"""Which slices are needed to explain a class, by tests instead of thresholds.

Where one combination is biased, dozens of related slices show a gap as well: supersets (the same
images and a tag that adds nothing), subsets (a single tag whose gap is that of the pair it is part
of) and neighbours that swap one tag. The slices are taken in the order of their evidence, and one
that shares tags with slices kept before it is kept only if it still says something given them: the
images are divided by which of the kept slices they belong to, and inside each part the images of
the slice are compared with the others (stratified test, one-sided in the slice's direction).

- All tags of a kept slice and more: only the part inside the kept slice has both sides, so its
  images with the further tags are compared with its images without, disjoint groups in the parent.
- A part of the tags of a kept slice: inside the kept slice all images belong to it, so what counts
  are its images outside the kept slice. A tag whose gap is that of a pair is dropped.
- What other kept slices do to the outcome is held fixed as well.

A slice was the most extreme of many, so its p-value is multiplied by how many there were: the
searched slices of its size that hold the shared tags (supersets and neighbours), or the proper
subsets of the kept slice (subsets).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import special

from sundog.bias.complex_contrast import images_with
from sundog.bias.strata_scores import StrataMoments, null_law, stratum_moments
from sundog.core.progress import track

Tags = tuple[int, ...]
Mask = Bool[np.ndarray, " images"]


@dataclass(frozen=True)
class Kept:
    """One slice that survived.

    Attributes:
        row: its row in the lattice.
        tags: its tag numbers.
        explained_by: the first slice kept before it that shares no tag with it and given which its
            gap is not seen at ``alpha`` and less than half of what it was: two names for nearly the
            same images, or two tags that occur together. None: it stands on its own. (A gap that
            keeps its size but has too few images left to be seen is not called explained.)
    """

    row: int
    tags: Tags
    explained_by: Tags | None


def noise_minimal(
    combos: Int[np.ndarray, "slices size"],
    *,
    present: Bool[np.ndarray, "images tags"],
    outcome: Shaped[np.ndarray, " images"],
    candidates: Int[np.ndarray, " candidates"],
    lower: Bool[np.ndarray, " slices"],
    p_values: Float[np.ndarray, " slices"],
    adjusted: Float[np.ndarray, " slices"],
    strata: Int[np.ndarray, " images"] | None = None,
    alpha: float = 0.05,
    progress: bool | None = None,
) -> tuple[Kept, ...]:
    """Keep the candidates that still say something after the stronger ones.

    Args:
        combos: ``int[m, L]`` every searched combination, tag numbers, then -1.
        present: ``bool[n, T]``, columns as numbered in ``combos``.
        outcome: right or wrong, or the confidence, of the n images.
        candidates: rows of ``combos``, the significant slices.
        lower: ``bool[m]`` whether a slice is worse (else better) than the other images.
        p_values: of every slice, unadjusted.
        adjusted: adjusted p-values of every slice; evidence is their order, ties by ``p_values``,
            then fewer tags.
        strata: ``int[n]`` classes inside of which images are compared; None: one class.
        alpha: the level of the tests of what a slice adds.
        progress: whether to show progress; None: on a terminal.

    Returns:
        The kept slices, strongest first.

    Source: forward selection by conditional tests, as in conditional analysis of association
    studies (Yang et al., 2012, Nature Genetics 44); Bonferroni over the competitors of a slice.
    """
    family = _Family(combos)
    classes = np.zeros(len(present), dtype=np.int64) if strata is None else strata
    order = sorted(
        (int(row) for row in candidates),
        key=lambda row: (adjusted[row], p_values[row], int((combos[row] >= 0).sum()), row),
    )
    kept: list[Kept] = []
    alone: list[_Parts] = []
    whole = parts = _Parts(outcome, classes)
    for row in track(order, description="Minimal slices", total=len(order), visible=progress):
        tags: Tags = tuple(int(tag) for tag in combos[row] if tag >= 0)
        competitors = family.competitors(tags, kept)
        mask, worse = images_with(present, tags), bool(lower[row])
        if competitors and parts.p_value(mask, lower=worse) * competitors > alpha:
            continue
        own = whole.gap(mask)
        twin = next(
            (
                before.tags
                for before, given in zip(kept, alone, strict=True)
                if not set(before.tags) & set(tags)
                and given.p_value(mask, lower=worse) > alpha
                and given.gap(mask) * np.sign(own) < abs(own) / 2
            ),
            None,
        )
        kept.append(Kept(row=row, tags=tags, explained_by=twin))
        alone.append(_Parts(outcome, 2 * classes + mask))
        parts = _Parts(outcome, 2 * parts.numbers + mask)
    return tuple(kept)


class _Parts:
    """Images divided into parts, inside of which a slice is compared with the others."""

    def __init__(self, outcome: np.ndarray, numbers: np.ndarray) -> None:
        found, numbers = np.unique(numbers, return_inverse=True)
        self.numbers: np.ndarray = numbers.ravel()
        self._outcome = outcome
        self._count = len(found)
        self._moments: StrataMoments = stratum_moments(outcome, self.numbers, count=self._count)

    def p_value(self, mask: Mask, *, lower: bool) -> float:
        """Return the one-sided p-value of a slice; 1 if no part has both sides."""
        inside = np.bincount(self.numbers[mask], minlength=self._count)
        law = null_law(inside[None], self._moments)
        if law.deviation[0] == 0:
            return 1.0
        score = float(law.scores(np.array([float(self._outcome[mask].sum())]))[0])
        return float(special.ndtr(score if lower else -score))

    def gap(self, mask: Mask) -> float:
        """Return the gap of a slice inside the parts (Mantel-Haenszel); 0 if none has both sides.

        ``sum_k n1_k n0_k / n_k (mean1_k - mean0_k) / sum_k n1_k n0_k / n_k``.
        """
        inside = np.bincount(self.numbers[mask], minlength=self._count).astype(np.float64)
        n = np.maximum(self._moments.n, 1)
        weight = float((inside * (n - inside) / n).sum())
        if weight == 0:
            return 0.0
        expected = float((inside * self._moments.mean).sum())
        return (float(self._outcome[mask].sum()) - expected) / weight


class _Family:
    """Counts the searched slices of one size that hold some tags, each once."""

    def __init__(self, combos: Int[np.ndarray, "slices size"]) -> None:
        sizes = (combos >= 0).sum(axis=1)
        self._blocks = {int(size): combos[sizes == size] for size in np.unique(sizes)}
        self._counts: dict[tuple[Tags, int], int] = {}

    def competitors(self, tags: Tags, kept: Sequence[Kept]) -> int:
        """Return among how many a slice was chosen, given kept slices; 0 if it shares no tag."""
        most = 0
        for before in kept:
            shared = tuple(sorted(set(before.tags) & set(tags)))
            if not shared:
                continue
            subset = len(shared) == len(tags)
            among = 2 ** len(before.tags) - 2 if subset else self._holding(shared, len(tags))
            most = max(most, among)
        return most

    def _holding(self, shared: Tags, size: int) -> int:
        key = (shared, size)
        if key not in self._counts:
            block = self._blocks[size]
            hold = np.ones(len(block), dtype=bool)
            for tag in shared:
                hold &= (block == tag).any(axis=1)
            self._counts[key] = int(hold.sum())
        return self._counts[key]
