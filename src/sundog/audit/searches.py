"""All searches of one inspection under one bound: one concept, several, all classes, rankings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from sundog.audit.finding_records import (
    across_finding,
    hidden_finding,
    number,
    rank_findings,
    slice_finding,
)
from sundog.audit.halves import halves_of_concepts, halves_of_rankings, halves_of_slices
from sundog.audit.search_settings import SearchSettings
from sundog.audit.vocabulary import ClassTags
from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices
from sundog.bias.complex_result import SliceSearch
from sundog.bias.hidden import ConceptEffect, test_concepts, test_rankings
from sundog.bias.hidden_adjust import corrected_level
from sundog.bias.hidden_effect import detectable
from sundog.bias.strata import pooled_slices
from sundog.core.inspection.finding import Finding, finding_id
from sundog.core.inspection.query import ClassSummary
from sundog.core.statistics import wilson_interval

POWER = 0.8
Rankings = Mapping[str, Mapping[str, Float[np.ndarray, "images"]]]
CIRCULAR = (
    "A neuron raises the class's logit by construction; look at its images, the gap is no evidence."
)
"""Said of every ranking by the classifier's own features."""


@dataclass(frozen=True, eq=False)
class Searched:
    """What all searches found.

    Attributes:
        findings: every single concept that was looked at, and the combinations that were kept, in
            order: significant first.
        classes: one summary per class.
        notes: what a reader must know.
    """

    findings: tuple[Finding, ...]
    classes: tuple[ClassSummary, ...]
    notes: tuple[str, ...] = ()

    def significant(self) -> tuple[Finding, ...]:
        """Return the significant findings."""
        return tuple(f for f in self.findings if f.significant)


@dataclass(eq=False)
class _Found:
    """Findings and tests of the searches so far."""

    findings: list[Finding] = field(default_factory=list)
    tests: dict[str, int] = field(default_factory=dict)
    smallest: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, class_name: str, tests: int) -> None:
        self.tests[class_name] = self.tests.get(class_name, 0) + tests

    def see(self, class_name: str, gap: float) -> None:
        """Remember the gap that the most sensitive of the searches shows, of half the class."""
        if not math.isnan(gap):
            self.smallest[class_name] = min(gap, self.smallest.get(class_name, gap))


def search_biases(
    classes: Sequence[ClassImages],
    tags: Mapping[str, ClassTags],
    settings: SearchSettings,
    *,
    across: Mapping[str, ClassTags] | None = None,
    rankings: Rankings | None = None,
    circular: bool = False,
    hidden: bool = True,
    progress: bool | None = None,
) -> Searched:
    """Run every search that the settings ask for, under one bound on false findings.

    Each search corrects for all its classes and concepts; where k searches run, their adjusted
    p-values are multiplied by k, so that ``alpha`` holds for the inspection as a whole. Circular
    rankings are told but are no search: none of them can be significant.

    Args:
        classes: the images of each class.
        tags: class -> tags; may be empty if only rankings are tested.
        settings: how to search.
        across: class -> the same tags for every class, for the search over all classes.
        rankings: class -> concept -> score per image, of a sorter.
        circular: whether the rankings are the classifier's own features, chosen because they raise
            the logit of the class.
        hidden: False leaves out the search for single concepts.
        progress: None shows it on a terminal.
    """
    several = settings.max_tags > 1
    tagged = any(len(found.names) for found in tags.values())
    pooled = settings.across and bool(across) and sum(len(c) > 0 for c in classes) > 1
    tested = rankings is not None and not circular
    families = max(1, (hidden and tagged) + (several and tagged) + (pooled and tagged) + tested)
    if settings.adjustment == "none":
        families = 1
    found = _Found()
    slices: SliceSearch | None = None
    if tagged and several:
        slices = _combinations(found, classes, tags, settings, families, progress)
    if tagged and hidden:
        _singles(found, classes, tags, settings, families, slices)
    if tagged and pooled and across:
        _across(found, classes, across, settings, families, progress)
    if rankings is not None:
        _rankings(found, classes, rankings, settings, families, circular)
    if families > 1:
        found.notes.append(
            f"{families} searches share the bound of {settings.alpha:g}: adjusted p-values are "
            f"multiplied by {families}."
        )
    findings = rank_findings(found.findings)
    return Searched(
        findings=findings,
        classes=tuple(_summary(one, tags.get(one.name), findings, found) for one in classes),
        notes=tuple(dict.fromkeys(found.notes)),
    )


