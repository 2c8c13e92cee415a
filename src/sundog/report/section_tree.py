"""Sections made ready for the template: tables as text, charts placed, pictures numbered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sundog.core.errors import InputError
from sundog.report.blocks import Gallery, Photo
from sundog.report.dose_curve import DrawnCurve, draw_curve
from sundog.report.interval_chart import DrawnChart, draw_chart
from sundog.report.picture import Picture
from sundog.report.section import Section
from sundog.report.table import Shown, show

DEEPEST = 4
"""Sections may hold parts, and those parts of their own: headings h2 to h4."""


@dataclass(frozen=True)
class Node:
    """A section ready for the template; pictures are numbers into the page's list of them."""

    section: Section
    anchor: str
    level: int
    tables: list[Shown]
    charts: list[DrawnChart]
    curves: list[DrawnCurve]
    galleries: list[tuple[Gallery, list[tuple[int, Photo]]]]
    pictures: list[tuple[int, Picture]]
    parts: list[Node]


@dataclass
class Tree:
    """All sections of a page, and all pictures in the order in which they stand.

    Attributes:
        nodes: top sections.
        pictures: every picture once.
        anchors: title of a top section -> its id.
    """

    nodes: list[Node] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    anchors: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    @classmethod
    def plant(cls, sections: Sequence[Section]) -> Tree:
        """Prepare sections and their parts.

        Raises:
            InputError: a section without a title, or parts that lie too deep.
        """
        tree = cls()
        for section in sections:
            node = tree._node(section, level=2)
            tree.nodes.append(node)
            tree.anchors.setdefault(section.title, node.anchor)
        return tree

    def _node(self, section: Section, *, level: int) -> Node:
        if not section.title.strip():
            raise InputError("section", expected="a title", got="an empty one")
        if level > DEEPEST:
            raise InputError("parts of a section", expected="two levels at most", got="more")
        anchor = self._anchor(section.title)
        galleries = [
            (gallery, [(self._add(photo.picture), photo) for photo in gallery.photos])
            for gallery in section.galleries
        ]
        pictures = [(self._add(picture), picture) for picture in section.pictures]
        return Node(
            section=section,
            anchor=anchor,
            level=level,
            tables=[show(table) for table in section.tables],
            charts=[draw_chart(chart) for chart in section.charts],
            curves=[draw_curve(curve) for curve in section.curves],
            galleries=galleries,
            pictures=pictures,
            parts=[self._node(part, level=level + 1) for part in section.parts],
        )

    def _add(self, picture: Picture) -> int:
        self.pictures.append(picture)
        return len(self.pictures) - 1

    def _anchor(self, title: str) -> str:
        """Return a distinct ASCII id."""
        number = len(self._taken) + 1
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or f"section-{number}"
        while anchor in self._taken:
            anchor = f"{anchor}-{number}"
        self._taken.add(anchor)
        return anchor
