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

from sundog.bias.search.bitsets import pack_tags
from sundog.bias.search.counting_loops import extend
from sundog.core.errors import InputError

Task = tuple[int, int, int]
"""First parent, one past the last, candidates."""
Found = tuple[NDArray[Any], ...]
"""Tags, support, hits and sums of the combinations that a task found."""
MOST_SLICES = 2**31 - 1
_TASK = 1 << 16
"""Candidates per task: large enough to keep a core busy, small enough to share evenly."""
_PACKING = 1 << 19
"""Words that are ANDed and counted in the time that packing the images of one tag takes."""


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
    support: Int32[np.ndarray, "slices"]
    hits: Int32[np.ndarray, "slices"]
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


@dataclass(frozen=True, eq=False)
class Images:
    """The images of one class, ready to be packed.

    Attributes:
        tags: whether each image carries each tag, C-ordered.
        hits: numbers of the images that count as hits.
        misses: numbers of the others.
        values: of each image, to be summed over slices, ``misses`` being empty; empty: no sums.
    """

    tags: Bool[np.ndarray, "images tags"]
    hits: Int64[np.ndarray, "hits"]
    misses: Int64[np.ndarray, "misses"]
    values: Float64[np.ndarray, "images"]


@dataclass(frozen=True, eq=False)
class Packed:
    """Bitsets of some images: all of them, or those that carry one tag.

    Attributes:
        bits: packed tags from ``first_tag`` on, hits first.
        first_tag: first row of ``bits``.
        skip: leading tags of each combination that all these images carry, 0 or 1.
        split: words of the hits.
        values: of these images in the order of the bits, or empty.
    """

    bits: UInt64[np.ndarray, "tags words"]
    first_tag: int
    skip: int
    split: int
    values: Float64[np.ndarray, "images"]


def walk(images: Images, limits: Limits) -> list[Level]:
    """Return the frequent combinations of 1, 2, ... ``max_tags`` tags, one level per size.

    Raises:
        InputError: more combinations than ``limits.max_slices``; says how many.
    """
    tags = images.tags.shape[1]
    levels: list[Level] = []
    bits = pack_tags(images.tags, images.hits, images.misses)
    split = -(-images.hits.size // 64)
    # All images carry the combination of no tag; its row goes first, its siblings are the tags.
    bits = np.vstack([bits, np.full((1, bits.shape[1]), ~np.uint64(0))])
    whole = Packed(bits, first_tag=0, skip=0, split=split, values=images.values)
    parents = np.concatenate([[tags], np.arange(tags)]).astype(np.int32)[:, None]
    ends = np.zeros(tags + 1, dtype=np.int64)
    ends[0] = tags + 1
    pairs = np.ones((tags + 1, tags + 1), dtype=np.bool_)
    held = 0
    for size in range(1, limits.max_tags + 1):
        level = _extended(whole, images, parents, ends, pairs, size=size, limits=limits, held=held)
        if not level.support.size:
            break
        levels.append(level)
        held += level.support.size
        if size == limits.max_tags:
            break
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


def _tasks(ends: Int64[np.ndarray, "slices"], apart: Int64[np.ndarray, "cuts"]) -> list[Task]:
    """Cut the parents into runs of about equal work, and where ``apart`` says."""
    candidates = np.maximum(ends - np.arange(ends.size) - 1, 0)
    before = np.concatenate([[0], np.cumsum(candidates)])
    cuts = np.searchsorted(before[1:], np.arange(_TASK, before[-1] + _TASK, _TASK)) + 1
    bounds = np.unique(np.minimum(np.concatenate([[0], apart, cuts]), ends.size))
    return [
        (int(start), int(stop), int(before[stop] - before[start]))
        for start, stop in pairwise(bounds)
        if before[stop] > before[start]
    ]


def _narrowed(whole: Packed, images: Images, tag: int) -> Packed:
    """Pack the images that carry a tag, or return all if that leaves out too few to pay."""
    octets = whole.bits[tag].astype("<u8", copy=False).view(np.uint8)
    places = np.flatnonzero(np.unpackbits(octets, bitorder="little"))
    if 2 * places.size > images.tags.shape[0]:
        return whole
    cut = int(np.searchsorted(places, 64 * whole.split))
    hits = images.hits[places[:cut]]
    misses = images.misses[places[cut:] - 64 * whole.split]
    return Packed(
        bits=pack_tags(images.tags, hits, misses, first_tag=tag + 1),
        first_tag=tag + 1,
        skip=1,
        split=-(-hits.size // 64),
        values=images.values[hits] if images.values.size else images.values,
    )


def _extended(
    whole: Packed,
    images: Images,
    parents: Int32[np.ndarray, "slices size"],
    ends: Int64[np.ndarray, "slices"],
    pairs: Bool[np.ndarray, "tags tags"],
    *,
    size: int,
    limits: Limits,
    held: int,
) -> Level:
    """Extend all parents by one tag to combinations of ``size`` tags.

    From three tags on, those that start with one tag are counted among its images only, where that
    pays.
    """
    firsts = np.flatnonzero(np.diff(parents[:, 0])) + 1
    candidates = int(np.maximum(ends - np.arange(ends.size) - 1, 0).sum())
    narrow = size > 2 and candidates * whole.bits.shape[1] > _PACKING * (firsts.size + 1)
    width = 2 if whole.values.size else 0

    def work(task: Task) -> Found:
        start, stop, room = task
        packed = _narrowed(whole, images, int(parents[start, 0])) if narrow else whole
        found = (
            np.empty((room, size), np.int32),
            np.empty(room, np.int32),
            np.empty(room, np.int32),
            np.empty((room, width)),
        )
        count = extend(
            packed.bits,
            packed.first_tag,
            packed.skip,
            packed.split,
            packed.values,
            parents,
            ends,
            pairs,
            start,
            stop,
            limits.min_support,
            *found,
        )
        return found[0][:count].copy(), *(part[:count].copy() for part in found[1:])

    tasks = _tasks(ends, firsts if narrow else firsts[:0])
    nothing = np.empty((0, size), np.int32)
    pieces: list[Found] = [(nothing, nothing[:, 0], nothing[:, 0], np.empty((0, width)))]
    found = held
    for piece in _in_order(work, tasks, thread_count(limits.threads)):
        found += piece[0].shape[0]
        if found > limits.max_slices:
            pieces.clear()  # Go on counting for the message, but hold nothing.
        else:
            pieces.append(piece)
    if found > limits.max_slices:
        raise InputError(
            "Combinations of tags",
            expected=f"at most max_slices = {limits.max_slices:,}",
            got=f"{found:,} of up to {size} tags",
            hint="Raise min_support, lower max_tags, leave out tags, or raise max_slices.",
        )
    return Level(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def _in_order(work: Callable[[Task], Found], tasks: list[Task], threads: int) -> Iterator[Found]:
    """Yield ``work(task)`` in the order of the tasks; one task or thread needs no pool."""
    if threads == 1 or len(tasks) <= 1:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
        yield from pool.map(work, tasks)
