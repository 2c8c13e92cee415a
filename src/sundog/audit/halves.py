"""Findings on halves of the data: searched for again on one, measured on the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import cast

import numpy as np
from jaxtyping import Bool, Float

from sundog.audit.finding_records import replication_record
from sundog.audit.search_settings import SearchSettings
from sundog.audit.vocabulary import ClassTags
from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices
from sundog.bias.hidden import ConceptEffect
from sundog.bias.hidden_adjust import corrected_level
from sundog.bias.hidden_effect import upper_half
from sundog.bias.hidden_replication import (
    half_look,
    half_p_value,
    replicate_concepts,
    replicate_rankings,
)
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

Key = tuple[str, tuple[str, ...]]
Mask = Bool[np.ndarray, "images"]
_Sides = Callable[[Key, Mask], tuple[Mask, Mask]]
"""Finding and half -> which images of the class count, and which of these have the concept(s)."""
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

    def sides(key: Key, half: Mask) -> tuple[Mask, Mask]:
        table = tags[key[0]]
        return half, table.present[half, table.names.index(key[1][0])]

    return _records(halves, classes, settings, sides)


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

    def sides(key: Key, half: Mask) -> tuple[Mask, Mask]:
        values = np.asarray(scores[key[0]][key[1][0]], dtype=np.float64)
        counted = half & ~np.isnan(values)
        return counted, upper_half(values[counted])

    return _records(halves, classes, settings, sides)


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

    def inside(key: Key) -> Mask:
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
            level=corrected_level(alpha, tests=found.tested, adjustment=settings.adjustment),
        )

    def half(key: Hashable, rows: Rows) -> tuple[ClassImages, Mask]:
        asked = cast(Key, key)
        part = rows[asked[0]]
        return table[asked[0]].rows(part), inside(asked)[part]

    def look(key: Hashable, direction: Direction, rows: Rows, level: float) -> HalfLook:
        return half_look(
            *half(key, rows), direction, metric=settings.metric, min_support=2, alpha=level
        )

    def p_value(key: Hashable, direction: Direction, rows: Rows) -> float:
        return half_p_value(*half(key, rows), direction, metric=settings.metric, seed=settings.seed)

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

    def sides(key: Key, chosen: Mask) -> tuple[Mask, Mask]:
        return chosen, inside(key)[chosen]

    return _records(halves, classes, settings, sides)


def _records(
    halves: Halves, classes: Sequence[ClassImages], settings: SearchSettings, sides: _Sides
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
        counted, inside = sides(key, ~first[name])
        records[key] = replication_record(
            one,
            metric=settings.metric,
            outcome=table[name].outcome(settings.metric)[counted],
            inside=inside,
        )
    return records
