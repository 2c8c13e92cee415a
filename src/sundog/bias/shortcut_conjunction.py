"""Two attributes that only together tell the class: neither drags a prediction alone.

Moved alone from another image of the same class, either breaks the agreement of the two, and the
label loses; moved together they keep it. In a sound model two parts disturb at least as much as
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float

from sundog.bias.shortcut_candidate import MARGINS, Candidate
from sundog.bias.shortcut_effect import probabilities
from sundog.bias.shortcut_grid import whole_candidates
from sundog.bias.shortcut_pairs import chunks
from sundog.bias.shortcut_screen import Bench

MOST = 5
"""Components whose pairs are tried: those that disturb most; the colour cast always is one."""
TESTED = 2
"""Conjunctions that are tested."""
BROKEN = 0.06
"""Probability of the label that must be lost by moving one alone, beyond moving both."""
CAST = next(c for c in whole_candidates() if c.family == "cast")
"""In a conjunction a cast tells nothing by itself, so that no class repeats it."""


def conjunctions(
    bench: Bench, singles: Sequence[Candidate], among: Bool[np.ndarray, "images"], *, most: int
) -> list[Candidate]:
    """Return the pairs of components that keep the label together and break it alone, best first.

    Args:
        bench: classifier and images.
        singles: components that were screened.
        among: images that propose.
        most: pairs of images at most.
    """
    kept: list[tuple[Candidate, Float[np.ndarray, "pairs"]]] = []
    for candidate in (CAST, *singles):
        if candidate.component is None or candidate.family == "surround":
            continue
        if all(candidate.component != other.component for other, _ in kept):
            alone = plainly(candidate)
            kept.append((alone, own_donor(bench, alone, among, most=most)))
    if not len(kept[0][1]):
        return []
    order = sorted(kept[1:], key=lambda row: float(row[1].mean()))
    found = []
    for (one, first), (two, second) in combinations([kept[0], *order[:MOST]], 2):
        if one.family == two.family or not (one.local or two.local):
            continue
        both = together(one, two, margin=MARGINS["conjunction"], broken=BROKEN)
        gain = own_donor(bench, both, among, most=most) - (first + second) / 2
        found.append((float(gain.mean()), both))
    best = sorted(found, key=lambda row: -row[0])[:TESTED]
    return [both for gain, both in best if gain > 0]


def plainly(candidate: Candidate) -> Candidate:
    """Return the candidate of the component alone, which any image can give to any other."""
    return replace(candidate, masks=None, give=None)


def together(
    one: Candidate, two: Candidate, *, margin: float, broken: float | None = None
) -> Candidate:
    """Return the candidate of two components that are moved together.

    Args:
        one: with a component.
        two: with another.
        margin: pull that needs no cue.
        broken: see :class:`Candidate`.
    """
    return Candidate(
        name=f"{one.name} together with {two.name}",
        margin=margin,
        component=one.component,
        also=two.component,
        family="pair",
        area=1.0,
        broken=broken,
    )


def parts(both: Candidate) -> tuple[Candidate, Candidate]:
    """Return the two components of a conjunction, each alone."""
    return replace(both, also=None), replace(both, component=both.also, also=None)


@torch.no_grad()
def own_donor(
    bench: Bench,
    candidate: Candidate,
    among: Bool[np.ndarray, "images"],
    *,
    most: int,
    stage: int = 0,
) -> Float[np.ndarray, "pairs"]:
    """Return the probability of the label with the component of another image of the own class."""
    pairs = bench.pairs(candidate, among, most=most, stage=stage)
    found = []
    for rows in chunks(len(pairs), bench.batch_size):
        target = pairs.targets[rows]
        moved = candidate.move(bench.images, target, pairs.same[rows])
        answer = probabilities(bench.classifier, moved, batch_size=bench.batch_size)
        found.append(answer.gather(1, bench.labels[target][:, None])[:, 0])
    bench.spent[0] += len(pairs)
    return torch.cat(found).numpy() if found else np.zeros(0)


def broken_alone(
    bench: Bench, both: Candidate, among: Bool[np.ndarray, "images"], *, most: int
) -> Float[np.ndarray, "pairs"]:
    """Return per pair what moving one component alone costs, beyond moving both.

    ``p(label | both) - (p(label | first) + p(label | second)) / 2``, donors of the own class, on
    the pairs that decide; in sound models at most about 0.
    """
    kept, first, second = (
        own_donor(bench, part, among, most=most, stage=1) for part in (both, *parts(both))
    )
    return kept - (first + second) / 2
