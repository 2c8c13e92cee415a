"""A page as Markdown for a readme or a pull request: the same words and numbers, pictures as links.

All text is escaped: names with ``|``, ``<`` or backticks change neither tables nor the page.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

from sundog.report.blocks import Badge, Check, Gallery
from sundog.report.dose_curve import DoseCurve
from sundog.report.interval_chart import IntervalChart, draw_chart
from sundog.report.page import Page
from sundog.report.phrases import share
from sundog.report.section import Section
from sundog.report.table import Table, show

_SPECIAL = re.compile(r"([\\`*_|~$])")
_LINK = re.compile(r"\](?=[(\[:])")
_START = re.compile(r"^(\d*)([#+\-=.)])(?=[#+\-=]*(?:\s|$))")
"""What means something at the start of a line: headings, lists, rules."""


def page_markdown(page: Page) -> str:
    """Return the page as GitHub-flavoured Markdown.

    Pictures of galleries become links to their files, relative to the run folder; figures, which
    have no file, are left out, their captions kept. Folded sections are ``<details>``.
    """
    lines = [f"# {plain(page.title)}", ""]
    lines += [line for alarm in page.alarms for line in (f"> **Attention.** {plain(alarm)}", "")]
    lines += [f"**{plain(page.word or page.tone).upper()}.** {plain(page.headline)}", ""]
    lines += [plain(page.lead), ""] if page.lead else []
    for question, sentence in page.answers.items():
        lines += [f"**{plain(question)}.** {plain(sentence)}", ""]
    for section in page.sections:
        lines += _section(section, level=2)
    if page.footer:
        lines += ["---", "", plain(page.footer), ""]
    return "\n".join(lines).rstrip() + "\n"


def plain(text: str) -> str:
    """Return a text on one line that Markdown shows as it is."""
    line = _SPECIAL.sub(r"\\\1", _as_html(text))
    return _START.sub(r"\1\\\2", _LINK.sub(r"\\]", line))


def _as_html(text: str) -> str:
    """Return a text on one line as HTML holds it; quotes need no escape there."""
    return html.escape(" ".join(text.split()), quote=False)


def fenced(code: str) -> list[str]:
    """Return a code block whose fence is longer than any in the code."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}sh", code, fence, ""]


def _section(section: Section, *, level: int) -> list[str]:
    title = plain(section.title)
    lines: list[str] = []
    if section.fold:
        lines += ["<details>", f"<summary>{_as_html(section.title)}</summary>", ""]
    else:
        lines += [f"{'#' * level} {title}", ""]
    lines += _badges(section.badges)
    for text in section.text:
        lines += [plain(text), ""]
    lines += _checks(section.checks)
    for gallery in section.galleries:
        lines += _gallery(gallery)
    for chart in section.charts:
        lines += _chart(chart)
    for curve in section.curves:
        lines += _curve(curve)
    for table in section.tables:
        lines += _table(table)
    for picture in section.pictures:
        lines += [f"*{plain(picture.caption)}*", ""]
    if section.facts:
        lines += _rows(["", ""], [[str(k), str(v)] for k, v in section.facts.items()])
    if section.action is not None:
        lines += [f"**What to do:** {plain(section.action.text)}", ""]
        lines += fenced(section.action.command) if section.action.command else []
    lines += fenced(section.code) if section.code else []
    lines += [*(f"- {plain(note)}" for note in section.notes), *([""] if section.notes else [])]
    for part in section.parts:
        lines += _section(part, level=level + 1)
    return [*lines, "</details>", ""] if section.fold else lines


def _badges(badges: Sequence[Badge]) -> list[str]:
    return [" · ".join(f"**{plain(badge.text)}**" for badge in badges), ""] if badges else []


def _checks(checks: Sequence[Check]) -> list[str]:
    if not checks:
        return []
    noted = any(check.note for check in checks)
    rows = [
        [check.question, check.word or "–", check.answer, *([check.note] if noted else [])]
        for check in checks
    ]
    return _rows(["question", "", "answer", *(["note"] if noted else [])], rows)


def _gallery(gallery: Gallery) -> list[str]:
    """Return a table of pictures, at most eight a row; those without a file keep their words."""
    across = gallery.columns or min(8, len(gallery.photos))
    lines = [f"*{plain(gallery.title)}*", ""]
    cells = []
    for photo in gallery.photos:
        mark = {True: "✓ ", False: "✗ ", None: ""}[photo.correct]
        words = plain(" ".join(part for part in (photo.head, f"{mark}{photo.words}") if part))
        cells.append(f"{_picture(photo.alt, photo.file)}<br>{words}" if photo.file else words)
    cells += [""] * (-len(cells) % across)
    for first in range(0, len(cells), across):
        row = f"| {' | '.join(cells[first : first + across])} |"
        lines += [row, "|" + "---|" * across] if first == 0 else [row]
    return [*lines, ""]


def _picture(alt: str, file: str) -> str:
    """Return a picture's link; the address is quoted, so that no name breaks out of it."""
    address = "".join(
        c if c.isalnum() or c in "/._-" else "".join(f"%{b:02X}" for b in c.encode()) for c in file
    )
    return f"![{plain(alt)}]({address})"


def _chart(chart: IntervalChart) -> list[str]:
    drawn = draw_chart(chart)
    lines = [f"*{plain(drawn.caption)}*", ""]
    rows = [
        [track.name, f"{track.text} {track.interval}".strip(), f"{track.n:,}", track.note]
        for track in drawn.tracks
    ]
    noted = any(row[3] for row in rows)
    header = ["", "value", drawn.count, *(["note"] if noted else [])]
    return lines + _rows(header, [row if noted else row[:3] for row in rows])


def _curve(curve: DoseCurve) -> list[str]:
    rows = [
        [f"{dose:.0%}", share(value), f"{value.n:,}"]
        for dose, value in curve.points
        if math.isfinite(value.value)
    ]
    return [f"*{plain(curve.title)}*", "", *_rows([curve.across, "share", "n"], rows)]


def _table(table: Table) -> list[str]:
    shown = show(table)
    header = [
        f"{head.text} ({head.direction})" if head.direction else head.text for head in shown.headers
    ]
    rows = [[f"{cell.text} {cell.interval}".strip() for cell in row] for row in shown.rows]
    return [f"*{plain(shown.caption)}*", "", *_rows(header, rows)]


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(plain(cell) for cell in header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]
