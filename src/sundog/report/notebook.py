"""What a run shows in a notebook: the headline of its page, a table, a picture, and the link."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from sundog.core.notebook import SIDE, Card, InNotebook
from sundog.report.arrays import as_pixels
from sundog.report.page import WORDS, Page
from sundog.report.save import figure_pixels
from sundog.report.section import Section
from sundog.report.table import Table, show


class PageInNotebook(InNotebook):
    """A run that wrote a page; the page's own content is shown.

    Attributes:
        content: the page.
        page: where it was written, or None.
    """

    content: Page
    page: Path

    def _headline(self) -> str:
        return self.content.headline

    def _card(self) -> Card:
        return page_card(self.content, self.page)


def page_card(content: Page, link: Path | None) -> Card:
    """Return the card of a page: its answer, first table and first picture.

    Args:
        content: the page.
        link: where it was written, or None.
    """
    sections = list(_walk(content.sections))
    table = next(_tables(sections), None)
    pictures = next(_pictures(sections), [])
    return Card(
        headline=content.headline,
        word=content.word or WORDS[content.tone],
        tone=content.tone,
        facts=dict(content.answers),
        tables=[] if table is None else [table],
        pictures=pictures,
        link=link,
        notes=[content.title, *content.alarms],
    )


def _walk(sections: Sequence[Section]) -> Iterator[Section]:
    for section in sections:
        yield section
        yield from _walk(section.parts)


def _tables(sections: list[Section]) -> Iterator[tuple[str, pd.DataFrame]]:
    for section in sections:
        if section.checks:
            rows = [
                {"question": c.question, "": c.word, "answer": c.answer} for c in section.checks
            ]
            yield section.title, pd.DataFrame(rows)
        for table in section.tables:
            yield table.caption, _plain(table)


def _pictures(sections: list[Section]) -> Iterator[list[tuple[NDArray[np.uint8], str]]]:
    """Return pictures that are shown together: a row of a gallery that belongs together, or one."""
    for section in sections:
        for gallery in section.galleries:
            row = gallery.photos[: gallery.columns or 1]
            yield [(as_pixels(photo.pixels), photo.alt) for photo in row]
        for picture in section.pictures:
            yield [(_pixels(picture.source), picture.alt)]


def _pixels(source: Figure | NDArray[Any]) -> NDArray[np.uint8]:
    if not isinstance(source, Figure):
        return as_pixels(source)
    image = Image.fromarray(figure_pixels(source))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _plain(table: Table) -> pd.DataFrame:
    """Return the rows with the titles of the page, and numbers as the page's formats are."""
    shown = show(table)
    names = [header.text for header in shown.headers]
    rows = [[f"{c.text} {c.interval}".strip() for c in row] for row in shown.rows]
    frame = pd.DataFrame(rows)
    frame.columns = pd.Index(names)
    return frame
