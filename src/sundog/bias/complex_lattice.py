"""Every searched combination of one class, with its sums and the rows of its parents.

A combination of k tags has k parents, each with one tag left out; the parent of a single tag is the
class itself. Every image of a combination belongs to all its parents, so a parent is never rarer
than its child and the table of a search with a smallest support holds all parents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from sundog.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Lattice:
    """The searched combinations of one class.

    Attributes:
        combos: ``int[m, L]`` tag indices in ascending order, -1 behind the last; rows ordered by
            size, then lexicographically.
        support: ``int[m]`` images that carry all tags of the combination.
        total: ``float[m]`` sum of the outcome over those images (right images, or confidence).
        images: images of the class.
        class_total: sum of the outcome over the class.
    """

    combos: Int[np.ndarray, "slices size"]
    support: Int[np.ndarray, " slices"]
    total: Float[np.ndarray, " slices"]
    images: int
    class_total: float

    def __len__(self) -> int:
        return len(self.combos)

    @cached_property
    def sizes(self) -> Int[np.ndarray, " slices"]:
        """Number of tags of each combination."""
        return (self.combos >= 0).sum(axis=1)

    @property
    def class_mean(self) -> float:
        """Mean outcome of the class."""
        return self.class_total / self.images

    @cached_property
    def mean_present(self) -> Float[np.ndarray, " slices"]:
        """Mean outcome of the images with all tags."""
        return self.total / self.support

    @cached_property
    def mean_absent(self) -> Float[np.ndarray, " slices"]:
        """Mean outcome of the other images of the class."""
        return (self.class_total - self.total) / (self.images - self.support)

    @cached_property
    def gap(self) -> Float[np.ndarray, " slices"]:
        """Mean of the images with all tags minus mean of the other images of the class."""
        return self.mean_present - self.mean_absent

    @cached_property
    def parents(self) -> Int[np.ndarray, "slices size"]:
        """Row of the combination without its j-th tag; -1 for the class and behind the last tag."""
        result = np.full(self.combos.shape, -1, dtype=np.int64)
        if len(self) == 0:
            return result
        for size in range(2, int(self.sizes.max()) + 1):
            rows = np.flatnonzero(self.sizes == size)
            for left_out in range(size):
                kept = np.delete(self.combos[rows, :size], left_out, axis=1)
                result[rows, left_out] = self.rows_of(kept)
        return result

    @cached_property
    def _keys(self) -> dict[int, tuple[int, Int[np.ndarray, " rows"]]]:
        """Size → first row and ascending keys ``row of the first tags x T + last tag``."""
        keys: dict[int, tuple[int, Int[np.ndarray, " rows"]]] = {}
        tags = self._tags
        for size in range(1, self.combos.shape[1] + 1):
            rows = np.flatnonzero(self.sizes == size)
            if rows.size == 0:
                break
            block = self.combos[rows, :size].astype(np.int64)
            before = self._find(block[:, :-1], keys) if size > 1 else np.zeros(len(rows), np.int64)
            key = before * tags + block[:, -1]
            if (before < 0).any() or (np.diff(key) <= 0).any():
                raise InputError(
                    "combos",
                    expected="ordered by size, then lexicographically, with all their parents",
                    got=f"another order or a missing parent among those of {size} tags",
                )
            keys[size] = (int(rows[0]), key)
        return keys

    @property
    def _tags(self) -> int:
        return int(self.combos.max(initial=0)) + 1

    def _find(
        self, block: Int[np.ndarray, "rows k"], keys: dict[int, tuple[int, Int[np.ndarray, " r"]]]
    ) -> Int[np.ndarray, " rows"]:
        row = np.zeros(len(block), dtype=np.int64)
        for size in range(1, block.shape[1] + 1):
            if size not in keys:
                return np.full(len(block), -1, dtype=np.int64)
            first, known = keys[size]
            key = row * self._tags + block[:, size - 1]
            place = np.minimum(np.searchsorted(known, key), len(known) - 1)
            row = np.where((row >= 0) & (known[place] == key), first + place, -1)
        return row

    def rows_of(self, block: Int[np.ndarray, "rows k"]) -> Int[np.ndarray, " rows"]:
        """Return the row of each combination of k tags (ascending), -1 where it is not listed."""
        return self._find(np.asarray(block, dtype=np.int64), self._keys)

    def row_of(self, tags: tuple[int, ...]) -> int:
        """Return the row of one combination (any order of its tags), -1 if it is not listed."""
        if not tags:
            return -1
        return int(self.rows_of(np.array([sorted(tags)]))[0])
