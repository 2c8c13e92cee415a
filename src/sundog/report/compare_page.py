"""The page of a comparison: which classifier relies on the cue, how it shows, what the maps say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import pandas as pd

from sundog.report.bars import bar_figure
from sundog.report.compare_grid import compare_grid
from sundog.report.page import Page, Section
from sundog.report.picture import Picture
from sundog.report.table import Column, Table

Tone = Literal["alarm", "calm", "unsure", "plain"]
TONES: dict[str, Tone] = {"some": "alarm", "all": "alarm", "none": "calm", "cannot tell": "unsure"}


class Compared(Protocol):
    """What the page needs of a comparison (:class:`sundog.bias.compare.Comparison`)."""

    @property
    def decision(self) -> str: ...  # noqa: D102
    @property
    def verdict(self) -> str: ...  # noqa: D102
    @property
    def maps(self) -> Any: ...  # noqa: D102
    @property
    def maps_agree(self) -> Mapping[str, bool | None]: ...  # noqa: D102
    @property
    def notes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def alpha(self) -> float: ...  # noqa: D102
    @property
    def level(self) -> float: ...  # noqa: D102
    @property
    def smallest(self) -> float: ...  # noqa: D102
    def table(self) -> pd.DataFrame: ...  # noqa: D102
    def reliance_table(self) -> pd.DataFrame: ...  # noqa: D102


def compare_page(
    comparison: Compared,
    *,
    cue: Mapping[str, Any],
    examples: Mapping[str, Any],
    class_names: Sequence[str],
    facts: Mapping[str, object],
    palette: str = "red_blue",
    command: str = "",
) -> Page:
    """Build the page.

    Args:
        comparison: the result of the causal test, with the maps' evidence.
        cue: its name and parameters.
        examples: images, masks, labels, cue_class and views for the side-by-side figure; empty
            for none.
        class_names: all classes.
        facts: images and classifiers.
        palette: colours of the overlay.
        command: how to reproduce.
    """
    sections = [
        causal_section(comparison),
        *map_sections(comparison, examples=examples, class_names=class_names, palette=palette),
        Section(
            title="What was asked",
            facts={
                **facts,
                "cue": str(cue["name"]),
                **{f"cue: {key}": value for key, value in dict(cue["parameters"]).items()},
                "reliance that matters": f"{comparison.smallest:.0%} of the images",
                "probability of any wrong standing": f"at most {comparison.alpha:.0%}",
            },
        ),
        Section(
            title="Limits",
            text=[
                "The test is about this cue on these images. A classifier that is clear of it may "
                "rely on another."
            ],
            notes=list(comparison.notes),
        ),
        Section(title="How to reproduce", code=command or "see manifest.json"),
    ]
    return Page(
        title=f"Which classifier relies on the cue '{cue['name']}'",
        headline=comparison.verdict,
        tone=TONES.get(comparison.decision, "plain"),
        lead="Every image was shown to every classifier without the cue, with the cue of its own "
        "class, and with the cue of another class. Predictions decide; maps are shown beside.",
        sections=sections,
    )


def causal_section(comparison: Compared) -> Section:
    """Return the run x cue table and the reliance of each run."""
    scores = comparison.table()
    reliance = comparison.reliance_table()
    return Section(
        title="What the cue does to the predictions",
        text=[
            "Gain: accuracy with the cue of the image's own class minus accuracy without it. Pull: "
            "share predicted as the class of a conflicting cue, minus that share without it."
        ],
        tables=[
            Table(
                frame=scores,
                caption="Accuracy and loss of each run with the cue off, aligned with the label, "
                "and in conflict with it (95 % intervals).",
                columns={
                    "accuracy": Column(format="percent", digits=1, better="higher", mark=False),
                    "loss": Column(digits=3, better="lower", mark=False),
                },
            ),
            Table(
                frame=reliance,
                caption="Reliance, paired over images. Intervals hold together at level "
                f"{comparison.level:.1%}; p is McNemar's, Holm-corrected.",
                columns={
                    "with_cue": Column("with the cue", format="percent", digits=1),
                    "without_cue": Column("without", format="percent", digits=1),
                    "difference": Column("difference (points)", format="points", digits=1),
                    "p": Column(format="p"),
                },
            ),
        ],
    )


def map_sections(
    comparison: Compared,
    *,
    examples: Mapping[str, Any],
    class_names: Sequence[str],
    palette: str = "red_blue",
) -> list[Section]:
    """Return the maps side by side and how much relevance falls on the cue."""
    sections = []
    if examples:
        figures = compare_grid(
            examples["images"],
            examples["views"],
            class_names=class_names,
            labels=examples["labels"],
            cue_class=examples["cue_class"],
            masks=examples["masks"],
            palette=palette,
        )
        sections.append(
            Section(
                title="The same images, side by side",
                text=[
                    "Each image carries the cue of its own class, outlined. Maps explain the class "
                    "that each classifier itself predicts."
                ],
                pictures=[
                    Picture(
                        source=figure,
                        caption="Each map is scaled by its own maximum.",
                        alt="The same images with the maps of each classifier side by side.",
                    )
                    for figure in figures
                ],
            )
        )
    if comparison.maps is not None:
        sections.append(_mass_section(comparison))
    return sections


def _mass_section(comparison: Compared) -> Section:
    rows = [
        {
            "method": m.method,
            "run": m.run,
            "relevance on the cue": m.mass,
            "lift": m.lift,
            "n": m.mass.n,
        }
        for m in comparison.maps.masses
    ]
    frame = pd.DataFrame(rows)
    answers = {True: "agrees", False: "points elsewhere", None: "no single culprit to name"}
    agree = pd.DataFrame(
        [
            {
                "method": method,
                "most relevance on the cue": comparison.maps.favours.get(method)
                or "no run clearly",
                "with the causal test": answers[value],
            }
            for method, value in comparison.maps_agree.items()
        ]
    )
    bars = pd.DataFrame(
        {
            "method": [f"{m.method} · {m.run}" for m in comparison.maps.masses],
            "mean": [m.lift.value for m in comparison.maps.masses],
            "low": [m.lift.low for m in comparison.maps.masses],
            "high": [m.lift.high for m in comparison.maps.masses],
            "n": [m.lift.n for m in comparison.maps.masses],
        }
    ).head(50)
    return Section(
        title="Do the maps see it?",
        text=[
            "Share of the positive relevance inside the cue's mask; lift = share divided by the "
            "mask's share of the image, so 1 is what a map that ignores the cue would give."
        ],
        tables=[
            Table(
                frame=frame,
                caption="Means with 95 % intervals.",
                columns={
                    "lift": Column("lift over area", digits=2),
                    "relevance on the cue": Column(format="percent", digits=1),
                },
            ),
            Table(frame=agree, caption="Maps propose, the causal test decides."),
        ],
        pictures=[
            Picture(
                source=bar_figure(
                    bars,
                    score="lift of relevance on the cue",
                    lower_is_better=None,
                    reference=1.0,
                    reference_name="ignores the cue",
                    digits=2,
                ),
                caption="A high lift says that a map points at the cue.",
                alt="Bar chart of the relevance lift on the cue by method and run.",
                kind="chart",
            )
        ],
    )
