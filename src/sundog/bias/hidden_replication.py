"""Replicate the findings about single concepts and rankings on halves of the images."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float

from sundog.bias.class_images import ClassImages, Metric
from sundog.bias.hidden_adjust import Adjustment, corrected_level
from sundog.bias.hidden_concepts import test_concepts
from sundog.bias.hidden_effect import ConceptEffect, detectable, gap_of, upper_half, why_not
from sundog.bias.hidden_linear import LinearProblem, middle_ranks, one_sided_p
from sundog.bias.hidden_rankings import test_rankings
from sundog.bias.replication import Direction, HalfLook, Replication, Rows, Search, replicate
from sundog.core.statistics import (
    fisher_p_values,
    mann_whitney,
    studentised_permutation,
)
from sundog.core.statistics.two_groups import Alternative

_PERMUTATIONS = 4999


def replicate_concepts(
    effects: Sequence[ConceptEffect],
    classes: Sequence[ClassImages],
    present: Mapping[str, Bool[np.ndarray, "images concepts"]],
    concepts: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    metric: Metric = "accuracy",
    min_support: int = 5,
    adjustment: Adjustment = "westfall_young",
    alpha: float = 0.05,
    power: float = 0.8,
    permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
) -> Replication:
    """Search one half with ``test_concepts`` and let the other half confirm what it found.

    Args:
        effects: what :func:`~sundog.bias.hidden.test_concepts` returned for all images; those with
            ``p_adjusted <= alpha`` are the findings of the full data.
        classes: as given to it, and so are the other arguments.
        present: class → ``bool[images, concepts]``.
        concepts: names of the columns.
        metric: ``accuracy`` or ``confidence``.
        min_support: images needed on each side in each half.
        adjustment: of the search on the first half.
        alpha: of the search and of the confirmation.
        power: of what a half would have shown.
        permutations: of the search.
        level: of the interval of the second half's gap.
        seed: of the split and the permutations.
        threads: of Westfall-Young.

    Returns:
        The replication; keys are ``(class, concept)``.

    Raises:
        InputError: as :func:`~sundog.bias.hidden.test_concepts`.
    """
    by_name = {images.name: images for images in classes}

    def search(rows: Rows) -> Search:
        found = test_concepts(
            [images.rows(rows[images.name]) for images in classes],
            {name: np.asarray(present[name])[rows[name]] for name in by_name},
            concepts,
            metric=metric,
            min_support=min_support,
            adjustment=adjustment,
            alpha=alpha,
            power=power,
            permutations=permutations,
            level=level,
            seed=seed,
            threads=threads,
        )
        return _search(found, alpha=alpha, adjustment=adjustment)

    def part(key: Hashable, rows: Rows) -> tuple[ClassImages, Any]:
        name, concept = cast(tuple[str, str], key)
        names = list(concepts[name] if isinstance(concepts, Mapping) else concepts)
        inside = np.asarray(present[name])[rows[name], names.index(concept)]
        return by_name[name].rows(rows[name]), inside

    def look(key: Hashable, direction: Direction, rows: Rows, single: float) -> HalfLook:
        return half_look(
            *part(key, rows),
            direction,
            metric=metric,
            min_support=min_support,
            alpha=single,
            power=power,
            level=level,
        )

    def p_value(key: Hashable, direction: Direction, rows: Rows) -> float:
        return half_p_value(*part(key, rows), direction, metric=metric, seed=seed)

    return replicate(
        classes,
        full=_full(effects, alpha),
        search=search,
        look=look,
        p_value=p_value,
        alpha=alpha,
        seed=seed,
    )


def replicate_rankings(
    effects: Sequence[ConceptEffect],
    classes: Sequence[ClassImages],
    scores: Mapping[str, Mapping[str, Float[np.ndarray, " images"]]],
    *,
    metric: Metric = "accuracy",
    top_k: int = 5,
    min_support: int = 5,
    adjustment: Adjustment = "westfall_young",
    alpha: float = 0.05,
    power: float = 0.8,
    permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Replication:
    """Search one half with ``test_rankings`` and let the other half confirm what it found.

    Args:
        effects: what :func:`~sundog.bias.hidden.test_rankings` returned for all images.
        classes: as given to it, and so are the other arguments.
        scores: class → concept → ``float[images]``.
        metric: ``accuracy`` or ``confidence``.
        top_k: as there; decides nothing here.
        min_support: images needed in each half of the scores in each half of the images.
        adjustment: of the search on the first half.
        alpha: of the search and of the confirmation.
        power: of what a half would have shown.
        permutations: of the search.
        level: of the interval of the second half's gap, upper against lower half of the scores.
        seed: of the split and the permutations.

    Returns:
        The replication; keys are ``(class, concept)``.

    Raises:
        InputError: as :func:`~sundog.bias.hidden.test_rankings`.
    """
    by_name = {images.name: images for images in classes}

    def search(rows: Rows) -> Search:
        found = test_rankings(
            [images.rows(rows[images.name]) for images in classes],
            {
                name: {
                    concept: np.asarray(values)[rows[name]]
                    for concept, values in scores[name].items()
                }
                for name in by_name
            },
            metric=metric,
            top_k=top_k,
            min_support=min_support,
            adjustment=adjustment,
            alpha=alpha,
            power=power,
            permutations=permutations,
            level=level,
            seed=seed,
        )
        return _search(found, alpha=alpha, adjustment=adjustment)

    def part(key: Hashable, rows: Rows) -> tuple[ClassImages, Any]:
        name, concept = cast(tuple[str, str], key)
        values = np.asarray(scores[name][concept], dtype=np.float64)[rows[name]]
        known = ~np.isnan(values)
        return by_name[name].rows(rows[name][known]), values[known]

    def look(key: Hashable, direction: Direction, rows: Rows, single: float) -> HalfLook:
        images, values = part(key, rows)
        return half_look(
            images,
            upper_half(values),
            direction,
            metric=metric,
            min_support=min_support,
            alpha=single,
            power=power,
            level=level,
        )

    def p_value(key: Hashable, direction: Direction, rows: Rows) -> float:
        return _ranking_p(*part(key, rows), metric, direction, seed)

    return replicate(
        classes,
        full=_full(effects, alpha),
        search=search,
        look=look,
        p_value=p_value,
        alpha=alpha,
        seed=seed,
    )


def _full(
    effects: Sequence[ConceptEffect], alpha: float
) -> dict[Hashable, tuple[Direction, float]]:
    return {
        (effect.class_name, effect.concept): (effect.direction, effect.gap.value)
        for effect in sorted(
            (effect for effect in effects if effect.p_adjusted <= alpha),
            key=lambda effect: effect.p_adjusted,
        )
    }


def _search(effects: Sequence[ConceptEffect], *, alpha: float, adjustment: Adjustment) -> Search:
    tests = sum(effect.tested for effect in effects)
    return Search(_full(effects, alpha), corrected_level(alpha, tests=tests, adjustment=adjustment))


def half_p_value(
    images: ClassImages, inside: Any, direction: Direction, *, metric: Metric, seed: int
) -> float:
    """Return the one-sided p-value that a concept (or combination) hurts, or helps, in one half.

    Fisher's exact test; for confidence and near-duplicates the studentised permutation test.

    Args:
        images: the images of the half.
        inside: ``bool[images]``, which have the concept; two or more on each side.
        direction: what is claimed.
        metric: ``accuracy`` or ``confidence``.
        seed: of the permutations.
    """
    alternative: Alternative = "less" if direction == "hurts" else "greater"
    if metric == "accuracy" and images.groups is None:
        right = images.correct
        counts = (right[inside].sum(), inside.sum(), right[~inside].sum(), (~inside).sum())
        return float(fisher_p_values(*counts, alternative=alternative)[0])
    return float(
        studentised_permutation(
            images.outcome(metric).astype(np.float64),
            inside[:, None],
            permutations=_PERMUTATIONS,
            seed=[seed, *images.name.encode()],
            groups=images.groups,
            alternative=alternative,
        )[1][0]
    )


def _ranking_p(
    images: ClassImages, scores: Any, metric: Metric, direction: Direction, seed: int
) -> float:
    key = images.name.encode()
    if metric == "accuracy" and images.groups is None:
        return mann_whitney(
            scores,
            images.correct,
            alternative="less" if direction == "hurts" else "greater",
            permutations=_PERMUTATIONS,
            seed=[seed, *key],
        ).p_value
    outcome = middle_ranks(images.outcome(metric).astype(np.float64)[:, None])[:, 0]
    return one_sided_p(
        LinearProblem(middle_ranks(scores[:, None]), outcome, images.groups, key),
        rising=direction == "helps",
        permutations=_PERMUTATIONS,
        seed=seed,
    )


def half_look(
    images: ClassImages,
    inside: Any,
    direction: Direction,
    *,
    metric: Metric,
    min_support: int,
    alpha: float,
    power: float = 0.8,
    level: float = 0.95,
) -> HalfLook:
    """Return the gap of one half, and the smallest that its one-sided test would have shown.

    Args:
        images: the images of the half.
        inside: ``bool[images]``, which have the concept.
        direction: what is claimed.
        metric: ``accuracy`` or ``confidence``.
        min_support: images (near-duplicates count once) needed on each side, at least 2.
        alpha: level of the one-sided test.
        power: of the smallest gap.
        level: of the interval of the gap.
    """
    gap = gap_of(images, inside, metric=metric, level=level)
    reason = why_not(images, inside, metric=metric, min_support=min_support)
    if reason:
        return HalfLook(gap, math.nan, reason)
    smallest = detectable(
        images,
        inside,
        metric=metric,
        alpha=alpha,
        power=power,
        side="drop" if direction == "hurts" else "rise",
    )
    return HalfLook(gap, smallest)
