"""Small constellations of pixels that recur in more images than nature explains.

A stamp repeats the same pixels in many images; a photograph almost never repeats three of its
own. So the number of images that hold a constellation with given colours has a spike at the
stamp's colours, while it changes slowly from colour to neighbouring colour everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from sundog.concepts.patches_ground import NO_COLOURS, Colours, is_ground
from sundog.concepts.patches_order import distinction, in_turn
from sundog.core.seeds import derive_seed
from sundog.data.content import Pixels

FAMILIES: dict[str, tuple[tuple[int, int], ...]] = {
    "column": ((0, 0), (1, 0), (2, 0)),
    "row": ((0, 0), (0, 1), (0, 2)),
    "square": ((0, 0), (0, 1), (1, 0), (1, 1)),
}
"""(row, column) offsets of the pixels of a constellation."""
_AXES = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))
_STEPS = 3
_KEPT_BITS = 2
"""One in 4 of the constellations with contrast are looked at; of a textured stamp, which has many
of them, enough remain."""
_CONTRAST = 32
"""Constellations are of one colour, or their pixels differ by so much; what lies between is the
smooth shading that nature repeats close to black and white."""

MOST_SEEDS = 64
"""Seeds per family and class: one is enough to find a stamp, and duplicates have thousands."""
_CLIPPED = 20
"""Where colours agree only roughly, constellations of nothing but black and white are left out:
over- and underexposed photographs are full of them."""

Keys = UInt64[np.ndarray, "..."]


@dataclass(frozen=True)
class Level:
    """A scale and a tolerance at which images are searched.

    Attributes:
        shrink: images are first averaged over squares of this side.
        bin_width: colours within a bin are the same colour.
        phase: where the first bin ends.
        tolerance: how far a pixel may be from a template's colour, in 0..255 units.
    """

    shrink: int
    bin_width: int
    phase: int
    tolerance: int


LEVELS = (
    Level(shrink=1, bin_width=1, phase=0, tolerance=1),
    Level(shrink=2, bin_width=16, phase=0, tolerance=10),
    Level(shrink=2, bin_width=16, phase=8, tolerance=10),
)
SMALL = 48
"""Images of a shorter side than this are searched at their own scale only."""


def choose_levels(images: Sequence[Pixels]) -> tuple[Level, ...]:
    """Return the levels for images of this size: small ones are not averaged over squares."""
    shorter = float(np.median([min(pixels.shape[:2]) for pixels in images]))
    return tuple(replace(level, shrink=1) for level in LEVELS) if shorter < SMALL else LEVELS


@dataclass(frozen=True)
class Seed:
    """A constellation whose frequency is a spike.

    Attributes:
        level: where it was found.
        family: key of :data:`FAMILIES`.
        key: of its colours.
        group: the class it was found in, -1 = the whole set.
        count: images of the group that hold it.
        expected: the largest frequency among neighbouring colours.
        size: images of the group.
        holders: positions of the images of the group that hold it.
        everywhere: images of all groups that hold it.
    """

    level: Level
    family: str
    key: int
    group: int
    count: int
    expected: float
    size: int
    holders: tuple[int, ...]
    everywhere: int


def window_keys(pixels: Pixels, level: Level, family: str) -> tuple[Keys, Bool[np.ndarray, "..."]]:
    """Return the key of the constellation at each place, and whether it is looked at.

    The key is a linear hash, ``sum_k a_k code_k mod 2^64`` with random odd ``a_k``, so that the key
    of the same constellation in a neighbouring colour is the key plus a constant.

    Args:
        pixels: already shrunk.
        level: bins of the colours.
        family: key of :data:`FAMILIES`.
    """
    offsets = FAMILIES[family]
    height = pixels.shape[0] - max(row for row, _ in offsets)
    width = pixels.shape[1] - max(column for _, column in offsets)
    if height < 1 or width < 1:
        return np.zeros((0, 0), np.uint64), np.zeros((0, 0), bool)
    binned = (pixels.astype(np.uint64) + np.uint64(level.phase)) // np.uint64(level.bin_width)
    code = (binned[..., 0] << np.uint64(16)) | (binned[..., 1] << np.uint64(8)) | binned[..., 2]
    keys = np.zeros((height, width), np.uint64)
    shape = np.zeros((height, width), np.uint64)  # of the differences of colour; 0 = one colour
    first = code[:height, :width]
    darkest = brightest = pixels[:height, :width]
    for (row, column), factor in zip(offsets, _factors(family), strict=True):
        part = code[row : row + height, column : column + width]
        keys += part * factor
        shape += (part - first) * factor
        darkest = np.minimum(darkest, pixels[row : row + height, column : column + width])
        brightest = np.maximum(brightest, pixels[row : row + height, column : column + width])
    contrast = (brightest - darkest).max(axis=2) >= _CONTRAST
    coloured = np.ones((height, width), bool)
    if level.bin_width > 1:
        middling = np.asarray(
            (pixels < 255 - _CLIPPED).any(axis=2) & (pixels > _CLIPPED).any(axis=2)
        )
        coloured = np.zeros((height, width), bool)
        for row, column in offsets:
            coloured |= middling[row : row + height, column : column + width]
    mixed = (shape ^ (shape >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    rare = (mixed >> np.uint64(64 - _KEPT_BITS)) == 0
    return keys, coloured & ((shape == 0) | (contrast & rare))


def _factors(family: str) -> list[np.uint64]:
    draws = (derive_seed(0, "constellation", family, k) for k in range(len(FAMILIES[family])))
    return [np.uint64(2 * draw + 1) for draw in draws]


def find_seeds(
    images: Sequence[Pixels],
    groups: Int64[np.ndarray, "images"],
    level: Level,
    *,
    ground: Colours = NO_COLOURS,
    min_count: int = 6,
    min_share: float = 0.05,
    min_excess: float = 5.0,
    min_lift: float = 4.0,
) -> list[Seed]:
    """Return the constellations that recur in a class, or in the whole set, as spikes.

    For a constellation in d of the n images of a group, let e be the largest over 8 directions of
    colour (each channel and grey, up and down) of the mean count of its 3 neighbours in that
    direction. It is a seed if ``d >= max(min_count, min_share n)``, ``d >= min_lift (e + 1)`` and
    ``(d - e) / sqrt(e + 1) >= min_excess``.

    Args:
        images: shrunk to the level.
        groups: class of each image, -1 = none.
        level: bins of the colours.
        ground: colours of the background, from
            :func:`~sundog.concepts.patches_ground.find_ground`; such pixels of a constellation keep
            their colour in its neighbours, and nothing but background is no constellation.
        min_count: images that must hold it.
        min_share: share of the group's images that must hold it.
        min_excess: in standard deviations of a Poisson count.
        min_lift: count over that of the neighbouring colours.

    Returns:
        Seeds, those of the whole set (the most frequent first) and those of a class (the most
        distinctive first) in turn.
    """
    ranked: list[tuple[float, Seed]] = []
    wanted = [-1, *(int(c) for c in np.unique(groups[groups >= 0]))]
    if len(wanted) == 2 and (groups >= 0).all():
        wanted = wanted[1:]  # one class is the whole set
    for family in FAMILIES:
        for flat, held in _keys_of(images, level, family, ground).items():
            factors = [int(f) for k, f in enumerate(_factors(family)) if not flat >> k & 1]
            step = sum(factors, start=0)
            everywhere = np.unique(np.concatenate(held), return_counts=True)
            spikes: list[tuple[int, int, int, int, float, float]] = []
            for group in wanted:
                members = np.flatnonzero((groups == group) | (group == -1))
                least = max(min_count, int(np.ceil(min_share * len(members))))
                if len(members) < least:
                    continue
                found, counts = everywhere
                if len(members) < len(images):
                    found, counts = np.unique(
                        np.concatenate([held[m] for m in members]), return_counts=True
                    )
                frequent = np.flatnonzero(counts >= least)
                keys, d = found[frequent], counts[frequent]
                e = _neighbours(found, counts, keys, step)
                spike = (d >= min_lift * (e + 1)) & (d - e >= min_excess * np.sqrt(e + 1))
                keys, d, e = keys[spike], d[spike], e[spike]
                total = everywhere[1][np.searchsorted(everywhere[0], keys)]
                rank = distinction(d, len(members), total, len(images))
                for i in np.lexsort((keys, -rank))[:MOST_SEEDS].tolist():
                    row = (group, len(members), int(keys[i]), int(d[i]), float(e[i]))
                    spikes.append((*row, float(rank[i])))
            holders = _holders(held, np.unique(np.array([s[2] for s in spikes], dtype=np.uint64)))
            for group, size, key, count, expected, value in spikes:
                holding = holders[key]
                inside = tuple(h for h in holding if group in (-1, int(groups[h])))
                ranked.append(
                    (
                        value,
                        Seed(
                            *(level, family, key, group, count, expected, size, inside),
                            len(holding),
                        ),
                    )
                )
    ordered = sorted(ranked, key=lambda r: (-r[0], r[1].family, r[1].group, r[1].key))
    whole = [seed for _, seed in ordered if seed.size == len(images)]
    classes = [seed for _, seed in ordered if seed.size < len(images)]
    return in_turn(whole, classes)


def _keys_of(
    images: Sequence[Pixels], level: Level, family: str, ground: Colours
) -> dict[int, list[Keys]]:
    """Return the different keys of each image, apart by which of their pixels are background."""
    masks = range(2 ** len(FAMILIES[family]) - 1) if len(ground) else (0,)
    held: dict[int, list[Keys]] = {mask: [] for mask in masks}
    for pixels in images:
        keys, looked_at = window_keys(pixels, level, family)
        if not len(ground):
            held[0].append(np.unique(keys[looked_at]))
            continue
        flat = is_ground(pixels, ground, level.tolerance if level.bin_width > 1 else 0)
        code = np.zeros(keys.shape, np.int64)
        for k, (row, column) in enumerate(FAMILIES[family]):
            code |= flat[row : row + keys.shape[0], column : column + keys.shape[1]] << k
        for mask, lists in held.items():
            lists.append(np.unique(keys[(code == mask) & (looked_at if mask == 0 else True)]))
    return held


def _holders(held: Sequence[Keys], wanted: Keys) -> dict[int, list[int]]:
    """Return the positions of the images that hold each key."""
    holders: dict[int, list[int]] = {int(key): [] for key in wanted}
    for image, keys in enumerate(held):
        if len(keys) and len(wanted):
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            for key in wanted[keys[place] == wanted].tolist():
                holders[key].append(image)
    return holders


def _neighbours(
    found: Keys, counts: Int64[np.ndarray, "keys"], keys: Keys, step: int
) -> np.ndarray:
    """Return the largest mean count among neighbouring colours, over the 8 directions."""
    largest = np.zeros(len(keys))
    for axis in _AXES:
        code = (axis[0] << 16) + (axis[1] << 8) + axis[2]
        for sign in (1, -1):
            total = np.zeros(len(keys))
            for distance in range(1, _STEPS + 1):
                shift = np.uint64((sign * distance * code * step) % 2**64)
                shifted = keys + shift
                place = np.minimum(np.searchsorted(found, shifted), len(found) - 1)
                total += np.where(found[place] == shifted, counts[place], 0)
            largest = np.maximum(largest, total / _STEPS)
    return largest
