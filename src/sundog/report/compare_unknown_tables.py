"""Evidence beside the causal tests: maps, lists of findings, records of the training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sundog.core.audit.comparison import FindingLists, MapsSay, ModelComparison
from sundog.core.inspection.finding import Finding
from sundog.report.audit_words import clip, gap
from sundog.report.compare_grid import compare_grid
from sundog.report.picture import Picture
from sundog.report.section import Section
from sundog.report.table import Column, Table

MEASURES = {
    "top_mass": "relevance in the top 0.5 % of pixels",
    "entropy": "entropy (1 = spread evenly)",
    "centre_spread": "variance of the centre's place",
    "peak_spread": "variance of the peak's place",
}
MOST_FINDINGS = 30


def maps_sections(
    comparison: ModelComparison, *, examples: Mapping[str, Any], palette: str
) -> list[Section]:
    """Return the maps side by side, and what they say."""
    sections = []
    if examples:
        figures = compare_grid(
            examples["images"],
            examples["views"],
            class_names=comparison.class_names,
            labels=examples["labels"],
            palette=palette,
        )
        sections.append(
            Section(
                title="The same images, side by side",
                text=["Maps explain the class that each model itself predicts."],
                pictures=[
                    Picture(
                        source=figure,
                        caption="Each map is scaled by its own maximum.",
                        alt="The same images with the maps of each model side by side.",
                    )
                    for figure in figures
                ],
            )
        )
    if comparison.maps is not None:
        sections.append(_maps_section(comparison.maps))
    return sections


def findings_section(comparison: ModelComparison) -> list[Section]:
    """Return the findings of the models' inspections, matched."""
    if not comparison.findings:
        return []
    return [
        Section(
            title="What concepts show",
            text=[
                "Every model was inspected with the same tags of the same images: inside a class, "
                "images with a concept against those without it. Findings are the same if class, "
                "concepts and direction are, or if at least half of their images are."
            ],
            parts=[_list(entry) for entry in comparison.findings],
        )
    ]


def training_section(comparison: ModelComparison) -> list[Section]:
    """Return what the training runs recorded: arguments, then results with the cue and without."""
    rows = comparison.training
    if not rows:
        return []
    names = list(dict.fromkeys(name for row in rows for name in row.arguments))
    missing = "not recorded"
    arguments = pd.DataFrame(
        {
            "": ["trained with a cue", *(name.replace("_", " ") for name in names)],
            **{
                clip(row.run, 60): [
                    _planted(row.trained_with_cue, row.cue, missing),
                    *(row.arguments.get(name, missing) for name in names),
                ]
                for row in rows
            },
        }
    )
    results = pd.DataFrame(
        [
            {
                "model": clip(row.run, 60),
                "cue": row.cue or missing,
                "accuracy without": _or(row.accuracy_off, missing),
                "accuracy with": _or(row.accuracy_on, missing),
                "loss without": _or(row.loss_off, missing),
                "loss with": _or(row.loss_on, missing),
                "n": _or(row.n, missing),
            }
            for row in rows
        ]
    )
    share, plain = Column(format="percent", digits=1), Column(digits=3)
    return [
        Section(
            title="What the training runs recorded",
            text=[
                "Not used for the verdict: a run that did not plant its bias has nothing to record."
            ],
            tables=[
                Table(frame=arguments, caption="Hyper-parameters."),
                Table(
                    frame=results,
                    caption="Accuracy and loss on the run's own validation images, with its own "
                    "recorded cue and without it.",
                    columns={
                        "accuracy without": share,
                        "accuracy with": share,
                        "loss without": plain,
                        "loss with": plain,
                    },
                ),
            ],
        )
    ]


