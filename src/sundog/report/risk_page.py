"""The page of a risk run: where the classifier fails, which images are rare, unsure or noisy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sundog.report.montage import montage_figure
from sundog.report.page import Page, Section
from sundog.report.phrases import correlation, counted, share
from sundog.report.picture import Picture
from sundog.report.risk_content import (
    Correlation,
    FieldWords,
    Latent,
    Reliability,
    RiskField,
    RiskPage,
    ScoreRow,
    Split,
    Tile,
    Windows,
)
from sundog.report.risk_curves import risk_curve_figure
from sundog.report.risk_headline import answer, ends_of
from sundog.report.risk_sections import (
    correlations_section,
    histograms_section,
    latent_section,
    reliability_section,
    scores_section,
)
from sundog.report.score_tables import windows_table

__all__ = [
    "Correlation",
    "FieldWords",
    "Latent",
    "Reliability",
    "RiskField",
    "RiskPage",
    "ScoreRow",
    "Split",
    "Tile",
    "Windows",
    "risk_page",
]


def risk_page(content: RiskPage) -> Page:
    """Build the page; see :class:`RiskPage` for what goes in.

    Args:
        content: arrays, numbers and words.

    Returns:
        The answer first, then accuracy against risk, montages, correlations, scores by group,
        calibration, histograms, latent space, suspected labels, meanings, limits, settings.
    """
    said = answer(content)
    sections = [
        *[_against(f, f.windows) for f in content.fields if f.windows is not None],
        *_numbers(content),
        *[_montages(f, content.images) for f in content.fields if f.lowest or f.highest],
        correlations_section(content),
        *scores_section(content),
        *([reliability_section(content.reliability)] if content.reliability is not None else []),
        *histograms_section(content),
        *([latent_section(content.latent)] if content.latent is not None else []),
        *([_suspects(content)] if content.suspects else []),
        _meanings(content),
        _limits(content),
        Section(title="Settings", facts=content.facts or {"images": f"{content.images:,}"}),
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


def _against(field: RiskField, windows: Windows) -> Section:
    first = next(iter(windows.measures))
    name = "accuracy" if "accuracy" in windows.measures else first
    values = windows.measures[name]
    text = [
        f"The images are sorted by {field.words.noun} and cut into "
        f"{counted(len(windows.n), 'window')} of about equally many images. "
        f"Left: {field.words.low}; right: {field.words.high}."
    ]
    if windows.trend is not None:
        text.append(
            f"Spearman correlation of {field.words.noun} with being right: "
            f"{correlation(windows.trend)} (n = {windows.trend.n:,}). "
            + (
                "Above 0: images that the training data hold many of are right more often."
                if field.name == "representation"
                else "Below 0: images with more risk are right less often, as they should be."
            )
        )
    if windows.frozen:
        text.append("The windows were made with another model's scores and kept (frozen).")
    strip = " Below each window the mean of its images." if len(windows.mean_images) else ""
    return Section(
        title=f"Accuracy against {field.title[:1].lower()}{field.title[1:]}",
        text=text,
        pictures=[
            Picture(
                risk_curve_figure(
                    windows,
                    low_words=field.words.low,
                    high_words=field.words.high,
                    field=field.words.noun,
                ),
                f"Scores along {field.words.noun}, with intervals.{strip}",
                f"Line chart over {counted(len(windows.n), 'window')}: {name} is "
                f"{share(values[0])} for the {field.words.low} images and {share(values[-1])} for "
                f"the {field.words.high}.",
            )
        ],
    )


def _numbers(content: RiskPage) -> list[Section]:
    tables = [
        windows_table(f.windows, caption=f"{f.title}; from and to are its values in each window.")
        for f in content.fields
        if f.windows is not None
    ]
    return [Section(title="The windows in numbers", tables=tables)] if tables else []


def _montages(field: RiskField, images: int) -> Section:
    low, high = ends_of(field)
    return Section(
        title=f"{low} and {field.words.high} images",
        pictures=[
            Picture(
                montage_figure([(low, field.lowest), (high, field.highest)]),
                f"The {min(25, len(field.lowest))} {field.words.low} and the "
                f"{min(25, len(field.highest))} {field.words.high} of {images:,} images. Below "
                "each: ✓ right or ✗ wrong with the predicted class, the label where it differs, "
                f"and {field.words.noun}.",
                f"Two grids of images: {field.words.low} at the left, {_wrong(field.lowest)}; "
                f"{field.words.high} at the right, {_wrong(field.highest)}.",
            )
        ],
    )


def _wrong(tiles: Sequence[Tile]) -> str:
    known = [tile.correct for tile in tiles if tile.correct is not None]
    return f"{known.count(False)} of {len(known)} classified wrong" if known else "not labelled"


def _suspects(content: RiskPage) -> Section:
    shown = content.suspects[:50]
    return Section(
        title="Labels that may be wrong",
        text=[
            "The images whose labels are most doubtful, most doubtful first. A person should look "
            "before a label is changed: rare and hard images look doubtful too."
        ],
        pictures=[
            Picture(
                montage_figure([("Check these labels", shown)], columns=10, rows=5),
                f"{len(shown)} of {counted(len(content.suspects), 'suspected label')}. "
                f"{content.suspects_note}".strip(),
                f"A grid of {len(shown)} images with their labels and predictions.",
            )
        ],
    )


def _meanings(content: RiskPage) -> Section:
    facts: dict[str, object] = {}
    for field in content.fields:
        meaning = " ".join(part for part in (field.words.meaning, field.meaning) if part)
        lost = sum(not math.isfinite(v) for v in field.scores)
        facts[field.title] = (
            f"{meaning or 'no description'} Low: {field.words.low}; high: {field.words.high}."
            + (f" {counted(lost, 'image')} without a finite value." if lost else "")
        )
    for name, reason in content.absent.items():
        facts[name] = f"not available: {reason}"
    return Section(
        title="What each risk means",
        facts=facts or {"risks": "none"},
    )


def _limits(content: RiskPage) -> Section:
    return Section(
        title="Limits",
        text=[
            "Representation is density in the features of this classifier: what it does not see, "
            "it cannot call rare. A rare image is not a wrong one, and a group can be common and "
            "still be treated badly.",
            "Everything here is about these images. Where a window or a group is small its "
            "interval is wide; no trend seen does not mean that there is none.",
        ],
        notes=list(content.notes),
    )