def _singles(
    found: _Found,
    classes: Sequence[ClassImages],
    tags: Mapping[str, ClassTags],
    settings: SearchSettings,
    families: int,
    slices: SliceSearch | None,
) -> None:
    present = {name: table.present for name, table in tags.items()}
    names = {name: list(table.names) for name, table in tags.items()}

    effects = test_concepts(
        classes,
        present,
        names,
        metric=settings.metric,
        min_support=settings.min_support,
        adjustment=settings.adjustment,
        alpha=settings.alpha / families,
        permutations=settings.permutations,
        seed=settings.seed,
    )
    again = halves_of_concepts(classes, tags, effects, settings, families)
    weaker = _explained(_slices(classes, tags, settings, families, max_tags=1))
    if slices is not None:
        weaker |= _explained(slices)
    tests = sum(effect.tested for effect in effects)
    _count(found, classes, effects, settings, families)
    for effect in effects:
        same = tags[effect.class_name].same.get(effect.concept, ())
        key = (effect.class_name, effect.concept)
        found.findings.append(
            hidden_finding(
                effect,
                alpha=settings.alpha,
                min_gap=settings.min_hidden_gap,
                families=families,
                adjustment=settings.adjustment,
                tests=tests,
                replication=again.get((effect.class_name, (effect.concept,))),
                explained_by=weaker.get(key, ()),
                note=_same(same),
            )
        )


def _combinations(
    found: _Found,
    classes: Sequence[ClassImages],
    tags: Mapping[str, ClassTags],
    settings: SearchSettings,
    families: int,
    progress: bool | None,
) -> SliceSearch:
    search = _slices(
        classes, tags, settings, families, max_tags=settings.max_tags, progress=progress
    )
    found.notes += search.notes
    for row in search.classes:
        found.count(row.name, row.tested)
        found.see(row.name, row.smallest_detectable)
        if row.reason:
            found.reasons[row.name] = row.reason
    several = [one for one in search.slices if len(one.concepts) > 1 and not one.explained_by]
    other = sum(len(one.concepts) > 1 for one in search.slices) - len(several)
    if other:
        found.notes.append(
            f"{other} combinations are not listed: outside of the images of a stronger finding "
            "their gaps are no longer seen."
        )
    again = halves_of_slices(classes, tags, several, settings, families, progress=progress)
    for effect in several:
        name = str(effect.class_name)
        same = [_same(tags[name].same.get(c, ()), c) for c in effect.concepts]
        found.findings.append(
            slice_finding(
                effect,
                families=families,
                adjustment=settings.adjustment,
                tests=search.tested,
                replication=again.get((name, effect.concepts)),
                note=" ".join(part for part in same if part),
            )
        )
    return search


def _slices(
    classes: Sequence[ClassImages],
    tags: Mapping[str, ClassTags],
    settings: SearchSettings,
    families: int,
    *,
    max_tags: int,
    progress: bool | None = None,
) -> SliceSearch:
    alone = max_tags == 1
    return find_slices(
        classes,
        {name: table.present for name, table in tags.items()},
        {name: list(table.names) for name, table in tags.items()},
        metric=settings.metric,
        max_tags=max_tags,
        min_support=settings.min_support if alone else settings.min_pop,
        min_gap=settings.min_hidden_gap if alone else settings.min_gap,
        alpha=settings.alpha / families,
        adjustment=settings.adjustment,
        minimality="noise" if alone else settings.minimality,
        minimal_criteria=None if alone else settings.minimal_criteria,
        permutations=settings.permutations,
        seed=settings.seed,
        progress=progress,
    )


