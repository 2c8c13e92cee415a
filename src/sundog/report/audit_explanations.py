"""Explanations in the report of an audit: which maps may be believed, controls beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sundog.core.audit.summary import AuditSummary, Explanations, MethodScore
from sundog.report import phrases
from sundog.report.audit_pictures import Shelf
from sundog.report.audit_words import clip, known, listed
from sundog.report.blocks import Gallery
from sundog.report.interval_chart import IntervalChart, IntervalRow
from sundog.report.section import Section

TITLE = "Which explanations to believe"
DRAWN, PICTURED = 24, 12


def explanations_section(summary: AuditSummary, shelf: Shelf) -> list[Section]:
    """Return the section of faithfulness, or none if nothing was explained."""
    made = summary.explanations
    if made is None or not made.scores:
        return []
    charts = [
        *_chart(made.scores, "deletion", "lower"),
        *_chart(made.scores, "insertion", "higher"),
    ]
    return [
        Section(
            title=TITLE,
            text=[
                believed(made),
                "Deletion removes the pixels that a map ranks highest, insertion brings them back: "
                "the better the map, the faster the probability falls, or rises. Control rows "
                "(grey) know nothing of the classifier.",
            ],
            charts=charts,
            galleries=_maps(made, shelf),
        )
    ]


def believed(made: Explanations) -> str:
    """Return which maps may be believed, in sentences; plainly if none may."""
    on = f" on {phrases.counted(made.images, 'image')}" if made.images else ""
    beating = [row.method for row in made.scores if row.better_than_random and not row.control]
    if not beating:
        return (
            f"No method is shown to beat a random map{on}: do not read the maps of this classifier "
            "as its reasons."
        )
    named = [method.replace("_", " ") for method in beating]
    text = (
        f"Shown to beat a random map{on}: {listed(named, most=6)} "
        f"({len(beating)} of {len(methods_of(made))} methods)."
    )
    if made.most_faithful:
        text += f" Most faithful: {clip(made.most_faithful, 60).replace('_', ' ')}."
    return text


def methods_of(made: Explanations) -> list[str]:
    """Return the methods that are no controls."""
    return [row.method for row in made.scores if not row.control]


def _maps(made: Explanations, shelf: Shelf) -> list[Gallery]:
    method = clip(made.most_faithful or next(iter(methods_of(made)), ""), 60).replace("_", " ")
    photos = [
        shelf.photo(file, words="", alt=f"Map of an image by {method}")
        for file in made.pictures[:PICTURED]
    ]
    whole = [photo for photo in photos if photo is not None]
    title = f"Maps by {method}: they propose where to look; the causal tests decide"
    return [Gallery(title, whole)] if whole else []


def _chart(scores: Sequence[MethodScore], metric: str, better: str) -> list[IntervalChart]:
    rows = [(row, known(getattr(row, metric))) for row in scores]
    rows = [(row, value) for row, value in rows if math.isfinite(value.value)]
    if not rows:
        return []
    sign = 1 if better == "lower" else -1
    rows.sort(key=lambda pair: sign * pair[1].value)
    random = next((v.value for row, v in rows if row.control and row.method == "random"), None)
    return [
        IntervalChart(
            rows=[
                IntervalRow(
                    clip(row.method.replace("_", " "), 60) + (" (control)" if row.control else ""),
                    value,
                    muted=row.control,
                    side="better" if metric == "deletion" and row.better_than_random else "",
                )
                for row, value in rows[:DRAWN]
            ],
            caption=f"Area under the {metric} curve ({better} is better), best first",
            format="decimal",
            digits=3,
            reference=random,
            reference_name="" if random is None else "mean of the random map",
            filled="shown to beat it, image by image"
            + ("" if metric == "deletion" else " (tested for deletion alone)"),
            count="images",
        )
    ]
