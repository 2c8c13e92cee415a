"""Risk in the report of an audit: rare and unsure images, and labels that may be wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from sundog.core.audit.summary import AuditSummary, Risk, Suspect
from sundog.report import phrases
from sundog.report.audit_pictures import Shelf
from sundog.report.audit_words import clip, known, listed, sentence, share
from sundog.report.blocks import Action, Gallery, Photo
from sundog.report.interval_chart import IntervalChart, IntervalRow
from sundog.report.section import Section
from sundog.report.table import Column, Table

TITLE = "Rare, unsure and mislabelled images"
PICTURED, ROWS = 12, 100
AUROC = (
    "Representation: how common such images are among the training images, low where they are "
    "rare. Epistemic: unsure for lack of such images. Aleatoric: unsure because the image or its "
    "label is ambiguous. AUROC: how often an image that is classified wrongly has the higher risk "
    "of two; 0.5 is guessing."
)


def risk_section(summary: AuditSummary, shelf: Shelf) -> list[Section]:
    """Return the section of risk, or none if it was not measured."""
    made = summary.risk
    if made is None:
        return []
    galleries = [
        *_gallery("Labels that may be wrong: candidates for a look", made.label_errors, shelf),
        *_gallery("Rarest images: least like what the classifier knows", made.outliers, shelf),
    ]
    parts = [
        *_table("Suspected labels", made.label_errors, "Most suspicious first."),
        *_table("Rarest images", made.outliers, "Rarest first."),
    ]
    action = None
    if made.label_errors:
        action = Action(
            f"Check the labels of {phrases.counted(len(made.label_errors), 'image')}, from "
            "the top: a wrong label is counted as an error of the model, and taught to the next."
        )
    return [
        Section(
            title=TITLE,
            text=[
                rare(made),
                *(sentence(clip(text, 300)) for text in made.groups),
                *([AUROC] if made.detection else []),
            ],
            charts=_charts(made),
            galleries=galleries,
            action=action,
            parts=parts,
        )
    ]


def rare(made: Risk) -> str:
    """Return how the rarest tenth fares against the commonest, in a sentence."""
    fitted = f"Risks are measured by {listed(made.methods)}. " if made.methods else ""
    if made.rarest is None or made.commonest is None:
        return f"{fitted}Accuracy by rarity was not measured."
    return (
        f"{fitted}The rarest tenth of the images is right on {share(made.rarest)}, the commonest "
        f"tenth on {share(made.commonest)}."
    )


def _charts(made: Risk) -> list[IntervalChart]:
    charts = []
    ends = [("rarest tenth", made.rarest), ("commonest tenth", made.commonest)]
    rows = [IntervalRow(name, known(value)) for name, value in ends if value is not None]
    if rows:
        charts.append(IntervalChart(rows, "Share right, by how common the images are",
                                    count="images"))  # fmt: skip
    detection = [
        IntervalRow(clip(name.replace("_", " "), 60), known(value))
        for name, value in list(made.detection.items())[:12]
        if not math.isnan(known(value).value)
    ]
    if detection:
        charts.append(
            IntervalChart(
                detection,
                "How well each risk finds the errors (AUROC; higher is better)",
                format="decimal",
                digits=2,
                span=(0.0, 1.0),
                reference=0.5,
                reference_name="chance",
                better="higher",
                count="images",
            )
        )
    return charts


def _gallery(title: str, suspects: Sequence[Suspect], shelf: Shelf) -> list[Gallery]:
    photos: list[Photo] = []
    for suspect in suspects:
        if len(photos) == PICTURED:
            break
        if suspect.thumbnail is None:
            continue
        label, predicted = clip(suspect.label, 30), clip(suspect.predicted, 30)
        photo = shelf.photo(
            suspect.thumbnail,
            head=label,
            words=f"predicted {predicted}",
            alt=f"Labelled {label}, predicted {predicted}. {clip(suspect.why)}".strip(),
        )
        if photo is not None:
            photos.append(photo)
    if not photos:
        return []
    count = f" ({len(photos)} of {len(suspects):,})" if len(photos) < len(suspects) else ""
    return [Gallery(f"{title}{count}", photos)]


def _table(title: str, suspects: Sequence[Suspect], caption: str) -> list[Section]:
    if not suspects:
        return []
    shown = suspects[:ROWS]
    frame = pd.DataFrame(
        [
            {
                "image": clip(suspect.source, 80),
                "label": clip(suspect.label, 40),
                "predicted": clip(suspect.predicted, 40),
                "score": suspect.score,
                "why": clip(suspect.why, 80),
            }
            for suspect in shown
        ]
    )
    more = len(suspects) - len(shown)
    return [
        Section(
            title=f"{title} ({len(suspects):,})",
            fold=True,
            tables=[
                Table(
                    frame=frame,
                    caption=caption + (f" {more:,} more are in audit.json." if more else ""),
                    columns={"score": Column(digits=3)},
                )
            ],
        )
    ]
