"""The page of a debiasing run: before and after, for whom, at what cost, and what was refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from sundog.core.statistics import Estimate
from sundog.report.before_after import before_after_figure, estimate
from sundog.report.debias_content import (
    CueCheck,
    DebiasPage,
    FrozenWindows,
    MethodResult,
    Refused,
    SamplingReport,
)
from sundog.report.debias_headline import answer
from sundog.report.debias_sections import (
    cues_section,
    epochs_section,
    frozen_section,
    groups_section,
    refused_section,
    sampling_section,
)
from sundog.report.metric_words import metric
from sundog.report.page import Page, Section
from sundog.report.phrases import share
from sundog.report.picture import Picture
from sundog.report.table import Column, Table

__all__ = [
    "CueCheck",
    "DebiasPage",
    "FrozenWindows",
    "MethodResult",
    "Refused",
    "SamplingReport",
    "debias_page",
]

FIRST = ("worst_group", "average", "gap", "flip_rate")
REST = ("worst_class", "balanced", "precision", "recall", "ece", "seconds")


def debias_page(content: DebiasPage) -> Page:
    """Build the page; see :class:`DebiasPage` for what goes in.

    Args:
        content: numbers and words.

    Returns:
        The answer first, then before and after, groups, other cues, what was refused, weights,
        frozen windows, epochs, selection, settings, limits.

    Raises:
        InputError: a chosen method that was not run, or frozen windows that do not match.
    """
    said = answer(content)
    rows = [content.baseline, *content.methods]
    sections = [
        *_before_after(content, rows),
        *groups_section(content),
        cues_section(content),
        *refused_section(content.refused),
        *[sampling_section(report) for report in content.sampling],
        *[frozen_section(frozen, content.baseline.name) for frozen in content.frozen],
        *epochs_section(content.epochs),
        _methods(content, rows),
        Section(
            title="Limits",
            text=[
                "What was repaired is the reliance on what was known: a cue that nobody named may "
                "have taken its place. The numbers hold for held-out images of this kind.",
                "Intervals over a handful of trainings are wide; a difference whose paired "
                "interval holds zero is not shown, however large it looks.",
            ],
            notes=list(content.notes),
        ),
        Section(title="Settings", facts=content.facts or {"baseline": content.baseline.name}),
        Section(title="How to reproduce", code=content.command or "see manifest.json"),
    ]
    return Page(
        title=content.title,
        headline=said.headline,
        tone=said.tone,
        word=said.word,
        lead=said.lead,
        sections=sections,
        footer=content.footer,
    )


def _before_after(content: DebiasPage, rows: Sequence[MethodResult]) -> list[Section]:
    known = list(dict.fromkeys(name for row in rows for name in row.scores))
    order = [name for name in (*FIRST, *REST) if name in known]
    order += [name for name in known if name not in order]
    first = [name for name in order if name in FIRST] or order[:4]
    rest = [name for name in order if name not in first]
    tables = []
    for names in (first, rest):
        if names:
            tables.append(_scores(rows, names, content.chosen, first=names is first))
        changed = [
            n for n in names if n != "seconds" and any(n in m.change for m in content.methods)
        ]
        if changed:
            tables.append(_changes(content.methods, changed))
    pictures = []
    if content.methods and any(name in content.baseline.scores for name in first):
        before = estimate(content.baseline.scores.get("worst_group", math.nan))
        best = "; ".join(
            f"{row.name} {share(row.scores['worst_group'])}"
            for row in content.methods[:8]
            if "worst_group" in row.scores
        )
        pictures.append(
            Picture(
                before_after_figure(
                    content.baseline, content.methods, metrics=first, chosen=content.chosen
                ),
                "From before (vertical line) to after (dot), for each method and metric.",
                f"Worst group before: {share(before)}; after: {best or 'not known'}.",
                "chart",
            )
        )
    drawn = [Section(title="Before and after", pictures=pictures)] if pictures else []
    return [*drawn, Section(title="Before and after in numbers", tables=tables)]


def _scores(
    rows: Sequence[MethodResult], names: Sequence[str], chosen: str, *, first: bool
) -> Table:
    frame = pd.DataFrame(
        [
            {
                "method": _title(row, rows[0], chosen),
                **{name: row.scores.get(name, math.nan) for name in names},
            }
            for row in rows
        ]
    )
    seeds = sorted({row.seeds for row in rows})
    over = f"{' or '.join(map(str, seeds))} seed{'' if seeds == [1] else 's'}"
    caption = (
        f"Held-out scores; intervals over {over}."
        if first
        else f"What else changed, and what it cost; intervals over {over}."
    )
    return Table(
        frame=frame,
        caption=caption,
        columns={name: metric(name).column() for name in names},
        muted=[row is rows[0] for row in rows],
    )


def _title(row: MethodResult, baseline: MethodResult, chosen: str) -> str:
    if row is baseline:
        return row.name if row.name == "before" else f"{row.name} (before)"
    return f"★ {row.name} (kept)" if row.name == chosen else row.name


def _changes(methods: Sequence[MethodResult], names: Sequence[str]) -> Table:
    nothing = Estimate(math.nan, math.nan, math.nan, 0, 0.95, "")
    frame = pd.DataFrame(
        [
            {"method": row.name, **{n: row.change.get(n, nothing) for n in names}}
            for row in methods
            if any(n in row.change for n in names)
        ]
    )
    return Table(
        frame=frame,
        caption="Change against before, paired over the same seeds and images (points where it is "
        "a share): an interval that leaves zero out is a change.",
        columns={name: metric(name).change() for name in names},
    )


def _methods(content: DebiasPage, rows: Sequence[MethodResult]) -> Section:
    frame = pd.DataFrame(
        [
            {
                "method": row.name,
                "told": ", ".join(need.replace("_", " ") for need in row.needs) or "nothing",
                "seeds": row.seeds,
                "source": row.source or "–",
                "note": row.note or "–",
            }
            for row in rows
        ]
    )
    frame = frame.drop(columns=[c for c in ("source", "note") if (frame[c] == "–").all()])
    return Section(
        title="How the methods were run and selected",
        text=[
            f"Selected by: {content.selection}"
            if content.selection
            else "It is not recorded what the methods were selected by."
        ],
        tables=[
            Table(
                frame,
                "What each model had to be told; a seed is one training or refit.",
                {"told": Column("had to be told"), "seeds": Column(format="integer")},
            )
        ],
    )
