"""The page of a comparison without a known cue: which model is biased, and what says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sundog.core.audit.comparison import ModelComparison, ModelVerdict
from sundog.report.audit_pictures import Shelf
from sundog.report.audit_words import adjusted, clip, listed, points
from sundog.report.blocks import Badge, Tone
from sundog.report.compare_unknown_cues import cues_section
from sundog.report.compare_unknown_tables import findings_section, maps_sections, training_section
from sundog.report.page import Page, Section
from sundog.report.table import Column, Table

TONES: dict[str, Tone] = {
    "one": "alarm",
    "several": "alarm",
    "all": "alarm",
    "none": "calm",
    "cannot tell": "unsure",
}
MODEL_TONES: dict[str, Tone] = {
    "biased": "alarm",
    "no shortcut found": "calm",
    "cannot tell": "unsure",
}
LEAD = (
    "Nobody named a cue. Parts and properties of the images were moved between images of different "
    "classes; a model that follows them relies on them. Those tests decide. Maps are shown beside: "
    "they propose, and never decide."
)


def compare_unknown_page(
    comparison: ModelComparison,
    *,
    folder: Path,
    examples: Mapping[str, Any],
    facts: Mapping[str, object],
    palette: str = "red_blue",
    command: str = "",
) -> Page:
    """Build the page.

    Args:
        comparison: the whole answer.
        folder: run folder, for the pictures of the cues.
        examples: images, labels and views for the side-by-side figure; empty for none.
        facts: images and classifiers.
        palette: colours of the overlay.
        command: how to reproduce.
    """
    shelf = Shelf(folder)
    sections = [
        models_section(comparison),
        *cues_section(comparison, shelf),
        *maps_sections(comparison, examples=examples, palette=palette),
        *findings_section(comparison),
        *training_section(comparison),
        Section(
            title="What was asked",
            facts={
                **facts,
                "pull that matters": f"{comparison.smallest:.0%} of the probability",
                "any false claim": f"with probability {comparison.alpha:.0%} at most",
            },
        ),
        Section(title="Limits", text=_limits(comparison), notes=_notes(comparison, shelf)),
        Section(title="How to reproduce", code=command or "see manifest.json"),
    ]
    return Page(
        title="Which model is biased",
        headline=headline(comparison),
        tone=TONES[comparison.decision],
        lead=LEAD,
        answers={clip(model.run, 60): model.sentence for model in comparison.models},
        sections=sections,
    )


def headline(comparison: ModelComparison) -> str:
    """Return the answer in one short sentence."""
    if comparison.decision == "cannot tell":
        return "These images cannot tell which model is biased."
    if comparison.decision == "none":
        return f"No shortcut was found in {_named(comparison, comparison.runs)}."
    guilty = _named(comparison, comparison.biased)
    cues = list(dict.fromkeys(cue.name for m in comparison.models for cue in m.cues))
    text = f"{guilty} {'relies' if len(comparison.biased) == 1 else 'rely'} on a shortcut"
    text += f": {listed(cues, most=2)}" if cues else ""
    clear = [m.run for m in comparison.models if m.verdict == "no shortcut found"]
    unsure = [m.run for m in comparison.models if m.verdict == "cannot tell"]
    if clear:
        text += f"; none was found in {_named(comparison, clear)}"
    if unsure:
        text += f"; for {_named(comparison, unsure)} these images cannot tell"
    if comparison.more is not None and len(comparison.biased) > 1:
        text += f"; {_named(comparison, [comparison.more])} leans on it most"
    return f"{text}."


def models_section(comparison: ModelComparison) -> Section:
    """Return one row per model: verdict, confidence, accuracy, and what its search found."""
    rows = [_row(model) for model in comparison.models]
    tables = [
        Table(
            frame=pd.DataFrame(rows),
            caption="Accuracy and loss are those of all images as they are, with 95 % intervals. "
            "Detectable: pull (probability that moves to the donor's class) that the typical "
            "test would have found four times in five.",
            columns={
                "accuracy": Column(format="percent", digits=1, better="higher", mark=False),
                "loss": Column(digits=3, better="lower", mark=False),
                **_confidence_column(rows),
                "detectable": Column(format="percent", digits=0),
            },
        )
    ]
    differences = pd.DataFrame(
        [
            {"models": name, "difference": value.estimate(), "n": value.n}
            for name, value in comparison.accuracy.items()
        ]
    )
    if len(differences):
        tables.append(
            Table(
                frame=differences,
                caption="Difference in accuracy on the same images. A higher accuracy on images "
                "that carry a cue is what a biased model has; it decides nothing.",
                columns={"difference": Column("difference (points)", format="points", digits=1)},
            )
        )
    return Section(
        title="The models",
        badges=[
            Badge(f"{clip(m.run, 40)}: {m.verdict}", MODEL_TONES[m.verdict])
            for m in comparison.models
        ],
        text=[_calibration(comparison)],
        tables=tables,
        notes=[line for model in comparison.models if (line := _nearest(model))],
    )


def _confidence_column(rows: Sequence[Mapping[str, object]]) -> dict[str, Column]:
    column = Column("P(biased)", format="percent", digits=0)
    return {"confidence": column} if any("confidence" in row for row in rows) else {}


def _row(model: ModelVerdict) -> dict[str, object]:
    return {
        "model": clip(model.run, 60),
        "verdict": model.verdict,
        **({} if model.confidence is None else {"confidence": model.confidence}),
        "accuracy": model.accuracy.estimate(),
        "loss": model.loss.estimate(),
        "cues claimed": f"{len(model.cues)} in {model.tests} tests",
        "detectable": model.detectable,
        "images searched": model.images,
    }


def _nearest(model: ModelVerdict) -> str:
    """Return a sentence on the test that came nearest to a claim, or nothing."""
    test = model.strongest
    if test is None:
        return ""
    of = f" of {test.class_name}" if test.class_name else ""
    return (
        f"{clip(model.run, 60)}: not claimed, and nearest to it: {clip(test.name, 60)}{of}, pull "
        f"{points(test.pull)}"
        + (
            ""
            if test.elsewhere is None
            else f" (parts of that size elsewhere: {100 * test.elsewhere:+.0f})".replace("-", "−")
        )
        + f"; sound models show {100 * test.margin:.0f} points more; {adjusted(test.p_adjusted)}."
    )


def _calibration(comparison: ModelComparison) -> str:
    if not any(model.confidence is not None for model in comparison.models):
        return "P(biased): not calibrated, so none is given."
    known = comparison.calibrated
    text = "P(biased) comes from a logistic map of the search's numbers, fitted on models with "
    text += "planted biases; it holds for models like those."
    if "held_out" in known and isinstance(known["held_out"], dict):
        held = known["held_out"]
        numbers = [held.get(name) for name in ("brier", "brier_low", "brier_high")]
        if all(isinstance(number, int | float) for number in numbers):
            brier, low, high = numbers
            text += (
                f" On {held.get('settings')} {held.get('how', 'held-out settings')}, its Brier "
                f"score was {brier:.3f} [{low:.3f}, {high:.3f}] (0 = perfect)."
            )
    return text


def _limits(comparison: ModelComparison) -> list[str]:
    text = [
        "Only what these images carry can be moved: a model may rely on a cue that none of them "
        "shows. 'No shortcut found' is about the parts and properties that were tested.",
        "A part that belongs to the class (its object, its usual surroundings) drags predictions "
        "too. Whether a cue is a shortcut is for a person to say.",
    ]
    crossed = comparison.crossed
    if crossed:
        text.append(
            "A cue is tested on the images that it was found with: for the model in which it was "
            "claimed, its numbers are a little flattered; for the others they are not."
        )
    return text


def _notes(comparison: ModelComparison, shelf: Shelf) -> list[str]:
    said: dict[str, list[str]] = {}
    for model in comparison.models:
        for note in model.notes:
            said.setdefault(note, []).append(clip(model.run, 60))
    every = len(comparison.models)
    notes = [
        note if len(runs) == every else f"{listed(runs)}: {note}" for note, runs in said.items()
    ]
    lost = shelf.lost_note()
    return [*comparison.notes, *notes, *([lost] if lost else [])]


def _named(comparison: ModelComparison, runs: Collection[str]) -> str:
    return listed([f"“{clip(run, 60)}”" for run in comparison.runs if run in runs])
