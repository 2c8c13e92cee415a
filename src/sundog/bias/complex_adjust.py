"""One correction over every class and combination that was searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from sundog.bias.complex_search import ClassSearch
from sundog.bias.search.westfall_young import Problem, westfall_young
from sundog.bias.strata_permutation import ScoredSlices, score_westfall_young
from sundog.core.errors import UnknownNameError
from sundog.core.statistics import benjamini_hochberg, holm

Adjustment = Literal["westfall_young", "holm", "benjamini_hochberg", "none"]
ADJUSTMENTS: tuple[Adjustment, ...] = ("westfall_young", "holm", "benjamini_hochberg", "none")


def check_adjustment(adjustment: str) -> None:
    """Refuse a name that is not in :data:`ADJUSTMENTS`.

    Raises:
        UnknownNameError: suggests the nearest.
    """
    if adjustment not in ADJUSTMENTS:
        raise UnknownNameError("adjustment", str(adjustment), ADJUSTMENTS)


def adjust_searches(
    searches: Sequence[ClassSearch],
    *,
    adjustment: Adjustment,
    permutations: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | None = None,
) -> list[Float[np.ndarray, " slices"]]:
    """Return adjusted p-values of every combination of every class, one array per class.

    ``westfall_young``: step-down min-p, the outcome permuted within each class; it knows how
    strongly overlapping slices depend, and keeps P(any false finding) <= alpha. ``holm``: the same
    promise without permutations. ``benjamini_hochberg``: a false share of findings <= alpha.
    ``none``: the p-values as they are.

    Args:
        searches: the classes.
        adjustment: how.
        permutations: of Westfall-Young.
        seed: of Westfall-Young.
        threads: of Westfall-Young.
        progress: whether to show progress; None: on a terminal.

    Source: Westfall & Young, 1993; Holm, 1979; Benjamini & Hochberg, 1995, JRSS B 57.
    """
    check_adjustment(adjustment)
    sizes = [len(search.lattice) for search in searches]
    if adjustment == "none" or sum(sizes) == 0:
        return [search.p_values for search in searches]
    if adjustment != "westfall_young":
        correct = holm if adjustment == "holm" else benjamini_hochberg
        joined = correct(np.concatenate([search.p_values for search in searches]))
        return np.split(joined, np.cumsum(sizes)[:-1])
    testable = [number for number, size in enumerate(sizes) if size]
    if searches[testable[0]].law is not None:
        found = _by_scores([searches[number] for number in testable], permutations, seed, progress)
    else:
        found = _by_fisher(
            [searches[number] for number in testable], permutations, seed, threads, progress
        )
    adjusted = [np.empty(0) for _ in searches]
    for number, values in zip(testable, found, strict=True):
        adjusted[number] = values
    return adjusted


def _by_fisher(
    searches: Sequence[ClassSearch],
    permutations: int,
    seed: int,
    threads: int | None,
    progress: bool | None,
) -> list[Float[np.ndarray, " slices"]]:
    """Return adjusted p-values of accuracy: the compiled kernel, on Fisher's exact p-values."""
    return westfall_young(
        [
            Problem(
                tags=search.present,
                outcome=search.outcome,
                combos=search.lattice.combos,
                groups=search.images.groups,
            )
            for search in searches
        ],
        permutations=permutations,
        seed=seed,
        threads=threads,
        progress=progress,
    )


def _by_scores(
    searches: Sequence[ClassSearch], permutations: int, seed: int, progress: bool | None
) -> list[Float[np.ndarray, " slices"]]:
    """Return adjusted p-values of confidence, on scores that use the variance of the class."""
    problems = [
        ScoredSlices(
            combos=search.lattice.combos,
            present=search.present,
            outcome=search.outcome,
            strata=[np.arange(len(search.outcome))],
            groups=[search.images.groups],
            law=search.law,
            scores=search.law.scores(search.lattice.total),
        )
        for search in searches
        if search.law is not None
    ]
    return score_westfall_young(problems, permutations=permutations, seed=seed, progress=progress)
