"""Concepts as scores that order the images of a class: does the outcome follow the order."""

# ruff: noqa: PT028 - test_rankings is a statistical test, not a test of this code
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from sundog.bias.class_images import ClassImages, Metric
from sundog.bias.hidden_adjust import (
    Adjustment,
    check_options,
    correct,
    corrected_level,
    enough_permutations,
)
from sundog.bias.hidden_concepts import check_classes
from sundog.bias.hidden_effect import (
    ConceptEffect,
    correlation_of,
    detectable,
    direction_of,
    distinct,
    end_mean,
    gap_of,
    mean_of,
    upper_half,
    why_not,
)
from sundog.bias.hidden_linear import LinearProblem, middle_ranks, permute
from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, MannWhitney, auroc_interval, mann_whitney


@dataclass(eq=False)
class _Ranking:
    """One concept of one class while it is tested."""

    images: ClassImages
    concept: str
    scores: Float[np.ndarray, " images"]
    known: Bool[np.ndarray, " images"]
    seen: ClassImages
    upper: Bool[np.ndarray, " known"]
    reason: str
    p: float = math.nan
    adjusted: float = math.nan


def test_rankings(
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
) -> tuple[ConceptEffect, ...]:
    """Ask whether images that score high for a concept fare differently from those that score low.

    Accuracy: Mann-Whitney's test of the scores of right and wrong images, with the AUROC.
    Confidence: the permutation test of Spearman's correlation. Both look at every image; the gap
    between the ``top_k`` highest and lowest images is returned as an illustration alone: with 5
    images on a side it cannot tell gaps below 60 points from chance. Adjusted over every class and
    concept as in :func:`test_concepts`, ``westfall_young`` by step-down max of the standardised
    rank statistic under permutations of the outcome within its class.

    Args:
        classes: the images of each class; names distinct.
        scores: class → concept → ``float[images]``, higher = more of the concept, in the order of
            the class's ids; NaN where not known: the image is left out and counted in ``unknown``.
        metric: ``accuracy`` or ``confidence``.
        top_k: images on each side of ``top_gap``, at most half of the class.
        min_support: images needed in the upper and the lower half of the scores, at least 2.
        adjustment: ``westfall_young``, ``holm``, ``benjamini_hochberg`` or ``none``.
        alpha: level after adjustment; decides ``smallest_detectable`` alone.
        power: of ``smallest_detectable``, the gap between the halves.
        permutations: random permutations; more where Holm or Benjamini-Hochberg corrects
            permutation p-values.
        level: of the intervals, each by itself.
        seed: same seed, same result.

    Returns:
        One effect for every class and concept in the order given. What could not be tested
        (constant scores, all right, ...) has a reason, no p-value, and is not counted as a test.

    Raises:
        InputError: scores of the wrong length, infinite or not numbers, names that do not fit,
            options out of range.

    Source: Mann & Whitney, 1947; Spearman, 1904; Newcombe, 2006 (AUROC); Westfall & Young, 1993;
    Moayeri et al., 2023, arXiv 2212.02648 (the top-k gap).
    """
    check_options(
        adjustment=adjustment,
        min_support=min_support,
        alpha=alpha,
        power=power,
        level=level,
        permutations=permutations,
        seed=seed,
    )
    if top_k < 1:
        raise InputError("top_k", expected="at least 1", got=str(top_k))
    check_classes(classes, scores, what="scores")
    rankings = [
        _ranking(images, concept, values, metric=metric, min_support=min_support)
        for images in classes
        for concept, values in scores[images.name].items()
    ]
    tested = [ranking for ranking in rankings if not ranking.reason]
    drawn = enough_permutations(permutations, tests=len(tested), alpha=alpha, adjustment=adjustment)
    found = {
        id(ranking): mann_whitney(
            ranking.scores[ranking.known],
            ranking.seen.correct,
            level=level,
            permutations=drawn,
            seed=[seed, *ranking.images.name.encode()],
        )
        for ranking in tested
        if metric == "accuracy" and ranking.images.groups is None
    }
    _fill(tested, found, metric=metric, adjustment=adjustment, permutations=drawn, seed=seed)
    single = corrected_level(alpha, tests=len(tested), adjustment=adjustment)
    return tuple(
        _effect(
            ranking,
            found.get(id(ranking)),
            metric=metric,
            top_k=top_k,
            min_support=min_support,
            alpha=single,
            power=power,
            level=level,
        )
        for ranking in rankings
    )


