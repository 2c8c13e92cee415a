"""The lattice of tag combinations, walked size by size: exact, pruned by support, on all cores.

A combination is carried by no more images than any part of it, so only frequent combinations are
extended (Agrawal & Srikant, 1994), each by the last tags of its later siblings (Zaki, 2000); the
images of a combination are the AND of the bitsets of its tags.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt64
from numpy.typing import NDArray

from sundog.bias.search.counting_loops import extend
from sundog.core.errors import InputError

Task = tuple[int, int, int]
"""First parent, one past the last, candidates."""
Found = tuple[NDArray[Any], ...]
"""Parent row, last tag, support, hits and sums of the combinations that a task found."""
MOST_SLICES = 2**31 - 1
_TASK = 1 << 16
"""Candidates per task: large enough to keep a core busy, small enough to share evenly."""


@dataclass(frozen=True, eq=False)
class Level:
    """All frequent combinations of one size, in lexicographic order.

    Attributes:
        combos: tag numbers, ascending in each row.
        support: images that carry all tags.
        hits: those of them before the split of the bitsets.
        sums: of the values and of their squares over those images; empty without values.
    """

    combos: Int32[np.ndarray, "slices size"]
    support: Int64[np.ndarray, "slices"]
    hits: Int64[np.ndarray, "slices"]
    sums: Float64[np.ndarray, "slices 2"]


@dataclass(frozen=True)
class Limits:
    """What :func:`walk` looks for.

    Attributes:
        max_tags: largest size of a combination.
        min_support: fewest images of a combination that counts, at least 1.
        max_support: most images; None: no bound. Larger ones are left out, but extended.
        max_slices: refuse to hold more combinations than that.
        threads: worker threads; None: as many as this process may use cores.
    """

    max_tags: int
    min_support: int
    max_support: int | None
    max_slices: int
    threads: int | None

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        for name in ("max_tags", "min_support", "max_slices"):
            if getattr(self, name) < 1:
                raise InputError(name, expected="at least 1", got=str(getattr(self, name)))
        if self.max_slices > MOST_SLICES:
            raise InputError("max_slices", expected="below 2^31", got=str(self.max_slices))
        if self.max_support is not None and self.max_support < self.min_support:
            raise InputError(
                "max_support",
                expected=f"at least min_support = {self.min_support}",
                got=str(self.max_support),
            )


def thread_count(threads: int | None) -> int:
    """Return ``threads``, or the number of cores that this process may use."""
    if threads is None:
        if hasattr(os, "sched_getaffinity"):
            return max(1, len(os.sched_getaffinity(0)))
        return max(1, os.cpu_count() or 1)
    if threads < 1:
        raise InputError("threads", expected="at least 1 or None", got=str(threads))
    return threads


def walk(
    bits: UInt64[np.ndarray, "tags words"],
    *,
    split: int,
    values: Float64[np.ndarray, "images"],
    limits: Limits,
) -> list[Level]:
    """Return the frequent combinations of 1, 2, ... ``max_tags`` tags, one level per size.

    Args:
        bits: packed tags, :func:`~sundog.bias.search.bitsets.pack_tags`.
        split: words whose images count as hits.
        values: one per bit, to be summed; empty: no sums.
        limits: what to look for.

    Raises:
        InputError: more combinations than ``limits.max_slices``; says how many.
    """
    tags = bits.shape[0]
    levels: list[Level] = []
    # All images carry the combination of no tag; its row goes first, its siblings are the tags.
    whole = np.vstack([bits, np.full((1, bits.shape[1]), ~np.uint64(0))])
    parents = np.concatenate([[tags], np.arange(tags)]).astype(np.int32)[:, None]
    ends = np.zeros(tags + 1, dtype=np.int64)
    ends[0] = tags + 1
    pairs = np.ones((tags + 1, tags + 1), dtype=np.bool_)
    for size in range(1, limits.max_tags + 1):
        level = _extended(
            whole,
            parents[:, : size - 1],
            parents,
            ends,
            pairs,
            split=split,
            values=values,
            limits=limits,
            held=sum(level.support.size for level in levels),
        )
        if not level.support.size:
            break
        levels.append(level)
        if size == 2:
            pairs = np.zeros_like(pairs)
            pairs[level.combos[:, 0], level.combos[:, 1]] = True
        parents, ends = level.combos, _sibling_ends(level.combos)
    return levels


def reported(level: Level, limits: Limits) -> Level:
    """Return the level without the combinations carried by more than ``max_support`` images."""
    if limits.max_support is None or level.support.max(initial=0) <= limits.max_support:
        return level
    kept = level.support <= limits.max_support
    return Level(
        combos=level.combos[kept],
        support=level.support[kept],
        hits=level.hits[kept],
        sums=level.sums[kept] if level.sums.size else level.sums,
    )


def stack_combos(levels: list[Level], max_tags: int) -> Int32[np.ndarray, "slices max_tags"]:
    """Return the combinations of all sizes under each other, filled up with -1."""
    combos = np.full((sum(x.support.size for x in levels), max_tags), -1, dtype=np.int32)
    row = 0
    for level in levels:
        count, size = level.combos.shape
        combos[row : row + count, :size] = level.combos
        row += count
    return combos


def _sibling_ends(combos: Int32[np.ndarray, "slices size"]) -> Int64[np.ndarray, "slices"]:
    """Return for every row where the rows that share all but its last tag end."""
    changes = np.flatnonzero((combos[1:, :-1] != combos[:-1, :-1]).any(axis=1)) + 1
    stops = np.append(changes, combos.shape[0])
    return np.repeat(stops, np.diff(stops, prepend=0))


def _tasks(ends: Int64[np.ndarray, "slices"]) -> list[Task]:
    """Cut the parents into runs (start, stop, candidates) of about equal work."""
    candidates = np.maximum(ends - np.arange(ends.size) - 1, 0)
    done = np.cumsum(candidates)
    total = int(done[-1]) if done.size else 0
    cuts = np.searchsorted(done, np.arange(_TASK, total + _TASK, _TASK)) + 1
    bounds = np.unique(np.minimum(np.concatenate([[0], cuts]), ends.size))
    before = np.concatenate([[0], done])
    return [
        (int(start), int(stop), int(before[stop] - before[start]))
        for start, stop in pairwise(bounds)
        if before[stop] > before[start]
    ]


def _extended(
    bits: UInt64[np.ndarray, "tags words"],
    heads: Int32[np.ndarray, "slices head"],
    parents: Int32[np.ndarray, "slices size"],
    ends: Int64[np.ndarray, "slices"],
    pairs: Bool[np.ndarray, "tags tags"],
    *,
    split: int,
    values: Float64[np.ndarray, "images"],
    limits: Limits,
    held: int,
) -> Level:
    """Extend all parents by one tag: ``heads`` holds the tags that the found ones keep of them."""
    width = 2 if values.size else 0

    def work(task: Task) -> Found:
        start, stop, room = task
        found = (
            np.empty(room, np.int64),
            np.empty(room, np.int32),
            np.empty(room, np.int64),
            np.empty(room, np.int64),
            np.empty((room, width)),
        )
        count = extend(
            bits, split, values, parents, ends, pairs, start, stop, limits.min_support, *found
        )
        return tuple(part[:count].copy() for part in found)

    pieces: list[Found] = []
    found = held
    for piece in _in_order(work, _tasks(ends), thread_count(limits.threads)):
        found += piece[0].size
        if found > limits.max_slices:
            pieces.clear()  # Go on counting for the message, but hold nothing.
        else:
            pieces.append(piece)
    size = heads.shape[1] + 1
    if found > limits.max_slices:
        raise InputError(
            "Combinations of tags",
            expected=f"at most max_slices = {limits.max_slices:,}",
            got=f"{found:,} of up to {size} tags",
            hint="Raise min_support, lower max_tags, leave out tags, or raise max_slices.",
        )
    if not pieces:
        return Level(
            np.empty((0, size), np.int32),
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty((0, width)),
        )
    parent, tag, support, hits, sums = (
        np.concatenate(column) for column in zip(*pieces, strict=True)
    )
    return Level(np.column_stack([heads[parent], tag]), support, hits, sums)


def _in_order(work: Callable[[Task], Found], tasks: list[Task], threads: int) -> Iterator[Found]:
    """Yield ``work(task)`` in the order of the tasks; one task or thread needs no pool."""
    if threads == 1 or len(tasks) <= 1:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
        yield from pool.map(work, tasks)
