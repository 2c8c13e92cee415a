"""Westfall-Young on three-moment scores: outcomes permuted inside classes, step-down over all.

For slices that run through several classes, and for confidence inside one class. There Welch's t is
no fair scale: a small slice whose images all happen to be right has nearly no variance and a huge
t, such slices rule the permutation maxima, and nothing else can be found. The scores of
:mod:`sundog.bias.strata_scores` use the variance of the class instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import sparse

from sundog.bias.complex_contrast import images_with
from sundog.bias.strata_scores import NullLaw
from sundog.core.errors import InputError
from sundog.core.progress import track
from sundog.core.statistics.permutation import permutation_blocks

_CELLS = 8_000_000
"""Numbers held at once: scores of all slices in some permutations, or images of some slices."""
_SPARSE = 0.2
"""Share of the images up to which those of slices are added one by one; half in single precision,
whose dense products are twice as fast."""
_HELD = 8_000_000
"""Image numbers of sparse slices kept from one block of permutations to the next (100 MB)."""
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class ScoredSlices:
    """Slices of the same images, with the law of their sums.

    Attributes:
        combos: ``int[m, L]`` tag numbers, then -1.
        present: ``bool[n, T]``.
        outcome: right or wrong, or the confidence.
        strata: the image numbers of each class; outcomes change places inside a class only.
        groups: near-duplicates of each class (in the order of ``strata``), permuted together.
        law: moments of each slice, :func:`~sundog.bias.strata_scores.null_law`.
        scores: ``float[m]`` observed.
    """

    combos: Int[np.ndarray, "slices size"]
    present: Bool[np.ndarray, "images tags"]
    outcome: Shaped[np.ndarray, " images"]
    strata: Sequence[Int[np.ndarray, " members"]]
    groups: Sequence[Int[np.ndarray, " members"] | None]
    law: NullLaw
    scores: Float[np.ndarray, " slices"]


def score_westfall_young(
    problems: Sequence[ScoredSlices],
    *,
    permutations: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
) -> list[Float[np.ndarray, " slices"]]:
    """Return adjusted p-values, step-down over the slices of all problems together.

    With ``u_b,i = max over j at most as extreme as i of |score_j of permutation b|``:
    ``p_i = (1 + #{b : u_b,i >= |score_i|}) / (B + 1)``, made monotone. Outcomes change places only
    inside their class, so the number of right images of a class never changes.

    Args:
        problems: the slices; permuted independently of each other.
        permutations: B, at least 1; the work is slices x images x B.
        seed: same seed, same result.
        progress: whether to show progress; None: on a terminal.

    Returns:
        One ``float64[m]`` in [1 / (B + 1), 1] per problem.

    Raises:
        InputError: no permutation.

    Source: Westfall & Young, 1993, algorithm 2.8; Papaxanthos et al., 2016, NIPS (permutation
    within strata).
    """
    if permutations < 1:
        raise InputError("permutations", expected="at least 1", got=str(permutations))
    ends = np.cumsum([0, *(len(problem.combos) for problem in problems)])
    slices = int(ends[-1])
    if slices == 0:
        return [np.empty(0) for _ in problems]
    observed = np.abs(np.concatenate([problem.scores for problem in problems]))
    order = np.argsort(observed, kind="stable")  # least extreme first
    limits = observed[order, None] - _ROUNDING
    counts = np.zeros(slices, dtype=np.int64)
    images = max(len(problem.outcome) for problem in problems)
    together = max(1, min(permutations, _CELLS // max(slices, images)))
    drawn = [
        _permuted(problem, permutations=permutations, seed=seed, number=number)
        for number, problem in enumerate(problems)
    ]
    starts = range(0, permutations, together)
    sums = [_Sums(problem, together) for problem in problems]
    for start in track(starts, description="Permutations", total=len(starts), visible=progress):
        size = min(together, permutations - start)
        reached = np.empty((slices, size))
        for one, draws, first in zip(sums, drawn, ends[:-1], strict=True):
            outcomes = np.stack([next(draws) for _ in range(size)], axis=1)
            one.write_scores(outcomes, reached[first : first + len(one.problem.combos)])
        reached = reached[order]
        np.maximum.accumulate(reached, axis=0, out=reached)
        counts[order] += (reached >= limits).sum(axis=1)
    adjusted = (1 + counts) / (permutations + 1)
    descending = order[::-1]
    result = np.empty(slices)
    result[descending] = np.maximum.accumulate(adjusted[descending])
    return np.split(result, ends[1:-1])


class _Sums:
    """Sums of permuted outcomes over the slices of a problem, some slices at a time.

    Small slices add up their own images (a dense product would multiply by 0 for all others);
    their image numbers are looked up once as long as there is room for them.
    """

    def __init__(self, problem: ScoredSlices, together: int) -> None:
        self.problem = problem
        self._rows = max(1, _CELLS // (4 * max(len(problem.outcome), together)))
        self._held: dict[int, Any] = {}
        self._room = _HELD

    def write_scores(
        self,
        outcomes: Float[np.ndarray, "images permutations"],
        out: Float[np.ndarray, "slices permutations"],
    ) -> None:
        """Write the sizes of the scores of every slice."""
        for first in range(0, len(self.problem.combos), self._rows):
            block = slice(first, min(first + self._rows, len(self.problem.combos)))
            totals = np.asarray(self._members(block, outcomes.dtype) @ outcomes, dtype=np.float64)
            law = self.problem.law.rows(np.arange(block.start, block.stop))
            np.abs(law.scores(totals), out=out[block])

    def _members(self, block: slice, kind: Any) -> Any:
        """Return ``[slices, images]``, 1 where an image carries the tags; sparse if that is few."""
        if block.start in self._held:
            return self._held[block.start]
        combos = self.problem.combos[block]
        members = np.stack([carried(self.problem.present, row) for row in combos])
        count = int(np.count_nonzero(members))
        if count >= _SPARSE * np.dtype(kind).itemsize / 8 * members.size:
            return members.astype(kind)
        made = sparse.csr_array(members, dtype=kind)
        if count <= self._room:
            self._held[block.start] = made
            self._room -= count
        return made


def carried(
    present: Bool[np.ndarray, "images tags"], combo: Int[np.ndarray, " size"]
) -> Bool[np.ndarray, " images"]:
    """Return which images carry the tags of one row of combinations (-1 is no tag)."""
    return images_with(present, tuple(int(tag) for tag in combo if tag >= 0))


def _permuted(
    problem: ScoredSlices, *, permutations: int, seed: int, number: int
) -> Iterator[np.ndarray]:
    """Yield the outcomes with their places changed inside every class, again and again."""
    # 0 and 1 add up exactly in single precision.
    kind = np.float32 if problem.outcome.dtype == np.bool_ else np.float64
    values = problem.outcome.astype(kind)
    orders = [
        chain.from_iterable(
            permutation_blocks(
                len(members),
                permutations=permutations,
                rng=np.random.default_rng([seed, number, stratum]),
                groups=group,
            )
        )
        for stratum, (members, group) in enumerate(zip(problem.strata, problem.groups, strict=True))
    ]
    for _ in range(permutations):
        permuted = values.copy()
        for members, draws in zip(problem.strata, orders, strict=True):
            permuted[members] = values[members[next(draws)]]
        yield permuted
