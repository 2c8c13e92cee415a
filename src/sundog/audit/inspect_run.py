"""``sundog inspect``: which named concepts, alone or together, make a classifier fail or cheat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sundog.audit.audit_pass import ImagePass
from sundog.audit.evidence import check_overlay
from sundog.audit.observed import (
    Observed,
    check_classes,
    choose_classes,
    observe,
    observed_of,
)
from sundog.audit.query_files import keep_for_review, with_evidence, write_query
from sundog.audit.rankings import Concepts, rank_images
from sundog.audit.results_run import write_results
from sundog.audit.search_settings import SearchSettings
from sundog.audit.searches import Rankings, Searched, search_biases
from sundog.audit.subject import Subject
from sundog.audit.taggers import (
    DEFAULT_TAGGERS,
    is_circular,
    make_sorter,
    make_taggers,
    sorter_notes,
)
from sundog.audit.vocabulary import ClassTags, class_tags, shared_tags
from sundog.concepts.sorter import Sorter
from sundog.concepts.tag_images import tag_images
from sundog.concepts.tag_scores import TagScores
from sundog.concepts.tagger import Tagger
from sundog.core.errors import InputError
from sundog.core.inspection.query import Query
from sundog.core.inspection.results import Results
from sundog.core.run_folder import RunFolder
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page

NO_SETTINGS = SearchSettings()


@dataclass(frozen=True, eq=False, repr=False)
class InspectRun(PageInNotebook):
    """What :func:`inspect_images` wrote.

    Attributes:
        path: the run folder; ``sundog review`` and ``sundog results`` take it.
        page: the HTML page.
        content: what the page says.
        query: the findings that are put before a person, with their evidence.
        results: the findings joined with the verdicts given so far.
        searched: every concept that was looked at, also those without a finding.
        observed: the predictions.
        scores: of the taggers.
    """

    path: Path
    page: Path
    content: Page
    query: Query
    results: Results
    searched: Searched
    observed: Observed
    scores: TagScores | None


@dataclass(frozen=True, eq=False)
class Looked:
    """What the concepts of an inspection are, for the images of each class.

    Attributes:
        classes: names of the classes that are looked at.
        scores: of the taggers, for every image; None without a tagger.
        tags: class -> tags.
        across: class -> the same tags for every class, for tests over all classes.
        rankings: class -> concept -> score per image, which are tested; None without a sorter.
        ranked: class -> tag -> score per image of a sorter beside a tagger, which orders images.
        notes: what was left out.
        names: of taggers and sorters.
        fingerprints: of each.
        circular: whether the rankings are the features from which the classifier itself decides.
    """

    classes: tuple[str, ...]
    scores: TagScores | None
    tags: Mapping[str, ClassTags]
    across: Mapping[str, ClassTags]
    rankings: Rankings | None
    ranked: Rankings | None
    notes: tuple[str, ...]
    names: tuple[str, ...]
    fingerprints: Mapping[str, str]
    circular: bool = False


def inspect_images(
    subject: Subject,
    out_dir: str | Path,
    *,
    taggers: str | Sequence[str | Tagger] = DEFAULT_TAGGERS,
    sorter: str | Sorter | None = None,
    concepts: Concepts | None = None,
    settings: SearchSettings = NO_SETTINGS,
    classes: Sequence[str] | None = None,
    sample: int = 12,
    candidates: int = 0,
    overlay: str | None = "auto",
    cache: str | Path | None = None,
    passed: ImagePass | None = None,
    progress: bool | None = None,
    command: str = "",
) -> InspectRun:
    """Tag the images, search for biases, and write what a person needs to judge them.

    Predicts and tags every image once; compares, inside each class, images with a concept with
    those without it, for single concepts, combinations and over all classes; corrects for
    everything that was looked at; draws the images behind each finding.

    Args:
        subject: labelled images and the classifier.
        out_dir: run folder; an interrupted run goes on where it stopped.
        taggers: names with parameters, or taggers.
        sorter: ranks images by ``concepts``; None = no ranking.
        concepts: for the sorter: a list for every class, or class -> list; None: those that the
            sorter itself proposes.
        settings: of the search.
        classes: names of the classes to look at; None = all that have images.
        sample: images of each random sample shown with a finding.
        candidates: concepts per class that are put before a person though not significant.
        overlay: attribution method of the overlays, ``auto`` or ``none``.
        cache: folder of tag scores that several runs share; the run's own if None.
        passed: predictions and tags of these images, if they are there already: then no image is
            predicted or tagged again, and ``taggers`` is not read.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.

    Raises:
        SundogError: bad input, in plain words, before anything is computed where possible.
    """
    if sample < 0 or candidates < 0:
        raise InputError("sample and candidates", expected=">= 0", got=f"{sample}, {candidates}")
    made, notes = ([], list(passed.notes)) if passed else make_taggers(taggers, subject)
    ranker = make_sorter(sorter, subject)
    if concepts is not None and ranker is None:
        raise InputError(
            "concepts",
            expected="given with a sorter that ranks images by them",
            got="no sorter",
            hint="Add --sorter conse, or name tags with a csv tagger.",
        )
    check_classes(subject, classes)
    check_overlay(overlay)
    settings = _criteria(settings)
    arguments = {
        "taggers": _names(made, None if passed is None else passed.scores),
        "sorter": None if ranker is None else ranker.name,
        "concepts": _plain(concepts),
        "classes": None if classes is None else list(classes),
        "size": list(subject.size),
        "resize": subject.resize,
        "batch_size": subject.batch_size,
    }
    with RunFolder.open(
        out_dir,
        kind="inspect",
        arguments=arguments,
        seeds={"seed": settings.seed},
        **subject.fingerprints(),
    ) as folder:
        if passed is None:
            observed = observe(subject, folder, progress=progress)
        else:
            observed = observed_of(subject, passed.table)
        looked = look(
            subject,
            observed,
            taggers=made,
            scores=None if passed is None else passed.scores,
            sorter=ranker,
            concepts=concepts,
            classes=choose_classes(observed, classes),
            settings=settings,
            cache=Path(cache) if cache is not None else folder.path / "cells" / "scores",
            progress=progress,
        )
        searched = search_biases(
            observed.classes(looked.classes),
            looked.tags,
            settings,
            across=looked.across,
            rankings=looked.rankings,
            circular=looked.circular,
            progress=progress,
        )
        query = write_query(
            folder,
            subject=subject,
            observed=observed,
            looked=looked,
            searched=searched,
            findings=with_evidence(
                keep_for_review(searched.findings, candidates),
                observed=observed,
                looked=looked,
                top_k=settings.top_k,
                sample=sample,
                seed=settings.seed,
            ),
            settings=settings,
            notes=notes,
            overlay=overlay,
            progress=progress,
        )
        done = write_results(folder.path, command=command)
        folder.finish()
    return InspectRun(
        path=folder.path,
        page=done.page,
        content=done.content,
        query=query,
        results=done.results,
        searched=searched,
        observed=observed,
        scores=looked.scores,
    )


def look(
    subject: Subject,
    observed: Observed,
    *,
    taggers: Sequence[Tagger],
    sorter: Sorter | None,
    concepts: Concepts | None,
    classes: tuple[str, ...],
    settings: SearchSettings,
    cache: Path | None,
    scores: TagScores | None = None,
    tags_only: Mapping[str, Sequence[str]] | None = None,
    workers: int = 2,
    progress: bool | None = None,
) -> Looked:
    """Score all images for all concepts.

    Args:
        subject: images and classifier.
        observed: predictions.
        taggers: may be none, if there is a sorter.
        sorter: may be None, if there is a tagger.
        concepts: for the sorter.
        classes: to look at.
        settings: for the smallest support of a tag.
        cache: folder of scores, or None.
        scores: of taggers, if they are there already.
        tags_only: class -> tags to look at; None = all.
        workers: threads that decode.
        progress: None shows it on a terminal.
    """
    tags: dict[str, ClassTags] = {}
    across: dict[str, ClassTags] = {}
    notes: list[str] = []
    fingerprints: dict[str, str] = {}
    names = _names(taggers, scores)
    if taggers:
        scores = tag_images(
            subject.image_set,
            taggers,
            cache=cache,
            batch_size=subject.batch_size,
            workers=workers,
            seed=settings.seed,
            progress=progress,
        )
    if scores is not None:
        fingerprints["tags"] = scores.identity
        notes += scores.notes
        tags = class_tags(
            scores,
            observed,
            classes,
            only=tags_only,
            min_support=min(settings.min_support, settings.min_pop),
        )
        across = shared_tags(scores, observed, classes, min_support=settings.min_pop)
        notes += [*_unknown(scores), *_useless(scores, tags)]
    rankings = None
    if sorter is not None:
        ranked = rank_images(
            subject,
            observed,
            sorter,
            concepts,
            classes,
            cache=cache,
            workers=workers,
            progress=progress,
        )
        rankings = ranked.scores
        names.append(sorter.name)
        notes += [*ranked.notes, *sorter_notes(sorter, subject)]
        fingerprints["ranking"] = ranked.identity
    return Looked(
        classes=classes,
        scores=scores,
        tags=tags,
        across=across,
        rankings=rankings,
        ranked=None,
        notes=tuple(notes),
        names=tuple(dict.fromkeys(names)),
        fingerprints=fingerprints,
        circular=is_circular(sorter, subject),
    )


def _unknown(scores: TagScores) -> list[str]:
    """Return a note on tags that are not known for some images."""
    some = [
        f"{name} ({int(count)})"
        for name, count in zip(scores.names, scores.unknown, strict=True)
        if count
    ]
    if not some:
        return []
    listed = ", ".join(some[:5]) + (f" and {len(some) - 5} more" if some[5:] else "")
    return [f"Tags that are not known for every image count as absent there: {listed}."]


def _useless(scores: TagScores, tags: Mapping[str, ClassTags]) -> list[str]:
    """Return a note on tags that could be compared in no class."""
    used = {name for table in tags.values() for name in table.names}
    used |= {other for table in tags.values() for same in table.same.values() for other in same}
    unused = [n for n in scores.names if n not in used and f"not {n}" not in used]
    if not unused:
        return []
    listed = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if unused[5:] else "")
    return [
        f"{len(unused)} of {len(scores.names)} tags could be compared in no class: too few images "
        f"carry or lack them ({listed})."
    ]


def _criteria(settings: SearchSettings) -> SearchSettings:
    """Thresholds without a rule that uses them mean the rule they were made for."""
    if settings.minimal_criteria is not None and settings.minimality in ("noise", "none"):
        return replace(settings, minimality="recursive")
    return settings


def _names(taggers: Sequence[Tagger], scores: TagScores | None) -> list[str]:
    """Return the names of taggers, or of those whose scores are there."""
    if taggers or scores is None:
        return [tagger.name for tagger in taggers]
    return scores.tagger.split(" + ")


def _plain(concepts: Concepts | None) -> object:
    if concepts is None:
        return None
    if isinstance(concepts, Mapping):
        return {name: list(given) for name, given in concepts.items()}
    return list(concepts)