def _ranking(
    images: ClassImages, concept: str, values: object, *, metric: Metric, min_support: int
) -> _Ranking:
    scores = np.asarray(values)
    if scores.shape != (len(images),) or scores.dtype.kind not in "fiub":
        raise InputError(
            f"Scores of {concept!r} in class {images.name!r}",
            expected=f"float[{len(images)}], one per image of the class",
            got=f"{scores.dtype}{list(scores.shape)}",
        )
    scores = scores.astype(np.float64)
    if np.isinf(scores).any():
        raise InputError(
            f"Scores of {concept!r} in class {images.name!r}",
            expected="finite, or NaN where not known",
            got=f"infinity for {int(np.isinf(scores).sum())} of {scores.size} images",
        )
    known = ~np.isnan(scores)
    seen = images if known.all() else images.rows(known)
    upper = upper_half(scores[known])
    if scores.size and not known.any():
        reason = "no image has a score"
    elif seen.ids and np.ptp(scores[known]) == 0 and len(seen) > 1:
        reason = "every image has the same score"
    else:
        sides = ("in the upper half of the scores", "in the lower half of the scores")
        reason = why_not(seen, upper, metric=metric, min_support=min_support, sides=sides)
    return _Ranking(images, concept, scores, known, seen, upper, reason)


def _fill(
    tested: Sequence[_Ranking],
    found: Mapping[int, MannWhitney],
    *,
    metric: Metric,
    adjustment: Adjustment,
    permutations: int,
    seed: int,
) -> None:
    """Fill in the p-values and the adjusted ones, which are never below them."""
    if not tested:
        return
    if adjustment == "westfall_young" or len(found) < len(tested):
        by_class: dict[str, list[_Ranking]] = {}
        for ranking in tested:
            by_class.setdefault(ranking.images.name, []).append(ranking)
        problems = [
            LinearProblem(
                weights=middle_ranks(np.stack([one.scores for one in rankings], axis=1)),
                outcome=middle_ranks(
                    rankings[0].images.outcome(metric).astype(np.float64)[:, None]
                )[:, 0],
                groups=rankings[0].images.groups,
                key=name.encode(),
            )
            for name, rankings in by_class.items()
        ]
        single, joint = permute(problems, permutations=permutations, seed=seed)
        ordered = [ranking for rankings in by_class.values() for ranking in rankings]
        for ranking, p, together in zip(
            ordered, np.concatenate(single), np.concatenate(joint), strict=True
        ):
            ranking.p, ranking.adjusted = float(p), float(together)
    for ranking in tested:
        if id(ranking) in found:
            ranking.p = found[id(ranking)].p_value
    p_values = np.array([ranking.p for ranking in tested])
    if adjustment != "westfall_young":
        for ranking, adjusted in zip(tested, correct(p_values, adjustment=adjustment), strict=True):
            ranking.adjusted = float(adjusted)
    for ranking in tested:
        ranking.adjusted = max(ranking.adjusted, ranking.p)


def _effect(
    ranking: _Ranking,
    test: MannWhitney | None,
    *,
    metric: Metric,
    top_k: int,
    min_support: int,
    alpha: float,
    power: float,
    level: float,
) -> ConceptEffect:
    seen, upper, tested = ranking.seen, ranking.upper, not ranking.reason
    outcome = seen.outcome(metric)
    gap = gap_of(seen, upper, metric=metric, level=level)
    auroc, correlation = None, None
    direction = direction_of(gap.value)
    if tested and metric == "accuracy":
        auroc = test.auroc if test is not None else _grouped_auroc(ranking, level)
        direction = direction_of(auroc.value, 0.5)
    elif tested:
        groups = seen.groups
        size = len(seen) if groups is None else distinct(seen, np.ones(len(seen), dtype=bool))
        correlation = correlation_of(ranking.scores[ranking.known], outcome, size=size, level=level)
        direction = direction_of(correlation.value)
    k = min(top_k, len(seen) // 2)
    scores = ranking.scores[ranking.known]
    visible = min(distinct(seen, upper), distinct(seen, ~upper)) >= min_support
    return ConceptEffect(
        class_name=ranking.images.name,
        concept=ranking.concept,
        metric=metric,
        test="none" if not tested else "mann_whitney" if metric == "accuracy" else "spearman",
        n_present=int(upper.sum()),
        n_absent=int((~upper).sum()),
        mean_present=mean_of(outcome[upper]),
        mean_absent=mean_of(outcome[~upper]),
        gap=gap,
        auroc=auroc,
        correlation=correlation,
        top_gap=end_mean(outcome, scores, k) - end_mean(outcome, -scores, k) if k else None,
        top_k=k or None,
        p=ranking.p,
        p_adjusted=ranking.adjusted,
        direction=direction,
        smallest_detectable=(
            detectable(seen, upper, metric=metric, alpha=alpha, power=power)
            if visible
            else math.nan
        ),
        reason=ranking.reason,
        unknown=int((~ranking.known).sum()),
    )


def _grouped_auroc(ranking: _Ranking, level: float) -> Estimate:
    """Return the AUROC where near-duplicates count as one image."""
    values, right = ranking.scores[ranking.known], ranking.seen.correct
    plain = mann_whitney(values, right, level=level).auroc.value
    sizes = [distinct(ranking.seen, part) for part in (right, ~right)]
    return auroc_interval(plain, *sizes, level=level)
