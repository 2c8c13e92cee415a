"""The page of a search for unknown cues: what drags the prediction, and what was tested."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from sundog.core.audit.cues import CueRecord, Cues, CueTest
from sundog.core.audit.measured import Measured
from sundog.core.statistics import Estimate
from sundog.report.page import Page, Section
from sundog.report.phrases import counted, joined, points, share
from sundog.report.picture import Picture
from sundog.report.table import Column, Table

ROLES = ("gives", "receives", "result")
MOST_TESTS = 60


def shortcut_page(cues: Cues, *, folder: Path, facts: Mapping[str, str], command: str = "") -> Page:
    """Build the page from the record and the pictures of the run folder.

    Args:
        cues: the record.
        folder: where its pictures are.
        facts: images and classifier.
        command: how to reproduce.
    """
    sections = [_cue_section(cue, folder) for cue in cues.claimed]
    if cues.tested:
        sections.append(_tests_section(cues))
    sections += [
        Section(
            title="What was asked",
            facts={
                **facts,
                "images moved between": str(cues.images),
                "tests": str(cues.tests),
                "probability of any false claim": f"at most {cues.alpha:.0%}",
            },
        ),
        Section(title="Limits", text=list(cues.notes)),
        Section(title="How to reproduce", code=command or "see manifest.json"),
    ]
    return Page(
        title="Cues that the classifier follows",
        headline=headline(cues),
        tone="alarm" if cues.claimed else "calm" if cues.tested else "unsure",
        word="Cue found" if cues.claimed else "No cue found" if cues.tested else "",
        lead="Parts and properties of images were moved into images of other classes, and the same "
        "from images of their own class as a control. A cue is claimed if the prediction follows "
        "it more than sound models follow such a part, on images that proposed nothing.",
        sections=sections,
    )


def headline(cues: Cues) -> str:
    """Return the answer in one sentence, with the numbers of the strongest cue."""
    if not cues.tested:
        return "There were too few images to move anything between classes: nothing was tested."
    if not cues.claimed:
        worth = [test.detectable for test in cues.tested if test.detectable is not None]
        seen = (
            f"; the most sensitive test would have claimed a pull of {min(worth):.2f}, "
            f"the least sensitive {max(worth):.2f}"
            if worth
            else ""
        )
        return (
            f"None of {counted(cues.tests, 'test')} on {counted(cues.images, 'image')} shows a cue "
            f"that the classifier follows more than sound models do{seen}."
        )
    first = cues.claimed[0]
    more = len(cues.claimed) - 1
    rest = f"; {counted(more, 'more cue')} below" if more else ""
    return (
        f"The classifier follows a cue ({first.name}): {share(_of(first.flip))} of "
        f"{first.flip.n:,} images take the class it is moved from, {share(_of(first.control))} in "
        f"the control{rest}."
    )


def _cue_section(cue: CueRecord, folder: Path) -> Section:
    frame = pd.DataFrame(
        {
            "measure": [
                "predictions that follow it",
                "control: donor of the image's own class",
                "excess (corrected interval)",
                "pull on the probabilities (corrected interval)",
                "accuracy with a part of the own class",
                "accuracy with a part of another class",
                "accuracy that hangs on it",
                "predictions that follow it at a random place",
                "predictions that follow a part of its size elsewhere",
                "accuracy lost by painting it over, beyond a part of its size elsewhere",
            ],
            "value": [
                _of(cue.flip),
                _of(cue.control),
                _of(cue.excess),
                _of(cue.pull),
                _of(cue.intact),
                _of(cue.swapped),
                _of(cue.reliance),
                None if cue.random_place is None else _of(cue.random_place),
                None if cue.elsewhere is None else _of(cue.elsewhere),
                None if cue.removal is None else _of(cue.removal),
            ],
        }
    )
    doses = pd.DataFrame(
        [{"what": d.what, "dose": d.dose, "follow": _of(d.flip)} for d in cue.dose]
    )
    tables = [
        Table(
            frame,
            f"n = {cue.flip.n}; adjusted p = {cue.p_adjusted:.2g}.",
            {"value": Column(format="percent", digits=1)},
        )
    ]
    if len(doses):
        tables.append(
            Table(
                doses,
                "Dose: opacity (1 = as it is), size (area, 1 = as it is).",
                {"follow": Column(title="predictions that follow", format="percent", digits=0)},
            )
        )
    pictures = [
        Picture(
            _strip([folder / file for file in cue.pictures[start : start + 3]]),
            "  →  ".join(
                f"{role}: {caption}"
                for role, caption in zip(ROLES, cue.captions[start : start + 3], strict=False)
            ),
            f"donor, receiver and receiver with the component ({cue.name})",
        )
        for start in range(0, len(cue.pictures) - 2, 3)
    ]
    if cue.mask is not None:
        pictures.append(
            Picture(
                _strip([folder / cue.mask]), "White: where it is.", f"mask of the cue {cue.name}"
            )
        )
    return Section(
        title=cue.name[0].upper() + cue.name[1:],
        text=[
            f"Speaks for {joined(list(cue.classes))}. Accuracy that hangs on it: "
            f"{points(_of(cue.reliance))}."
        ],
        tables=tables,
        pictures=pictures,
        notes=[cue.note] if cue.note else [],
    )


def _tests_section(cues: Cues) -> Section:
    order = sorted(cues.tested, key=lambda test: (test.p_adjusted, -(test.pull.value or 0.0)))
    frame = pd.DataFrame([_row(test) for test in order[:MOST_TESTS]])
    return Section(
        title="Everything that was tested",
        text=[
            "Pull: probability that moves from the label to the donor's class, control subtracted. "
            "Allowed: what sound models show without any cue."
        ],
        tables=[
            Table(
                frame,
                f"{min(len(order), MOST_TESTS)} of {len(order)} tests, corrected together (Holm).",
                {
                    "pull": Column(digits=2),
                    "allowed": Column(digits=2),
                    "adjusted p": Column(format="p"),
                    "would have shown": Column(digits=2),
                },
                muted=[not test.claimed for test in order[:MOST_TESTS]],
            )
        ],
    )


def _row(test: CueTest) -> dict[str, object]:
    return {
        "component": test.name,
        "class": test.class_name or "all",
        "n": test.excess.n,
        "pull": _of(test.pull),
        "allowed": test.margin,
        "adjusted p": test.p_adjusted,
        "would have shown": test.detectable,
        "claimed": "yes"
        if test.claimed
        else f"explained by {test.explained_by}"
        if test.explained_by
        else "no",
    }


def _of(measured: Measured | None) -> Estimate:
    return measured.estimate() if measured is not None else Measured(value=None, n=0).estimate()


def _strip(files: list[Path]) -> np.ndarray:
    """Lay pictures side by side, two pixels of white between."""
    parts = []
    for file in files:
        with Image.open(file) as opened:
            parts.append(np.asarray(opened.convert("RGB")))
    height = max(part.shape[0] for part in parts)
    gap = np.full((height, 6, 3), 255, np.uint8)
    padded = [
        np.pad(part, ((0, height - part.shape[0]), (0, 0), (0, 0)), constant_values=255)
        for part in parts
    ]
    laid = [piece for part in padded for piece in (part, gap)][:-1]
    return np.concatenate(laid, axis=1)
