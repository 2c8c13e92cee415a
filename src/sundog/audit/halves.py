"""Findings on halves of the data: searched for again on one, measured on the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import cast

import numpy as np
from jaxtyping import Bool, Float

from sundog.audit.finding_records import replication_record
from sundog.audit.search_settings import SearchSettings
from sundog.audit.vocabulary import ClassTags
from sundog.bias.class_images import ClassImages, Metric
from sundog.bias.complex import find_slices
from sundog.bias.complex_contrast import gap_between, one_sided_p
from sundog.bias.hidden import ConceptEffect
from sundog.bias.hidden_replication import replicate_concepts, replicate_rankings
from sundog.bias.replication import (
    Direction,
    HalfLook,
    Rows,
    Search,
    replicate,
    split_halves,
)
from sundog.bias.replication import (
    Replication as Halves,
)
from sundog.bias.slice_effects import SliceEffect
from sundog.core.inspection.finding import Replication
from sundog.core.statistics import Estimate
from sundog.core.statistics.power import smallest_detectable_gap, smallest_detectable_mean_gap

Key = tuple[str, tuple[str, ...]]
_Inside = Callable[[Key], Bool[np.ndarray, "images"]]
Scores = Mapping[str, Mapping[str, Float[np.ndarray, "images"]]]


def halves_of_concepts(
    classes: Sequence[ClassImages],
    tags: Mapping[str, ClassTags],
    effects: Sequence[ConceptEffect],
    settings: SearchSettings,
    families: int,
) -> dict[Key, Replication]:
    """Return (class, (concept,)) -> what the halves say, for every concept that was found."""
    alpha = settings.alpha / families
    if not settings.replicate or not any(e.tested and e.p_adjusted <= alpha for e in effects):
        return {}
    halves = replicate_concepts(
        effects,
        classes,
        {name: table.present for name, table in tags.items()},
        {name: list(table.names) for name, table in tags.items()},
        metric=settings.metric,
        min_support=settings.min_support,
        adjustment=settings.adjustment,
        alpha=alpha,
        permutations=settings.permutations,
        seed=settings.seed,
    )

    def inside(key: Key) -> Bool[np.ndarray, "images"]:
        return tags[key[0]].present[:, tags[key[0]].names.index(key[1][0])]

    return _records(halves, classes, settings, inside)


def halves_of_rankings(
    classes: Sequence[ClassImages],
    scores: Scores,
    effects: Sequence[ConceptEffect],
    settings: SearchSettings,
    families: int,
) -> dict[Key, Replication]:
    """Return (class, (concept,)) -> what the halves say, for every ranking that was found."""
    alpha = settings.alpha / families
    if not settings.replicate or not any(e.tested and e.p_adjusted <= alpha for e in effects):
        return {}
    halves = replicate_rankings(
        effects,
        classes,
        scores,
        metric=settings.metric,
        top_k=settings.top_k,
        min_support=settings.min_support,
        adjustment=settings.adjustment,
        alpha=alpha,
        permutations=settings.permutations,
        seed=settings.seed,
    )

    def inside(key: Key) -> Bool[np.ndarray, "images"]:
        values = np.asarray(scores[key[0]][key[1][0]], dtype=np.float64)
        return values > np.nanmedian(values)

    return _records(halves, classes, settings, inside)


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
    if not settings.replicate or not effects:
        return {}
    table = {one.name: one for one in classes}
    alpha = settings.alpha / families

    def inside(key: Key) -> Bool[np.ndarray, "images"]:
        name, concepts = key
        places = [tags[name].names.index(concept) for concept in concepts]
        return np.asarray(tags[name].present[:, places].all(axis=1))

    def search(rows: Rows) -> Search:
        found = find_slices(
            [one.rows(rows[one.name]) for one in classes],
            {name: tags[name].present[rows[name]] for name in rows},
            {name: list(tags[name].names) for name in rows},
            metric=settings.metric,
            max_tags=settings.max_tags,
            min_tags=2,
            min_support=max(2, settings.min_pop // 2),
            min_gap=settings.min_gap,
            alpha=alpha,
            adjustment=settings.adjustment,
            minimality=settings.minimality,
            minimal_criteria=settings.minimal_criteria,
            permutations=settings.permutations,
            seed=settings.seed,
            progress=progress,
        )
        return Search(
            found={
                (str(e.class_name), e.concepts): (e.direction, e.gap.value) for e in found.slices
            },
            level=alpha / max(found.tested, 1),
        )

    def look(key: Hashable, direction: Direction, rows: Rows, level: float) -> HalfLook:
        asked = cast(Key, key)
        part = rows[asked[0]]
        return _look(
            table[asked[0]].rows(part), inside(asked)[part], direction, level, settings.metric
        )

    def p_value(key: Hashable, direction: Direction, rows: Rows) -> float:
        asked = cast(Key, key)
        part = rows[asked[0]]
        having = inside(asked)[part]
        outcome = table[asked[0]].outcome(settings.metric)[part]
        return one_sided_p(outcome, having, ~having, lower=direction == "hurts")

    full: dict[Hashable, tuple[Direction, float]] = {
        (str(e.class_name), e.concepts): (e.direction, e.gap.value) for e in effects
    }
    halves = replicate(
        classes,
        full=full,
        search=search,
        look=look,
        p_value=p_value,
        alpha=alpha,
        seed=settings.seed,
    )
    return _records(halves, classes, settings, inside)


def _records(
    halves: Halves, classes: Sequence[ClassImages], settings: SearchSettings, inside: _Inside
) -> dict[Key, Replication]:
    """Return the records of the findings of the full data."""
    table = {one.name: one for one in classes}
    first = split_halves(classes, seed=settings.seed)
    records: dict[Key, Replication] = {}
    for one in halves.findings:
        if not one.in_full:
            continue
        name, given = cast(tuple[str, str | tuple[str, ...]], one.key)
        key: Key = (name, (given,) if isinstance(given, str) else given)
        second = ~first[name]
        records[key] = replication_record(
            one,
            metric=settings.metric,
            outcome=table[name].outcome(settings.metric)[second],
            inside=inside(key)[second],
        )
    return records


def _look(
    images: ClassImages,
    inside: Bool[np.ndarray, "images"],
    direction: Direction,
    level: float,
    metric: Metric,
) -> HalfLook:
    """Return the gap of one half, and the smallest that it would have shown."""
    n_present, n_absent = int(inside.sum()), int((~inside).sum())
    outcome = images.outcome(metric)
    if min(n_present, n_absent) == 0 or outcome.size < 3 or np.ptp(outcome.astype(float)) == 0:
        return HalfLook(
            gap=Estimate(math.nan, math.nan, math.nan, len(images), 0.95, "none"),
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
    return HalfLook(
        gap=gap_between(outcome, inside, groups=images.groups), smallest_detectable=detectable
    )
