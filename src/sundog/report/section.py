"""A part of a page: what it may hold, and in which order it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sundog.report.blocks import Action, Badge, Check, Gallery
from sundog.report.dose_curve import DoseCurve
from sundog.report.interval_chart import IntervalChart
from sundog.report.picture import Picture
from sundog.report.table import Table


@dataclass(frozen=True)
class Section:
    """A part of a page, shown in this order.

    Badges, text, checks, galleries, charts, curves, tables, pictures, facts, action, code, notes,
    parts.

    Attributes:
        title: its heading.
        text: paragraphs.
        tables: with captions.
        pictures: with captions and alt texts.
        facts: name → value, for settings.
        code: a command or snippet, shown as it is.
        notes: small print, for limits.
        badges: beside the heading.
        checks: questions with their answers at a glance.
        galleries: photographs side by side.
        charts: numbers with their intervals drawn to scale.
        curves: dose response.
        action: what to do.
        parts: sections below this one, with smaller headings.
        fold: whether all but the heading is folded away until the reader opens it; open in print.
    """

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    code: str = ""
    notes: Sequence[str] = ()
    badges: Sequence[Badge] = ()
    checks: Sequence[Check] = ()
    galleries: Sequence[Gallery] = ()
    charts: Sequence[IntervalChart] = ()
    curves: Sequence[DoseCurve] = ()
    action: Action | None = None
    parts: Sequence[Section] = ()
    fold: bool = False
