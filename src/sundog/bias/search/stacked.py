"""The problems of all classes behind each other in flat arrays, for the compiled walk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt8, UInt64
from numpy.typing import NDArray
from scipy import special

from sundog.bias.search.bitsets import check_tags, pack_tags
from sundog.bias.search.permutations import Blocks, make_blocks
from sundog.bias.search.permuting_loops import SUPPORTS, walk_down
from sundog.bias.search.slices import check_outcome
from sundog.bias.search.sums import check_values
from sundog.bias.search.tests import tabulate
from sundog.core.errors import InputError

SMALLEST = 1e-40
"""Exact p-values below count as equal: no permutation reaches them."""
Parts = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any] | None]
"""Tags, outcome, combinations and groups of one problem."""
Array = NDArray[Any]
Arrays = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array]
"""What the compiled walk reads."""


@dataclass(frozen=True, eq=False)
class Stacked:
    """What :func:`~sundog.bias.search.permuting_loops.walk_down` reads; see there.

    Attributes:
        outcomes: of each problem, ``uint8`` or standardised ``float64``.
        blocks: of each problem, the images that move together.
        slices: how many each problem has.
        hit_rows: images of the problems with a yes-or-no outcome.
        value_rows: images of the others.
        problem: of each slice.
        combos: of each slice.
        layout: of each problem.
        bits: packed tags, flat.
        number: table of each slice size, flat.
        offsets: first entry of each table, and the end.
        lows: hits of the first entry of each table.
        strengths: entries: squared normal scores of the exact p-values.
    """

    outcomes: tuple[NDArray[Any], ...]
    blocks: tuple[Blocks, ...]
    slices: tuple[int, ...]
    hit_rows: int
    value_rows: int
    problem: Int32[np.ndarray, "slices"]
    combos: Int32[np.ndarray, "slices max_tags"]
    layout: Int64[np.ndarray, "problems 7"]
    bits: UInt64[np.ndarray, "words"]
    number: Int64[np.ndarray, "sizes"]
    offsets: Int64[np.ndarray, "tables_and_end"]
    lows: Int64[np.ndarray, "tables"]
    strengths: Float64[np.ndarray, "entries"]

    def arrays(
        self, hits: UInt8[np.ndarray, "images lanes"], values: Float64[np.ndarray, "images lanes"]
    ) -> Arrays:
        """Return the arguments of the walk from ``problem`` to ``strengths``."""
        return (
            self.problem,
            self.combos,
            self.layout,
            self.bits,
            hits,
            values,
            self.number,
            self.offsets,
            self.lows,
            self.strengths,
        )


def look_at_all(
    stacked: Stacked,
    mode: int,
    *,
    hits: UInt8[np.ndarray, "images lanes"],
    values: Float64[np.ndarray, "images lanes"],
    out: Float64[np.ndarray, "slices"],
    counts: Int64[np.ndarray, "slices"],
    threads: int,
) -> None:
    """Walk over all slices in any order, each thread over its part of them."""

    def work(part: Array) -> None:
        walk_down(mode, part, *stacked.arrays(hits, values), np.empty(0), out, counts)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, np.array_split(np.arange(stacked.problem.size), threads)))


def stack(problems: Sequence[Parts], *, threads: int) -> Stacked:
    """Check the problems, pack their tags, tabulate their exact tests.

    Raises:
        InputError: shapes that do not fit, values that are not finite.
    """
    outcomes, blocks, layout, bits = [], [], [], []
    rows = {"b": 0, "f": 0}
    words = sizes = 0
    for tags, outcome, _, groups in problems:
        matrix = check_tags(tags)
        prepared = _prepared(np.asarray(outcome), images=matrix.shape[0])
        kind = "b" if prepared.dtype == np.uint8 else "f"
        packed = pack_tags(matrix, np.arange(prepared.size))
        right = int(prepared.sum()) if kind == "b" else 0
        layout.append(
            [int(kind == "f"), prepared.size, right, packed.shape[1], words, rows[kind], sizes]
        )
        rows[kind] += prepared.size
        words += packed.size
        sizes += prepared.size + 1 if kind == "b" else 0
        outcomes.append(prepared)
        blocks.append(_blocks(groups, images=prepared.size))
        bits.append(packed.ravel())
    combos = [_combos(parts[2], tags=parts[0].shape[1]) for parts in problems]
    widest = max((part.shape[1] for part in combos), default=1)
    filled = [
        np.pad(part, ((0, 0), (0, widest - part.shape[1])), constant_values=-1) for part in combos
    ]
    counts = tuple(part.shape[0] for part in combos)
    nothing = np.empty(0, dtype=np.int64)
    bare = Stacked(
        outcomes=tuple(outcomes),
        blocks=tuple(blocks),
        slices=counts,
        hit_rows=rows["b"],
        value_rows=rows["f"],
        problem=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        combos=np.concatenate([np.empty((0, widest), np.int32), *filled]),
        layout=np.array(layout, dtype=np.int64).reshape(-1, 7),
        bits=np.concatenate([np.empty(0, np.uint64), *bits]),
        number=nothing,
        offsets=nothing,
        lows=nothing,
        strengths=np.empty(0),
    )
    return _with_tables(bare, threads=threads) if bare.problem.size else bare


def _with_tables(bare: Stacked, *, threads: int) -> Stacked:
    """Add the strengths of every number of hits for the slice sizes that occur."""
    slices = bare.problem.size
    support = np.zeros(slices, dtype=np.int64)
    look_at_all(
        bare,
        SUPPORTS,
        hits=np.empty((0, 0), np.uint8),
        values=np.empty((0, 0)),
        out=np.empty(0),
        counts=support,
        threads=threads,
    )
    bounds = np.concatenate([[0], np.cumsum(bare.slices)]).astype(np.int64)
    number: list[NDArray[Any]] = [np.empty(0, np.int64)]
    offsets: list[NDArray[Any]] = []
    lows: list[NDArray[Any]] = [np.empty(0, np.int64)]
    strengths: list[NDArray[Any]] = [np.empty(0)]
    tables = entries = 0
    for place, (real, images, correct, *_) in enumerate(bare.layout.tolist()):
        if real:
            continue
        own = np.flatnonzero(np.bincount(support[bounds[place] : bounds[place + 1]], minlength=1))
        found = tabulate(own, images=images, correct=correct, floor=SMALLEST)
        number.append(np.where(found.number < 0, -1, found.number + tables))
        offsets.append(found.offsets[:-1] + entries)
        lows.append(found.lows)
        strengths.append(np.square(special.ndtri(found.flat / 2)))
        tables += own.size
        entries += found.flat.size
    return Stacked(
        **{
            **{name: getattr(bare, name) for name in bare.__dataclass_fields__},
            "number": np.concatenate(number),
            "offsets": np.concatenate([*offsets, [entries]]).astype(np.int64),
            "lows": np.concatenate(lows),
            "strengths": np.concatenate(strengths),
        }
    )


def _prepared(outcome: NDArray[Any], *, images: int) -> NDArray[Any]:
    """Return a yes-or-no outcome as bytes, a real one standardised (all 0 if it is constant)."""
    if outcome.dtype.kind != "f":
        return check_outcome(outcome, images=images).astype(np.uint8)
    values = check_values(outcome, images=images)
    if not images:
        return values
    values = values - values.mean()
    spread = float(np.sqrt(np.square(values).mean()))
    scale = float(np.abs(outcome).max())
    return values / spread if spread > 1e-12 * scale else np.zeros(images)


def _blocks(groups: NDArray[Any] | None, *, images: int) -> Blocks:
    if groups is None:
        return make_blocks(np.arange(images))
    numbers = np.asarray(groups)
    if numbers.shape != (images,) or numbers.dtype.kind not in "iu":
        raise InputError(
            "groups",
            expected=f"whole numbers, one for each of {images} images",
            got=f"{numbers.dtype} with shape {numbers.shape}",
        )
    return make_blocks(numbers)


def _combos(combos: NDArray[Any], *, tags: int) -> Int32[np.ndarray, "slices max_tags"]:
    rows = np.asarray(combos)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or (rows.size == 0 and len(rows)):
        raise InputError(
            "combos",
            expected="whole numbers [slices, max_tags]",
            got=f"{rows.dtype} with shape {rows.shape}",
        )
    if rows.size and (rows.min() < -1 or rows.max() >= tags or rows[:, 0].min() < 0):
        raise InputError(
            "combos",
            expected=f"tag numbers from 0 to {tags - 1}, at least one in each row, then -1",
            got=f"values from {rows.min()} to {rows.max()}",
        )
    return rows.astype(np.int32)
