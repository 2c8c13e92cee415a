"""Permutations of the outcomes of a class, the same whatever the threads and blocks they are in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from sundog.bias.search.permuting_loops import shuffle_blocks

DRAWN_TOGETHER = 64
"""Permutations that one random generator draws."""
_LANES = 8


@dataclass(frozen=True, eq=False)
class Blocks:
    """Images that move together, ordered by how many they are.

    Attributes:
        members: image numbers, block after block.
        starts: where each block starts in ``members``, and the end.
        runs: where the blocks of each size start, and the end.
    """

    members: Int64[np.ndarray, "images"]
    starts: Int64[np.ndarray, "blocks_and_end"]
    runs: Int64[np.ndarray, "sizes_and_end"]


def make_blocks(groups: Int64[np.ndarray, "images"]) -> Blocks:
    """Return the blocks of images with equal group number."""
    _, number, size = np.unique(groups, return_inverse=True, return_counts=True)
    by_size = np.argsort(size, kind="stable")
    rank = np.empty_like(by_size)
    rank[by_size] = np.arange(by_size.size)
    ordered = size[by_size]
    changes = np.flatnonzero(np.diff(ordered)) + 1
    return Blocks(
        members=np.argsort(rank[number], kind="stable"),
        starts=np.concatenate([[0], np.cumsum(ordered)]),
        runs=np.concatenate([[0], changes, [ordered.size]]).astype(np.int64),
    )


def drawn_orders(
    blocks: Blocks, *, seed: int, problem: int, batch: int
) -> Iterator[Int32[np.ndarray, "lanes images"]]:
    """Draw 64 random orders of the images, eight at a time.

    Image i receives the outcome of image ``order[i]``. Blocks of equal size are exchanged with each
    other, the images of a block staying together in their order (Fisher-Yates); a block whose size
    no other has stays where it is.

    Args:
        blocks: of one problem.
        seed: of the whole analysis.
        problem: number of the problem.
        batch: number of the batch of 64: permutation p is row ``p % 64`` of batch ``p // 64``.
    """
    rng = np.random.default_rng([seed, problem, batch])
    count = blocks.starts.size - 1
    for _ in range(DRAWN_TOGETHER // _LANES):
        orders = np.empty((_LANES, blocks.members.size), dtype=np.int32)
        shuffle_blocks(
            rng.random((_LANES, count)), blocks.members, blocks.starts, blocks.runs, orders
        )
        yield orders