def _maps_section(maps: MapsSay) -> Section:
    means = pd.DataFrame(
        [
            {
                "method": m.method.replace("_", " "),
                "measure": MEASURES.get(m.measure, m.measure),
                "model": clip(m.run, 40),
                "mean": m.mean.estimate(),
                "n": m.mean.n,
            }
            for m in maps.means
        ]
    )
    contrasts = pd.DataFrame(
        [
            {
                "method": c.method.replace("_", " "),
                "measure": MEASURES.get(c.measure, c.measure),
                "models": f"{clip(c.first, 30)} − {clip(c.second, 30)}",
                "difference": c.difference.estimate(),
                "p": c.p,
                "p of the sign test": c.p_sign,
                "larger / smaller": f"{c.wins} / {c.losses}",
            }
            for c in maps.contrasts
        ]
    )
    likeness = pd.DataFrame(
        [
            {
                "method": a.method.replace("_", " "),
                "models": f"{clip(a.first, 30)}, {clip(a.second, 30)}",
                "rank correlation": a.correlation.estimate(),
                "overlap of the top 5 %": a.overlap.estimate(),
                "n": a.correlation.n,
            }
            for a in maps.likeness
        ]
    )
    points = pd.DataFrame(
        [
            {
                "method": method.replace("_", " "),
                "more concentrated or fixed": "no model clearly" if run is None else clip(run, 60),
                "with the causal tests": _held(run, maps.agrees.get(method)),
            }
            for method, run in maps.points_at.items()
        ]
    )
    two = Column(digits=3)
    return Section(
        title="What the maps say",
        text=[
            f"{maps.images} images were explained. A model that looks at one small thing has maps "
            "with much relevance in few pixels, low entropy, and a centre or peak that stays in "
            "its place. A biased model need not, and a sound one may: maps propose."
        ],
        tables=[
            Table(frame=points, caption="Which model the maps of each method point at."),
            Table(
                frame=likeness,
                caption="How alike the maps of two models are (1 = the same), 95 % intervals.",
                columns={"rank correlation": two, "overlap of the top 5 %": two},
            ),
        ],
        parts=[
            Section(
                title="Every measure",
                fold=True,
                tables=[
                    Table(
                        frame=contrasts,
                        caption="Differences on the same images; p by sign flips and by the sign "
                        "test, each Holm-corrected over the whole table.",
                        columns={
                            "difference": two,
                            "p": Column(format="p"),
                            "p of the sign test": Column(format="p"),
                        },
                    ),
                    Table(frame=means, caption="Means, 95 % intervals.", columns={"mean": two}),
                ],
            )
        ],
        notes=list(maps.notes),
    )


def _held(run: str | None, agrees: bool | None) -> str:
    """Return how the maps of a method compare with the causal tests."""
    if agrees is None:
        return "no single answer to hold it to"
    return "agrees" if agrees else "sees no difference" if run is None else "points elsewhere"


def _list(entry: FindingLists) -> Section:
    first, second = clip(entry.first, 40), clip(entry.second, 40)
    rows = [
        {"finding": _name(a), "direction": a.direction, "in": "both", first: gap(a.effect),
         second: gap(b.effect)}
        for a, b in entry.shared
    ]  # fmt: skip
    rows += _alone(entry.only_first, first, second)
    rows += _alone(entry.only_second, second, first)
    title = f"{first} and {second}"
    counts = (
        f"{len(entry.shared)} shared, {len(entry.only_first)} only in {first}, "
        f"{len(entry.only_second)} only in {second}."
    )
    if not rows:
        return Section(title=title, text=["No significant finding in either."])
    shown = rows[:MOST_FINDINGS]
    hidden = len(rows) - len(shown)
    points = Column(format="points", digits=0)
    return Section(
        title=title,
        text=[counts],
        tables=[
            Table(
                frame=pd.DataFrame(shown, columns=["finding", "direction", "in", first, second]),
                caption="Gap in points, images with the concept minus images without it. Helps: "
                "the model does better with it.",
                columns={first: points, second: points},
            )
        ],
        notes=[f"{hidden} more are in comparison.json."] if hidden else [],
    )


def _alone(findings: Sequence[Finding], run: str, other: str) -> list[dict[str, object]]:
    return [
        {"finding": _name(f), "direction": f.direction, "in": f"{run} alone", run: gap(f.effect),
         other: None}
        for f in findings
    ]  # fmt: skip


def _name(finding: Finding) -> str:
    return clip(f"{finding.class_name or 'all classes'}: {' + '.join(finding.concepts)}")


def _planted(value: bool | None, cue: str | None, missing: str) -> str:
    if value is None:
        return missing
    return f"yes, {cue}" if value else "no"


def _or(value: float | int | None, missing: str) -> object:
    return missing if value is None else value
