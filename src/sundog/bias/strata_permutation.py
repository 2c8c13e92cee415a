"""Westfall-Young over slices that run through several classes: outcomes permuted within classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from sundog.bias.complex_contrast import images_with
from sundog.bias.strata_scores import NullLaw
from sundog.core.progress import track
from sundog.core.statistics.permutation import permutation_blocks

_CELLS = 8_000_000
"""Numbers held at once, for the slices of a block and for the permuted outcomes."""
_ROUNDING = 1e-6


def stratified_westfall_young(
    combos: Int[np.ndarray, "slices size"],
    *,
    present: Bool[np.ndarray, "images tags"],
    outcome: Shaped[np.ndarray, " images"],
    strata: Sequence[Int[np.ndarray, " members"]],
    groups: Sequence[Int[np.ndarray, " members"] | None],
    law: NullLaw,
    scores: Float[np.ndarray, " slices"],
    permutations: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
) -> Float[np.ndarray, " slices"]:
    """Return adjusted p-values of stratified scores, step-down over all slices.

    With ``u_b,i = max over j at most as extreme as i of |score_j of permutation b|``:
    ``p_i = (1 + #{b : u_b,i >= |score_i|}) / (B + 1)``, made monotone. Outcomes change places only
    inside their class, so the number of right images of a class never changes.

    Args:
        combos: ``int[m, L]`` tag numbers, then -1.
        present: ``bool[n, T]``.
        outcome: right or wrong, or the confidence.
        strata: the image numbers of each class.
        groups: near-duplicates of each class (in the order of ``strata``), permuted together.
        law: moments of each slice, :func:`~sundog.bias.strata_scores.null_law`.
        scores: ``float[m]`` observed.
        permutations: B, at least 1.
        seed: same seed, same result.
        progress: whether to show progress; None: on a terminal.

    Returns:
        ``float64[m]`` in [1 / (B + 1), 1].

    Source: Westfall & Young, 1993, algorithm 2.8; Terada et al. and Papaxanthos et al., 2016, NIPS
    (permutation within strata).
    """
    observed = np.abs(scores)
    order = np.argsort(observed, kind="stable")  # least extreme first
    counts = np.zeros(len(combos), dtype=np.int64)
    # 0 and 1 add up exactly in single precision.
    kind = np.float32 if outcome.dtype == np.bool_ else np.float64
    values = outcome.astype(kind)
    images = max(len(values), 1)
    together = max(1, min(permutations, _CELLS // images))
    rows = max(1, min(_CELLS // images, _CELLS // (4 * together)))
    drawn = _permuted(values, strata, groups, permutations=permutations, seed=seed)
    starts = range(0, permutations, together)
    for start in track(starts, description="Permutations", total=len(starts), visible=progress):
        size = min(together, permutations - start)
        outcomes = np.stack([next(drawn) for _ in range(size)], axis=1)
        highest = np.zeros(size)
        for first in range(0, len(order), rows):
            block = order[first : first + rows]
            members = np.stack([carried(present, combos[row]) for row in block]).astype(kind)
            reached = np.abs(law.rows(block).scores((members @ outcomes).astype(np.float64)))
            np.maximum(reached[0], highest, out=reached[0])
            np.maximum.accumulate(reached, axis=0, out=reached)
            highest = reached[-1].copy()
            counts[block] += (reached >= observed[block, None] - _ROUNDING).sum(axis=1)
    adjusted = (1 + counts) / (permutations + 1)
    descending = order[::-1]
    result = np.empty(len(combos))
    result[descending] = np.maximum.accumulate(adjusted[descending])
    return result


def carried(
    present: Bool[np.ndarray, "images tags"], combo: Int[np.ndarray, " size"]
) -> Bool[np.ndarray, " images"]:
    """Return which images carry the tags of one row of combinations (-1 is no tag)."""
    return images_with(present, tuple(int(tag) for tag in combo if tag >= 0))


def _permuted(
    values: np.ndarray,
    strata: Sequence[np.ndarray],
    groups: Sequence[np.ndarray | None],
    *,
    permutations: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """Yield the outcomes with their places changed inside every class, again and again."""
    orders = [
        chain.from_iterable(
            permutation_blocks(
                len(members),
                permutations=permutations,
                rng=np.random.default_rng([seed, number]),
                groups=group,
            )
        )
        for number, (members, group) in enumerate(zip(strata, groups, strict=True))
    ]
    for _ in range(permutations):
        permuted = values.copy()
        for members, draws in zip(strata, orders, strict=True):
            permuted[members] = values[members[next(draws)]]
        yield permuted
