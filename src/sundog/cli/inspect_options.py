"""Options of ``sundog inspect`` and ``sundog tags``: one meaning, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Taggers = Annotated[
    str,
    typer.Option(
        "--taggers",
        "-t",
        help="Taggers ('sundog list taggers') separated by commas, with parameters as "
        "name:key=value, e.g. imagenet:threshold=0.2 or csv:path=tags.csv.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder of tag scores that several runs share."),
]
Metric = Annotated[
    str, typer.Option("--metric", help="accuracy, or confidence (probability of the label).")
]
Alpha = Annotated[
    float,
    typer.Option(
        "--alpha",
        min=0.0001,
        max=0.5,
        help="Probability of any false finding in the whole inspection.",
    ),
]
Adjustment = Annotated[
    str,
    typer.Option(
        "--adjustment",
        help="westfall_young, holm, benjamini_hochberg (bounds the share of false findings), none.",
    ),
]
Sorter = Annotated[
    str | None,
    typer.Option(
        "--sorter",
        help="Sorter ('sundog list sorters') that ranks images by --concepts, e.g. conse or "
        "clip:name_or_path=FOLDER.",
    ),
]
Concepts = Annotated[
    str | None,
    typer.Option(
        "--concepts", help="Concepts for the sorter, separated by commas; tested in every class."
    ),
]
MaxTags = Annotated[
    int,
    typer.Option("--max-tags", min=1, max=6, help="Most concepts in a combination; 1 = none."),
]
MinPop = Annotated[
    int, typer.Option("--min-pop", min=2, help="Fewest images that carry a combination.")
]
MinGap = Annotated[
    float,
    typer.Option(
        "--min-gap", min=0.0, max=1.0, help="Smallest gap of a combination (0.1 = 10 points)."
    ),
]
Minimality = Annotated[
    str,
    typer.Option(
        "--minimality",
        help="Which of nested combinations are kept: noise, recursive, prime or none.",
    ),
]
MinimalCriteria = Annotated[
    str | None,
    typer.Option(
        "--minimal-criteria",
        help="Thresholds for recursive and prime, one per size, e.g. 0,0.1,0.05.",
    ),
]
OnlyClasses = Annotated[
    str | None,
    typer.Option("--only", help="Classes to inspect, by name, separated by commas; all if not."),
]
Overlay = Annotated[
    str,
    typer.Option("--overlay", help="Attribution method of the overlays; auto or none."),
]
