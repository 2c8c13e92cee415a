"""Is a finding found again on half of the data, and does the other half confirm it.

The tests on all images are valid by themselves; what they cannot give is an honest size, because
the strongest of many gaps looks stronger than it is. Here one half searches and the other half,
which had no part in the choice, says how large the gap is and whether it is there at all.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from sundog.bias.class_images import ClassImages
from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, holm

Direction = Literal["hurts", "helps", "neither"]
Status = Literal["confirmed", "not confirmed", "half too small to tell"]
Rows = Mapping[str, Int[np.ndarray, " rows"]]
"""Class → positions of the images of one half in the class."""


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        found: key of each finding (class and concepts) → its direction and its gap.
        level: level of a single test in that search, such as alpha / tests.
    """

    found: Mapping[Hashable, tuple[Direction, float]]
    level: float


@dataclass(frozen=True)
class HalfLook:
    """What one half could say of one finding.

    Attributes:
        gap: of this half, present minus absent.
        smallest_detectable: smallest absolute gap in the direction asked about that this half would
            have shown; NaN: none.
        reason: why this half cannot test it; empty if it can.
    """

    gap: Estimate
    smallest_detectable: float
    reason: str = ""


@dataclass(frozen=True)
class Replicated:
    """One finding and what the halves say of it.

    Attributes:
        key: of the finding.
        direction: ``hurts`` or ``helps``.
        status: ``confirmed``: the first half found it and the second confirms it; ``half too small
            to tell``: a half misses it, and would miss a gap of this size with more than 1 - power;
            ``not confirmed``: a half misses it that should have seen it.
        in_full: whether the search on all images found it.
        in_first: whether the search on the first half alone found it, in this direction.
        p: one-sided p-value of the second half; NaN if not asked or not testable.
        p_adjusted: Holm over all findings of the first half.
        gap: of the second half alone: free of the winner's curse if the first half found it.
        reason: why the second half could not test it; empty if it could.
    """

    key: Hashable
    direction: Direction
    status: Status
    in_full: bool
    in_first: bool
    p: float
    p_adjusted: float
    gap: Estimate
    reason: str


@dataclass(frozen=True)
class Replication:
    """The result of :func:`replicate`.

    Attributes:
        findings: first those of the full data in their order, then those of the first half alone.
        first_images: images of the first half, which searched.
        second_images: images of the second half, which confirmed.
        alpha: level of the confirmation, over all findings of the first half.
    """

    findings: tuple[Replicated, ...]
    first_images: int
    second_images: int
    alpha: float

    @property
    def confirmed(self) -> tuple[Replicated, ...]:
        """Return the confirmed findings."""
        return tuple(one for one in self.findings if one.status == "confirmed")

    @property
    def rate(self) -> float | None:
        """Return the share of the first half's findings that the second confirms, None of none."""
        first = [one for one in self.findings if one.in_first]
        return len(self.confirmed) / len(first) if first else None


def split_halves(
    classes: Sequence[ClassImages], *, seed: int = 0
) -> dict[str, Bool[np.ndarray, " images"]]:
    """Split every class in halves, right and wrong images evenly, near-duplicates together.

    Inside a class the images (or groups), right ones and wrong ones apart, are ordered by a hash of
    the seed and their id and dealt out in turn.

    Args:
        classes: the classes.
        seed: another seed, another split; the order of the images does not matter.

    Returns:
        Class → ``bool[images]``, True: in the first half. The halves differ by one image or group.
    """
    halves: dict[str, Bool[np.ndarray, " images"]] = {}
    for images in classes:
        groups = np.arange(len(images)) if images.groups is None else images.groups
        units = np.unique(groups, return_inverse=True)[1].ravel()
        hashes = [_hash(seed, images.name, one) for one in images.ids]
        first_hash: dict[int, bytes] = {}
        for unit, value in zip(units.tolist(), hashes, strict=True):
            first_hash[unit] = min(value, first_hash.get(unit, value))
        sizes = np.bincount(units) if units.size else np.zeros(0)
        right = np.bincount(units, weights=images.correct) / sizes if units.size else sizes
        order = sorted(first_hash, key=lambda unit: (bool(right[unit] >= 0.5), first_hash[unit]))
        chosen = np.zeros(len(order), dtype=bool)
        chosen[order[::2]] = True
        halves[images.name] = chosen[units]
    return halves


