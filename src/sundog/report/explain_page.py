"""The page of an explain run: maps beside deletion curves, and what each method costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from sundog.report.page import Page, Section
from sundog.report.picture import Picture
from sundog.report.table import Column, Table


def explain_page(
    figures: Sequence[Figure],
    *,
    predictions: pd.DataFrame,
    costs: pd.DataFrame,
    classifier: str,
    facts: Mapping[str, object],
    command: str = "",
) -> Page:
    """Build the page.

    Args:
        figures: image x method grids.
        predictions: one row per image: ``label`` (-1 unknown) and ``prediction``.
        costs: one row per method: seconds and passes per image, methods that share the pass.
        classifier: its name.
        facts: images and classifier.
        command: how to reproduce.
    """
    known = predictions[predictions["label"] >= 0]
    right = int((known["label"] == known["prediction"]).sum())
    headline = f"{len(predictions)} images explained with {len(costs)} methods"
    if len(known):
        headline += f"; {right} of {len(known)} labelled images are classified correctly"
    return Page(
        title=f"Explanations of {classifier}",
        headline=headline + ".",
        lead="A map shows where the classifier is sensitive, not why it is right. Maps propose; "
        "sundog faithfulness says which method to trust here, sundog compare tests a cause.",
        sections=[
            Section(
                title="Maps and deletion curves",
                text=[
                    "Red speaks for the explained class, blue against it (signed methods only). At "
                    "the right: the probability of the predicted class while the pixels that a map "
                    "ranks highest are blackened; a low area is a good map."
                ],
                pictures=[
                    Picture(
                        source=figure,
                        caption=f"Page {number} of {len(figures)}: images spread evenly over the "
                        f"{len(predictions)}.",
                        alt="Rows of photographs with one heat map per method and deletion curves.",
                    )
                    for number, figure in enumerate(figures, start=1)
                ],
            ),
            Section(
                title="Cost",
                tables=[
                    Table(
                        frame=costs,
                        caption="Means per image. Methods that share a pass show that pass's cost.",
                        columns={
                            "seconds": Column("seconds per image"),
                            "forwards": Column("forward passes", digits=1),
                            "backwards": Column("backward passes", digits=1),
                            "shared": Column("shares its pass with", format="text"),
                        },
                    )
                ],
            ),
            Section(title="Images and classifier", facts=facts),
            Section(
                title="How to reproduce",
                code=command or "see manifest.json",
                notes=["Raw maps: maps/*.safetensors. Predictions: tables/predictions.parquet."],
            ),
        ],
    )
