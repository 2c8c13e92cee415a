"""Concepts that are present or absent: does the class suffer from one, or lean on it."""

# ruff: noqa: PT028 - test_concepts is a statistical test, not a test of this code

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
from sundog.bias.hidden_effect import (
    ConceptEffect,
    Test,
    detectable,
    direction_of,
    distinct,
    gap_of,
    mean_of,
    why_not,
)
from sundog.bias.hidden_linear import LinearProblem, permute
from sundog.bias.search.westfall_young import Problem, westfall_young
from sundog.core.errors import InputError, UnknownNameError
from sundog.core.statistics import fisher_p_values, studentised_permutation


@dataclass(eq=False)
class _Table:
    """The concepts of one class while they are tested."""

    images: ClassImages
    names: tuple[str, ...]
    present: Bool[np.ndarray, "images concepts"]
    reasons: list[str]
    p: Float[np.ndarray, " concepts"] = field(init=False)
    adjusted: Float[np.ndarray, " concepts"] = field(init=False)

    def __post_init__(self) -> None:
        self.p = np.full(len(self.names), math.nan)
        self.adjusted = np.full(len(self.names), math.nan)
        self.tested = np.flatnonzero([not reason for reason in self.reasons])


def test_concepts(
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
) -> tuple[ConceptEffect, ...]:
    """Compare all images of each class with and without each concept, in both directions.

    Accuracy: Fisher's exact test. Confidence, and classes with near-duplicates: the studentised
    permutation test. ``westfall_young``: step-down over every class and concept, the outcome
    permuted within its class, so that any false finding at ``p_adjusted <= alpha`` has probability
    at most ``alpha``: min-p of Fisher's test, or max of the standardised difference of means for
    confidence and if any class has near-duplicates. ``holm``: the same promise without using the
    dependence between concepts; ``benjamini_hochberg``: a false share of findings of at most
    ``alpha``.

    Args:
        classes: the images of each class; names distinct.
        present: class → ``bool[images, concepts]``, in the order of the class's ids.
        concepts: names of the columns, for all classes or for each; distinct.
        metric: ``accuracy`` or ``confidence``.
        min_support: images (near-duplicates count once) needed on each side, at least 2.
        adjustment: ``westfall_young``, ``holm``, ``benjamini_hochberg`` or ``none``.
        alpha: level after adjustment; decides ``smallest_detectable`` alone.
        power: of ``smallest_detectable``.
        permutations: random permutations; more are taken for permutation tests that Holm or
            Benjamini-Hochberg corrects.
        level: of the intervals of the gaps, each by itself.
        seed: same seed, same result.
        threads: of Westfall-Young; None: all cores.

    Returns:
        One effect for every class and concept in the order given. What could not be tested has a
        reason, no p-value, and is not counted as a test.

    Raises:
        InputError: shapes or names that do not fit, options out of range.

    Source: Fisher, 1935; Newcombe, 1998; Janssen, 1997 (studentised permutation); Westfall & Young,
    1993, Resampling-Based Multiple Testing.
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
    tables = _tables(classes, present, concepts, metric=metric, min_support=min_support)
    tests = sum(table.tested.size for table in tables)
    drawn = enough_permutations(permutations, tests=tests, alpha=alpha, adjustment=adjustment)
    for table in tables:
        _test(table, metric=metric, permutations=drawn, seed=seed)
    _adjust(
        [table for table in tables if table.tested.size],
        metric=metric,
        adjustment=adjustment,
        permutations=permutations,
        seed=seed,
        threads=threads,
    )
    single = corrected_level(alpha, tests=tests, adjustment=adjustment)
    return tuple(
        _effect(
            table,
            column,
            metric=metric,
            min_support=min_support,
            alpha=single,
            power=power,
            level=level,
        )
        for table in tables
        for column in range(len(table.names))
    )


def _tables(
    classes: Sequence[ClassImages],
    present: Mapping[str, Bool[np.ndarray, "images concepts"]],
    concepts: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    metric: Metric,
    min_support: int,
) -> list[_Table]:
    check_classes(classes, present, what="present")
    tables = []
    for images in classes:
        if isinstance(concepts, Mapping):
            if images.name not in concepts:
                raise UnknownNameError("Class in concepts", images.name, list(concepts))
            names = tuple(concepts[images.name])
        else:
            names = tuple(concepts)
        if len(set(names)) != len(names):
            raise InputError(
                f"concepts of class {images.name!r}", expected="distinct", got="repeated names"
            )
        inside = np.asarray(present[images.name])
        if inside.shape != (len(images), len(names)) or (inside.size and inside.dtype != bool):
            raise InputError(
                f"present of class {images.name!r}",
                expected=f"bool[{len(images)}, {len(names)}] (images, concepts)",
                got=f"{inside.dtype}{list(inside.shape)}",
            )
        inside = inside.astype(bool)
        reasons = [
            why_not(images, inside[:, column], metric=metric, min_support=min_support)
            for column in range(len(names))
        ]
        tables.append(_Table(images, names, inside, reasons))
    return tables


def check_classes(
    classes: Sequence[ClassImages], given: Mapping[str, object], *, what: str
) -> None:
    """Refuse classes of one name, and names that the classes and the mapping do not share.

    Raises:
        InputError: repeated class names.
        UnknownNameError: a class without an entry, or an entry without its class.
    """
    names = [images.name for images in classes]
    if len(set(names)) != len(names):
        raise InputError("Class names", expected="distinct", got="repeated names")
    for name in names:
        if name not in given:
            raise UnknownNameError(f"Class in {what}", name, list(given))
    for name in given:
        if name not in names:
            raise UnknownNameError(f"Class of an entry of {what}", name, names)


def _kind(table: _Table, metric: Metric) -> Test:
    exact = metric == "accuracy" and table.images.groups is None
    return "fisher" if exact else "permutation"


def _test(table: _Table, *, metric: Metric, permutations: int, seed: int) -> None:
    """Fill in the p-values of the concepts that can be tested."""
    if not table.tested.size:
        return
    images, inside = table.images, table.present[:, table.tested]
    if _kind(table, metric) == "fisher":
        n_in = inside.sum(axis=0)
        hits_in = (inside & images.correct[:, None]).sum(axis=0)
        hits, n = int(images.correct.sum()), len(images)
        table.p[table.tested] = fisher_p_values(hits_in, n_in, hits - hits_in, n - n_in)
    else:
        table.p[table.tested] = studentised_permutation(
            images.outcome(metric).astype(np.float64),
            inside,
            permutations=permutations,
            seed=[seed, *images.name.encode()],
            groups=images.groups,
        )[1]


def _adjust(
    tables: Sequence[_Table],
    *,
    metric: Metric,
    adjustment: Adjustment,
    permutations: int,
    seed: int,
    threads: int | None,
) -> None:
    """Fill in the adjusted p-values; never below the p-values themselves."""
    if not tables:
        return
    exact = all(_kind(table, metric) == "fisher" for table in tables)
    if adjustment == "westfall_young" and exact:
        problems = [
            Problem(
                tags=table.present,
                outcome=table.images.correct,
                combos=table.tested.astype(np.int32)[:, None],
            )
            for table in tables
        ]
        found = westfall_young(problems, permutations=permutations, seed=seed, threads=threads)
    elif adjustment == "westfall_young":
        found = permute(
            [
                LinearProblem(
                    weights=table.present[:, table.tested].astype(np.float64),
                    outcome=table.images.outcome(metric).astype(np.float64),
                    groups=table.images.groups,
                    key=table.images.name.encode(),
                )
                for table in tables
            ],
            permutations=permutations,
            seed=seed,
        )[1]
    else:
        sizes = [table.tested.size for table in tables]
        joined = np.concatenate([table.p[table.tested] for table in tables])
        found = np.split(correct(joined, adjustment=adjustment), np.cumsum(sizes)[:-1])
    for table, values in zip(tables, found, strict=True):
        table.adjusted[table.tested] = np.maximum(values, table.p[table.tested])


def _effect(
    table: _Table,
    column: int,
    *,
    metric: Metric,
    min_support: int,
    alpha: float,
    power: float,
    level: float,
) -> ConceptEffect:
    images, inside, reason = table.images, table.present[:, column], table.reasons[column]
    outcome = images.outcome(metric)
    gap = gap_of(images, inside, metric=metric, level=level)
    n_in = int(inside.sum())
    visible = min(distinct(images, inside), distinct(images, ~inside)) >= min_support
    return ConceptEffect(
        class_name=images.name,
        concept=table.names[column],
        metric=metric,
        test="none" if reason else _kind(table, metric),
        n_present=n_in,
        n_absent=len(images) - n_in,
        mean_present=mean_of(outcome[inside]),
        mean_absent=mean_of(outcome[~inside]),
        gap=gap,
        auroc=None,
        correlation=None,
        top_gap=None,
        top_k=None,
        p=float(table.p[column]),
        p_adjusted=float(table.adjusted[column]),
        direction=direction_of(gap.value),
        smallest_detectable=(
            detectable(images, inside, metric=metric, alpha=alpha, power=power)
            if visible
            else math.nan
        ),
        reason=reason,
    )