def _hash(seed: int, name: str, image: str) -> bytes:
    return hashlib.blake2b(repr((seed, name, image)).encode(), digest_size=16).digest()


def replicate(
    classes: Sequence[ClassImages],
    *,
    full: Mapping[Hashable, tuple[Direction, float]],
    search: Callable[[Rows], Search],
    look: Callable[[Hashable, Direction, Rows, float], HalfLook],
    p_value: Callable[[Hashable, Direction, Rows], float],
    alpha: float = 0.05,
    seed: int = 0,
) -> Replication:
    """Search one half, then ask the other half about what was found there.

    The second half tests each finding of the first one-sidedly in its direction, Holm over them, at
    ``alpha``: the probability of any false confirmation is at most ``alpha`` whatever the search
    was. A finding of the full data that the first half misses is not tested on the second.

    Args:
        classes: the classes, with ids and near-duplicates.
        full: key of each finding of the full data → direction and gap.
        search: searches the given rows as the full data were searched.
        look: gap of a key on the given rows, and the smallest gap in a direction that a one-sided
            test at the given level would have shown there.
        p_value: one-sided p-value of a key and direction on the given rows; not asked where
            ``look`` gave a reason.
        alpha: in (0, 1).
        seed: of the split.

    Returns:
        One :class:`Replicated` for every finding of the full data or of the first half.

    Raises:
        InputError: alpha out of range.

    Source: Cox, 1975, Biometrika 62 (data splitting); Holm, 1979.
    """
    if not 0 < alpha < 1:
        raise InputError("alpha", expected="between 0 and 1", got=str(alpha))
    chosen = split_halves(classes, seed=seed)
    first = {name: np.flatnonzero(mask) for name, mask in chosen.items()}
    second = {name: np.flatnonzero(~mask) for name, mask in chosen.items()}
    searched = search(first)
    single = alpha / max(len(searched.found), 1)
    asked: dict[Hashable, HalfLook] = {}
    p_values: dict[Hashable, float] = {}
    for key, (direction, _) in searched.found.items():
        asked[key] = look(key, direction, second, single)
        p_values[key] = math.nan if asked[key].reason else p_value(key, direction, second)
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    findings = []
    for key in dict.fromkeys([*full, *searched.found]):
        direction, gap = full[key] if key in full else searched.found[key]
        if key in searched.found and searched.found[key][0] == direction:
            # The gap to be seen again: as the first half or all images saw it, the smaller.
            size = min(abs(gap), abs(searched.found[key][1]))
            confirmed = adjusted[key] <= alpha
            findings.append(
                Replicated(
                    key=key,
                    direction=direction,
                    status="confirmed" if confirmed else _why(asked[key], size),
                    in_full=key in full,
                    in_first=True,
                    p=p_values[key],
                    p_adjusted=float(adjusted[key]),
                    gap=asked[key].gap,
                    reason=asked[key].reason,
                )
            )
            continue
        other = look(key, direction, second, single)
        findings.append(
            Replicated(
                key=key,
                direction=direction,
                status=_why(look(key, direction, first, searched.level), abs(gap)),
                in_full=True,
                in_first=False,
                p=math.nan,
                p_adjusted=math.nan,
                gap=other.gap,
                reason=other.reason,
            )
        )
    return Replication(
        findings=tuple(findings),
        first_images=sum(rows.size for rows in first.values()),
        second_images=sum(rows.size for rows in second.values()),
        alpha=alpha,
    )


def _why(missed: HalfLook, size: float) -> Status:
    """Return whether the half that missed a gap of this size would have seen it."""
    blind = bool(missed.reason) or not missed.smallest_detectable <= size
    return "half too small to tell" if blind else "not confirmed"
