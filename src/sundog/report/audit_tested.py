"""What an audit tested and did not find, and how large a bias could have gone unseen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sundog.core.audit.cues import CueTest
from sundog.core.audit.summary import AuditSummary
from sundog.report import phrases
from sundog.report.audit_words import bare_points, clip, known, sentence
from sundog.report.section import Section
from sundog.report.table import Column, Table

TITLE = "Tested and not found"
ROWS = 200


def tested_section(summary: AuditSummary) -> list[Section]:
    """Return the section of what was not found; always there."""
    return [
        Section(
            title=TITLE,
            text=[
                "Not finding something is worth as much as the smallest effect that would have "
                "been seen. Anything smaller, and any concept or cue that nothing here could name, "
                "may still be there.",
                concepts_unseen(summary),
                cues_unseen(summary),
            ],
            parts=[*_classes(summary), *_cues(summary.cue_tests)],
            notes=[sentence(clip(note, 400)) for note in summary.cue_notes],
        )
    ]


def concepts_unseen(summary: AuditSummary) -> str:
    """Return what was asked of concepts, and which gap would have been missed, in sentences."""
    counts = ", ".join(f"{count:,} {name}" for name, count in summary.tested_concepts.items())
    if not counts:
        return "Named concepts were not tested."
    known_gaps = [g for g in summary.smallest_detectable.values() if g is not None]
    text = f"Concepts: {counts}."
    blind = len(summary.smallest_detectable) - len(known_gaps)
    if known_gaps:
        middle = float(np.median(known_gaps))
        text += (
            f" In the middle class a gap of {bare_points(middle)} would have been seen with 80 % "
            "power, for a concept that half of the class carries"
        )
        if len(known_gaps) > 1:
            low, high = (f"{100 * end:.0f}" for end in (min(known_gaps), max(known_gaps)))
            text += f" ({low} to {high} points from class to class)"
        text += "."
    if blind:
        text += (
            f" In {phrases.counted(blind, 'class')} there were too few images to see any gap, "
            "however large."
        )
    return text


def cues_unseen(summary: AuditSummary) -> str:
    """Return how many candidates for cues were tested, and what would have been missed."""
    tests = summary.cue_tests
    if not tests:
        return "Cues were not tested."
    families = len({test.family for test in tests})
    claimed = sum(test.claimed for test in tests)
    text = (
        f"Cues: {phrases.counted(len(tests), 'candidate')} of "
        f"{phrases.counted(families, 'kind')}, {claimed or 'none'} claimed."
    )
    reach = [test.detectable for test in tests if test.detectable is not None and not test.claimed]
    if reach:
        text += (
            f" Of {'the others' if claimed else 'these'}, the middle one would have been claimed "
            f"with 80 % power from a pull of {bare_points(float(np.median(reach)))} on "
            "(probability that moves to another class)."
        )
    return text


def _classes(summary: AuditSummary) -> list[Section]:
    gaps = summary.smallest_detectable
    if not gaps:
        return []
    ordered = sorted(
        gaps.items(), key=lambda item: (item[1] is not None, -(item[1] or 0.0), item[0])
    )
    shown = ordered[:ROWS]
    more = len(ordered) - len(shown)
    frame = pd.DataFrame(
        [{"class": clip(name, 60), "gap": math.nan if gap is None else gap} for name, gap in shown]
    )
    return [
        Section(
            title=f"Smallest gap that would have been seen, class by class ({len(gaps):,})",
            fold=True,
            tables=[
                Table(
                    frame=frame,
                    caption="Of a concept that half of the class carries, with 80 % power; a dash: "
                    "no gap would have been seen. Blindest first."
                    + (f" {more:,} more are in audit.json." if more else ""),
                    columns={"gap": Column("smallest gap", format="percent", digits=0)},
                )
            ],
        )
    ]


def _cues(tests: Sequence[CueTest]) -> list[Section]:
    if not tests:
        return []
    ordered = sorted(tests, key=lambda test: (not test.claimed, test.p_adjusted, test.p))
    shown = ordered[:ROWS]
    more = len(ordered) - len(shown)
    frame = pd.DataFrame(
        [
            {
                "candidate": clip(test.name, 60),
                "kind": test.family,
                "class": clip(test.class_name, 60) or "all together",
                "excess": known(test.excess),
                "pull": known(test.pull),
                "n": test.excess.n,
                "p": test.p_adjusted,
                "claimed": test.claimed,
                "explained": clip(test.explained_by, 60),
                "detectable": math.nan if test.detectable is None else test.detectable,
            }
            for test in shown
        ]
    )
    columns = {
        "excess": Column("excess (points)", format="points", digits=0),
        "pull": Column("pull (points)", format="points", digits=0),
        "n": Column("images", format="integer"),
        "p": Column("corrected p", format="p"),
        "explained": Column("accounted for by", format="text"),
        "detectable": Column("pull seen from", format="percent", digits=0),
    }
    if not any(test.explained_by for test in shown):
        frame = frame.drop(columns="explained")
        del columns["explained"]
    caption = (
        "Excess: share of predictions that follow it beyond the control. Pull: probability that "
        "moves to the donor's class beyond the control; p is that sound models show as much."
    )
    caption += f" {more:,} more are in audit.json." if more else ""
    return [
        Section(
            title=f"Every candidate for a cue ({len(tests):,})",
            fold=True,
            tables=[Table(frame=frame, caption=caption, columns=columns)],
        )
    ]
