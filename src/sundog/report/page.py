"""One HTML page that holds everything: text, tables and pictures; no script, no outside request.

The page opens from a disk or a mail without a network: style is inline, pictures are data URIs, and
its content-security policy forbids the browser to load anything else. All text is escaped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup

from sundog.core.errors import InputError
from sundog.core.files import write_text
from sundog.report.picture import LEVELS, Encoded, encode
from sundog.report.section import Section as Section
from sundog.report.section_tree import Tree

MAX_BYTES = 5_000_000
GLUE = re.compile(r"\b[np] [=<>≤] (?=[\d.−])|\[[−+]?[\d.,]+, (?=[−+\d])")
LONGEST = 5_000
"""Characters of a text; what is longer is a picture."""


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: what was looked at; also the title of the window.
        headline: the answer in one sentence.
        sections: in order.
        tone: ``alarm`` a bias was found, ``calm`` none was, ``unsure`` the data cannot tell,
            ``plain`` the page does not judge. Written as a word too, never by colour alone.
        lead: one or two sentences under the headline.
        footer: the last line, for instance version and date; nothing is added to it.
        word: stands above the headline instead of the tone's own word.
        answers: question → sentence, under the headline: for answers that need more than one.
        alarms: what the reader must know before anything else, e.g. that a part is missing.
    """

    title: str
    headline: str
    sections: Sequence[Section]
    tone: Literal["alarm", "calm", "unsure", "plain"] = "plain"
    lead: str = ""
    footer: str = ""
    word: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    alarms: Sequence[str] = ()


WORDS = {
    "alarm": "Bias found",
    "calm": "No bias found",
    "unsure": "Cannot tell",
    "plain": "Result",
}
"""The word of each tone."""


def _glued(value: object) -> object:
    """Keep ``n = 40``, ``p < 0.001`` and ``[50, 63]`` on one line, wherever the page has text."""
    if type(value) is not str or len(value) > LONGEST:
        return value
    return GLUE.sub(lambda found: found[0].replace(" ", "\u00a0"), value)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sundog.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_glued,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(page: Page, *, max_bytes: int = MAX_BYTES) -> str:
    """Return the page as HTML.

    Args:
        page: what to show.
        max_bytes: the page is at most this long in UTF-8; pictures are made coarser until it fits.

    Returns:
        HTML; the same page gives the same text.

    Raises:
        InputError: an empty headline or page, an unknown tone, a section without a title, or a page
            that is too long even with the coarsest pictures.
    """
    if not page.title.strip() or not page.headline.strip() or not page.sections:
        raise InputError(
            "page", expected="a title, a headline and at least one section", got="less"
        )
    if page.tone not in WORDS:
        raise InputError("tone", expected=f"one of {sorted(WORDS)}", got=repr(page.tone))
    loader = _environment().loader
    if loader is None:
        raise InputError("templates", expected="installed with the package", got="none")
    style = Markup(loader.get_source(_environment(), "page.css")[0])  # noqa: S704 (own file)
    tree = Tree.plant(page.sections)

    def fill(encoded: Sequence[Encoded]) -> str:
        template = _environment().get_template("page.html")
        return template.render(
            page=page, word=page.word or WORDS[page.tone], tree=tree, encoded=encoded, style=style
        )

    blank = Encoded(uri="", width=1, height=1)
    bare = len(fill([blank] * len(tree.pictures)).encode("utf-8"))
    size = bare
    for scale, quality in LEVELS:
        once: dict[tuple[int, str], Encoded] = {}  # one picture may stand in several places
        encoded = []
        for picture in tree.pictures:
            key = id(picture.source), picture.kind
            if key not in once:
                once[key] = encode(picture, scale=scale, quality=quality)
            encoded.append(once[key])
        size = bare + sum(map(_bytes, encoded))
        if size <= max_bytes:
            return fill(encoded)
        if not encoded:
            break
    raise InputError(
        "page",
        expected=f"at most {max_bytes:,} bytes",
        got=f"{size:,} bytes at the coarsest",
        hint="Show fewer pictures or rows, or raise max_bytes.",
    )


def write_page(page: Page, path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> Path:
    """Write the page atomically and return its path; see :func:`render`."""
    return write_text(path, render(page, max_bytes=max_bytes))


def _bytes(encoded: Encoded) -> int:
    """Return how much longer a page is with this picture: its data and the digits of its size."""
    return len(encoded.uri) + len(str(encoded.width)) + len(str(encoded.height)) - 2