def _across(
    found: _Found,
    classes: Sequence[ClassImages],
    across: Mapping[str, ClassTags],
    settings: SearchSettings,
    families: int,
    progress: bool | None,
) -> None:
    names = next(iter(across.values())).names
    search = pooled_slices(
        classes,
        {name: table.present for name, table in across.items()},
        list(names),
        metric=settings.metric,
        max_tags=1,
        min_support=settings.min_pop,
        min_gap=settings.min_hidden_gap,
        alpha=settings.alpha / families,
        adjustment=settings.adjustment,
        permutations=settings.permutations,
        seed=settings.seed,
        progress=progress,
    )
    found.findings += [
        across_finding(one, families=families, adjustment=settings.adjustment, tests=search.tested)
        for one in search.slices
        if len(one.classes) > 1
    ]


def _rankings(
    found: _Found,
    classes: Sequence[ClassImages],
    rankings: Rankings,
    settings: SearchSettings,
    families: int,
    circular: bool,
) -> None:
    ranked = [one for one in classes if one.name in rankings]
    effects = test_rankings(
        ranked,
        {one.name: rankings[one.name] for one in ranked},
        metric=settings.metric,
        top_k=settings.top_k,
        min_support=settings.min_support,
        adjustment=settings.adjustment,
        alpha=settings.alpha / families,
        permutations=settings.permutations,
        seed=settings.seed,
    )
    if not circular:
        _count(found, ranked, effects, settings, families)
    tests = sum(effect.tested for effect in effects)
    again = {} if circular else halves_of_rankings(ranked, rankings, effects, settings, families)
    taken = {finding.id for finding in found.findings}
    for effect in effects:
        finding = hidden_finding(
            effect,
            alpha=settings.alpha,
            min_gap=0.0,
            families=families,
            adjustment=settings.adjustment,
            tests=tests,
            replication=again.get((effect.class_name, (effect.concept,))),
            note=CIRCULAR if circular else "",
            ranked=True,
        )
        if circular:
            finding = finding.model_copy(update={"significant": False, "p_adjusted": None})
        if finding.id in taken:  # the same words as a tag: told apart by the sorter
            concept = (f"{effect.concept} (ranked)",)
            new_id = finding_id("hidden", effect.class_name, concept, effect.metric)
            finding = finding.model_copy(update={"id": new_id})
        found.findings.append(finding)


def _count(
    found: _Found,
    classes: Sequence[ClassImages],
    effects: Sequence[ConceptEffect],
    settings: SearchSettings,
    families: int,
) -> None:
    """Add up the tests of each class, and what they could have shown."""
    tests = sum(effect.tested for effect in effects)
    level = corrected_level(settings.alpha / families, tests=tests, adjustment=settings.adjustment)
    reasons: dict[str, str] = {}
    tested: set[str] = set()
    for effect in effects:
        found.count(effect.class_name, int(effect.tested))
        if effect.tested:
            reasons[effect.class_name] = ""
            tested.add(effect.class_name)
        else:
            reasons.setdefault(effect.class_name, effect.reason)
    for one in classes:
        if one.name in tested:
            half = np.arange(len(one)) < len(one) // 2
            found.see(
                one.name, detectable(one, half, metric=settings.metric, alpha=level, power=POWER)
            )
    found.reasons.update({name: why for name, why in reasons.items() if why})


def _summary(
    images: ClassImages,
    tags: ClassTags | None,
    findings: Sequence[Finding],
    found: _Found,
) -> ClassSummary:
    n = len(images)
    share = wilson_interval(int(images.correct.sum()), n)
    tests = found.tests.get(images.name, 0)
    note = "" if tests else found.reasons.get(images.name, "no concept could be tested")
    return ClassSummary(
        name=images.name,
        n=n,
        accuracy=number(share.value),
        low=number(share.low),
        high=number(share.high),
        concepts=0 if tags is None else len(tags.names),
        tests=tests,
        findings=sum(f.significant and f.class_name == images.name for f in findings),
        smallest_detectable=found.smallest.get(images.name),
        note=note,
    )


def _explained(slices: SliceSearch) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return (class, concept) -> the concepts of the finding that accounts for it."""
    return {
        (str(one.class_name), one.concepts[0]): one.explained_by
        for one in slices.slices
        if len(one.concepts) == 1 and one.explained_by is not None
    }


def _same(others: Sequence[str], concept: str = "") -> str:
    if not others:
        return ""
    subject = f"'{concept}' is on the same images" if concept else "On the same images"
    return f"{subject} of this class as: {', '.join(others)}."
