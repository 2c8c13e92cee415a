"""P-values that hold together over the whole search: Westfall and Young's step-down min-p."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, Shaped, UInt8

from sundog.bias.search.lattice import thread_count
from sundog.bias.search.permutations import DRAWN_TOGETHER, drawn_orders
from sundog.bias.search.permuting_loops import OBSERVED, STEP_DOWN, permute_rows, walk_down
from sundog.bias.search.stacked import Stacked, look_at_all, stack
from sundog.core.errors import InputError
from sundog.core.progress import track

_MOST_LANES = 512
_BYTES = 1 << 26
"""Permuted outcomes that one thread holds."""
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Problem:
    """The slices of one class.

    Attributes:
        tags: whether each image of the class carries each tag.
        outcome: whether the classifier is right on each image, or a real value for each
            (confidence in the class), finite.
        combos: the slices to test: tag numbers, at least one in each row, then -1.
        groups: images with equal number are near-duplicates and permuted as one block; None: every
            image moves alone.
    """

    tags: Bool[np.ndarray, "images tags"]
    outcome: Shaped[np.ndarray, "images"]
    combos: Int32[np.ndarray, "slices max_tags"]
    groups: Int64[np.ndarray, "images"] | None = None


def westfall_young(
    problems: Sequence[Problem],
    *,
    permutations: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | None = False,
) -> list[Float64[np.ndarray, "slices"]]:
    """Return p-values such that ``adjusted <= alpha`` keeps P(any false finding) <= alpha.

    Outcomes are permuted within every class. With all slices of all classes ordered by their
    strength, weakest first, ``p_(i) = (1 + #{b : max over j <= i of strength_j(b) >= strength_i}) /
    (B + 1)``, made monotone from the strongest down. Strength is one scale for all, the squared
    normal score: of Fisher's exact p for a yes-or-no outcome; for a real one
    ``S² (n - 1) / (s (n - s))``, S the sum of the standardised outcomes of the s images of a slice:
    its mean over all permutations is 1, and it orders slices as the pooled t does. Welch's t is not
    used: small slices that by chance hardly vary give it so heavy a tail that nothing else is found
    (confidence like a network's, planted pair: recall 0 of 20 against 14). Slices that share images
    are strongly dependent, which this uses and Bonferroni ignores.

    With ``groups`` the blocks of equal size are exchanged with each other, the order inside kept; a
    block whose size no other has stays where it is, so that fewer permutations differ.

    Args:
        problems: one per class; slices without images, or with all, get 1.
        permutations: B; the smallest p-value is ``1 / (B + 1)``.
        seed: same seed, same result, whatever the threads.
        threads: worker threads; None: every core this process may use.
        progress: show how many permutations are done; None: on a terminal only.

    Returns:
        One ``float64[m_k]`` in (0, 1] per problem, in the order of its ``combos``.

    Raises:
        InputError: shapes that do not fit, values that are not finite, no permutation.

    Source: Westfall & Young, 1993, Resampling-Based Multiple Testing, algorithm 2.8; Ge, Dudoit &
    Speed, 2003, TEST 12; Phipson & Smyth, 2010, arXiv 1603.05766 (the +1).
    """
    if permutations < 1:
        raise InputError("permutations", expected="at least 1", got=str(permutations))
    if seed < 0:
        raise InputError("seed", expected="0 or more", got=str(seed))
    workers = thread_count(threads)
    stacked = stack(
        [(problem.tags, problem.outcome, problem.combos, problem.groups) for problem in problems],
        threads=workers,
    )
    slices = stacked.problem.size
    if not slices:
        return [np.empty(0) for _ in problems]
    observed = _observed(stacked, threads=workers)
    order = np.argsort(observed, kind="stable")
    lanes = _lanes(stacked, permutations, workers)

    def work(first: int) -> Int64[np.ndarray, "slices"]:
        size = min(lanes, permutations - first)
        hits, values = _permuted(stacked, first=first, lanes=size, seed=seed)
        counts = np.zeros(slices, dtype=np.int64)
        walk_down(
            STEP_DOWN,
            order,
            *stacked.arrays(hits, values),
            observed * (1 - _ROUNDING),
            np.full(size, -1.0),
            counts,
        )
        return counts

    starts = range(0, permutations, lanes)
    reached = np.zeros(slices, dtype=np.int64)
    with ThreadPoolExecutor(workers) as pool:
        done = track(
            pool.map(work, starts),
            description="Permutations",
            total=len(starts),
            visible=progress,
        )
        for counts in done:
            reached += counts
    raw = (1 + reached) / (1 + permutations)
    adjusted = np.empty(slices)
    adjusted[order[::-1]] = np.maximum.accumulate(raw[order[::-1]])
    return np.split(adjusted, np.cumsum(stacked.slices)[:-1])


def _observed(stacked: Stacked, *, threads: int) -> Float64[np.ndarray, "slices"]:
    """Return the strength of every slice for the outcomes as they are."""
    hits = np.zeros((stacked.hit_rows, 1), dtype=np.uint8)
    values = np.zeros((stacked.value_rows, 1))
    for number, outcome in enumerate(stacked.outcomes):
        rows = hits if outcome.dtype == np.uint8 else values
        first = int(stacked.layout[number, 5])
        rows[first : first + outcome.size, 0] = outcome
    out = np.empty(stacked.problem.size)
    nothing = np.empty(0, dtype=np.int64)
    look_at_all(
        stacked, OBSERVED, hits=hits, values=values, out=out, counts=nothing, threads=threads
    )
    return out


def _lanes(stacked: Stacked, permutations: int, workers: int) -> int:
    """Return how many permutations a thread takes at once: a multiple of those drawn together."""
    bytes_each = stacked.hit_rows + 8 * stacked.value_rows
    most = min(_MOST_LANES, _BYTES // max(bytes_each, 1), -(-permutations // workers))
    return max(1, -(-most // DRAWN_TOGETHER)) * DRAWN_TOGETHER


def _permuted(
    stacked: Stacked, *, first: int, lanes: int, seed: int
) -> tuple[UInt8[np.ndarray, "images lanes"], Float64[np.ndarray, "images lanes"]]:
    """Return the outcomes of all images in permutations ``first`` to ``first + lanes - 1``."""
    hits = np.empty((stacked.hit_rows, lanes), dtype=np.uint8)
    values = np.empty((stacked.value_rows, lanes))
    for number, outcome in enumerate(stacked.outcomes):
        rows = hits if outcome.dtype == np.uint8 else values
        lane = 0
        while lane < lanes:
            batch = (first + lane) // DRAWN_TOGETHER
            for orders in drawn_orders(
                stacked.blocks[number], seed=seed, problem=number, batch=batch
            ):
                if lane < lanes:
                    permute_rows(outcome, orders, int(stacked.layout[number, 5]), lane, rows)
                lane += orders.shape[0]
    return hits, values
