"""The page of tags: how many images carry each, and what the images with most of it look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from sundog.core.errors import InputError
from sundog.report.arrays import Pixels
from sundog.report.page import Page, Section
from sundog.report.picture import Picture
from sundog.report.strips import Shot, Strip, strips_figure
from sundog.report.table import Column, Table

PER_FIGURE = 8


def tags_page(
    table: pd.DataFrame,
    *,
    strips: Sequence[Strip],
    previews: Mapping[str, Pixels],
    title: str,
    images: int,
    notes: Sequence[str] = (),
    command: str = "",
) -> Page:
    """Build the page.

    Args:
        table: a row per tag: tag, images, share, unknown, threshold.
        strips: a strip per shown tag.
        previews: tag -> small picture of the tag itself.
        title: of the page.
        images: number of images.
        notes: what was left out.
        command: how to reproduce.

    Raises:
        InputError: no tag.
    """
    if table.empty:
        raise InputError("tags", expected="at least one", got="none", hint="; ".join(notes))
    carried = int(((table["images"] > 0) & (table["images"] < images)).sum())
    sections = [
        Section(
            title="What the tags look like",
            text=["The images that show most of each tag; below each its class."],
            pictures=[
                Picture(
                    source=strips_figure(strips[first : first + PER_FIGURE], cell=0.9),
                    caption="Highest scores first.",
                    alt="Rows of images, one row for each tag.",
                )
                for first in range(0, len(strips), PER_FIGURE)
            ],
        ),
        Section(
            title="All tags",
            tables=[
                Table(
                    frame=table.sort_values("images", ascending=False, kind="stable"),
                    caption="A tag is present where its score is at least the threshold.",
                    columns={
                        "images": Column("images with it", format="integer"),
                        "share": Column(format="percent", digits=1),
                        "unknown": Column("not known", format="integer"),
                        "threshold": Column(digits=3),
                    },
                )
            ],
        ),
        Section(title="How to reproduce", code=command or "see manifest.json", notes=list(notes)),
    ]
    if previews:
        strip = [
            Strip(
                title="Tags without a telling name",
                shots=[
                    Shot(pixels=pixels, predicted=name, correct=None)
                    for name, pixels in list(previews.items())[first : first + 8]
                ],
            )
            for first in range(0, len(previews), 8)
        ]
        sections.insert(
            1,
            Section(
                title="Patches and clusters",
                pictures=[
                    Picture(
                        source=strips_figure(strip[first : first + 4], cell=0.9),
                        caption="What a learned tag stands for, enlarged.",
                        alt="Small pictures of learned tags.",
                    )
                    for first in range(0, len(strip), 4)
                ],
            ),
        )
    return Page(
        title=title,
        headline=f"{len(table)} tags for {images} images; {carried} tell images apart.",
        lead="A tagger proposes; whether a tag means what it says is for you to see below.",
        sections=sections,
    )
