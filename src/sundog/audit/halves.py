"""Findings on halves of the data: searched for again on one, measured on the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import cast

import numpy as np
from jaxtyping import Bool

from sundog.audit.finding_records import replication_record
from sundog.audit.search_settings import SearchSettings
from sundog.audit.vocabulary import ClassTags
from sundog.bias.class_images import ClassImages, Metric
from sundog.bias.complex import find_slices
from sundog.bias.complex_contrast import gap_between, one_sided_p
from sundog.bias.hidden import ConceptEffect, test_concepts
from sundog.bias.replication import (
    Direction,
    HalfTest,
    Rows,
    Search,
    replicate,
    split_halves,
)
from sundog.bias.slice_effects import SliceEffect
from sundog.core.inspection.finding import Replication
from sundog.core.statistics import Estimate
from sundog.core.statistics.power import smallest_detectable_gap, smallest_detectable_mean_gap

Key = tuple[str, tuple[str, ...]]


def halves_of_concepts(
    classes: Sequence[ClassImages],
    tags: Mapping[str, ClassTags],
    effects: Sequence[ConceptEffect],
    settings: SearchSettings,
    families: int,
) -> dict[tuple[str, str], Replication]:
    """Return class, concept -> what the halves say, for every concept that was found."""
    full: dict[Key, tuple[Direction, float]] = {
        (e.class_name, (e.concept,)): (e.direction, e.gap.value)
        for e in effects
        if e.tested and e.p_adjusted <= settings.alpha / families
    }

    def search(rows: Rows) -> Search:
        found = test_concepts(
            _part(classes, rows),
            {name: tags[name].present[rows[name]] for name in rows},
            {name: list(tags[name].names) for name in rows},
            metric=settings.metric,
            min_support=settings.min_support,
            adjustment=settings.adjustment,
            alpha=settings.alpha / families,
            permutations=settings.permutations,
            seed=settings.seed,
        )
        tests = max(sum(e.tested for e in found), 1)
        return Search(
            found={
                (e.class_name, (e.concept,)): e.direction
                for e in found
                if e.tested and e.p_adjusted <= settings.alpha / families
            },
            level=settings.alpha / families / tests,
        )

    found = _replicate(classes, tags, full, search, settings, families)
    return {(name, concepts[0]): one for (name, concepts), one in found.items()}


def halves_of_slices(
    classes: Sequence[ClassImages],
    tags: Mapping[str, ClassTags],
    effects: Sequence[SliceEffect],
    settings: SearchSettings,
    families: int,
    *,
    progress: bool | None = None,
) -> dict[Key, Replication]:
    """Return class, concepts -> what the halves say, for every combination that was found."""
    full: dict[Key, tuple[Direction, float]] = {
        (str(e.class_name), e.concepts): (e.direction, e.gap.value) for e in effects
    }

    def search(rows: Rows) -> Search:
        found = find_slices(
            _part(classes, rows),
            {name: tags[name].present[rows[name]] for name in rows},
            {name: list(tags[name].names) for name in rows},
            metric=settings.metric,
            max_tags=settings.max_tags,
            min_tags=2,
            min_support=max(2, settings.min_pop // 2),
            min_gap=settings.min_gap,
            alpha=settings.alpha / families,
            adjustment=settings.adjustment,
            minimality=settings.minimality,
            minimal_criteria=settings.minimal_criteria,
            permutations=settings.permutations,
            seed=settings.seed,
            progress=progress,
        )
        return Search(
            found={(str(e.class_name), e.concepts): e.direction for e in found.slices},
            level=settings.alpha / families / max(found.tested, 1),
        )

    return _replicate(classes, tags, full, search, settings, families)


def _replicate(
    classes: Sequence[ClassImages],
    tags: Mapping[str, ClassTags],
    full: Mapping[Key, tuple[Direction, float]],
    search: Callable[[Rows], Search],
    settings: SearchSettings,
    families: int,
) -> dict[Key, Replication]:
    if not settings.replicate or not full:
        return {}
    table = {one.name: one for one in classes}

    def inside(key: Key, rows: Rows) -> Bool[np.ndarray, "images"]:
        name, concepts = key
        places = [tags[name].names.index(concept) for concept in concepts]
        return np.asarray(tags[name].present[rows[name]][:, places].all(axis=1))

    def check(key: Hashable, direction: Direction, rows: Rows, level: float) -> HalfTest:
        asked = cast(Key, key)
        half = table[asked[0]].rows(rows[asked[0]])
        return _half(half, inside(asked, rows), direction, level, settings.metric)

    found = replicate(
        classes,
        full=cast(Mapping[Hashable, tuple[Direction, float]], full),
        search=search,
        check=check,
        alpha=settings.alpha / families,
        seed=settings.seed,
    )
    first = split_halves(classes, seed=settings.seed)
    second = {name: np.flatnonzero(~mask) for name, mask in first.items()}
    records: dict[Key, Replication] = {}
    for one in found.findings:
        key = cast(Key, one.key)
        if one.in_full:
            records[key] = replication_record(
                one,
                metric=settings.metric,
                outcome=table[key[0]].outcome(settings.metric)[second[key[0]]],
                inside=inside(key, second),
            )
    return records


def _half(
    images: ClassImages,
    inside: Bool[np.ndarray, "images"],
    direction: Direction,
    level: float,
    metric: Metric,
) -> HalfTest:
    """Test one finding on one half, one-sidedly in its direction."""
    n_present, n_absent = int(inside.sum()), int((~inside).sum())
    outcome = images.outcome(metric)
    if min(n_present, n_absent) == 0 or outcome.size < 3 or np.ptp(outcome.astype(float)) == 0:
        nothing = Estimate(math.nan, math.nan, math.nan, len(images), 0.95, "none")
        return HalfTest(
            p=math.nan,
            gap=nothing,
            smallest_detectable=math.nan,
            reason="one side of this half is empty, or its outcomes are all equal",
        )
    lower = direction == "hurts"
    if metric == "accuracy":
        detectable = smallest_detectable_gap(
            n_present,
            n_absent,
            float(outcome[~inside].mean()),
            alpha=level,
            direction="drop" if lower else "rise",
            alternative="less" if lower else "greater",
        )
    else:
        detectable = smallest_detectable_mean_gap(
            n_present, n_absent, float(outcome.std(ddof=1)), alpha=level
        )
    return HalfTest(
        p=one_sided_p(outcome, inside, ~inside, lower=lower),
        gap=gap_between(outcome, inside, groups=images.groups),
        smallest_detectable=detectable,
    )


def _part(classes: Sequence[ClassImages], rows: Rows) -> list[ClassImages]:
    return [one.rows(rows[one.name]) for one in classes]
