"""What a result shows in a notebook: a few lines of HTML, escaped, no script, nothing loaded.

A result says what its card holds; :class:`InNotebook` makes HTML and a short ``repr`` of it.
"""

from __future__ import annotations

import base64
import html
import io
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from sundog.core.statistics.estimate import Estimate

ROWS = 12
"""Rows of a table; how many more there are is said below it."""
LONGEST = 240
"""Characters of a name or a sentence in a cell."""
SHORT = 200
"""Characters of a ``repr``."""
SIDE = 900
"""Longest side of a picture in pixels."""
COLOURS = {"alarm": "#c0392b", "calm": "#2e8b57", "unsure": "#b7791f", "plain": "#3b7dd8"}
"""Of the rule at the left; the word beside it says the same."""
_CELL = "text-align:left;padding:.15em .8em .15em 0;border-bottom:1px solid rgba(128,128,128,.3)"


@dataclass(frozen=True, eq=False)
class Card:
    """What is shown of a result.

    Attributes:
        headline: what it found or holds, in one sentence.
        word: a word or two above the headline, e.g. ``Bias found``.
        tone: ``alarm``, ``calm``, ``unsure`` or ``plain``: the colour of the rule at the left.
        facts: name -> value.
        tables: (caption, table); cells may be numbers, text or estimates.
        pictures: (``uint8[height, width, 3]``, what it shows).
        link: a file to open, for instance the page that was written.
        notes: small print.
    """

    headline: str
    word: str = ""
    tone: str = "plain"
    facts: Mapping[str, object] = field(default_factory=dict)
    tables: Sequence[tuple[str, pd.DataFrame]] = ()
    pictures: Sequence[tuple[NDArray[Any], str]] = ()
    link: Path | None = None
    notes: Sequence[str] = ()


class InNotebook:
    """A result with a card: HTML in a notebook, one line elsewhere.

    Data classes inherit it and are declared with ``repr=False``, so that their own ``repr`` does
    not print whole tables.
    """

    def _card(self) -> Card:
        """Return what is shown of this result."""
        raise NotImplementedError

    def _headline(self) -> str:
        """Return the headline of the card; overridden where the whole card is slow to make."""
        return self._card().headline

    def _repr_html_(self) -> str:
        return card_html(type(self).__name__, self._card())

    def __repr__(self) -> str:
        text = f"{type(self).__name__}({clip(self._headline(), SHORT)})"
        return text.replace("\u00a0", " ")


def card_html(kind: str, card: Card) -> str:
    """Return a card as HTML: inline styles alone, readable on light and dark paper.

    Args:
        kind: name of the class, above the headline.
        card: what to show; all text is escaped.
    """
    colour = COLOURS.get(card.tone, COLOURS["plain"])
    parts = [
        f'<div style="border-left:4px solid {colour};padding:.1em 0 .1em .9em;margin:.4em 0;'
        'max-width:62em;line-height:1.45">',
        f'<div style="font-size:.85em;opacity:.75">{_text(kind)}'
        + (f" · <b>{_text(card.word)}</b>" if card.word else "")
        + "</div>",
        f'<div style="font-size:1.05em"><b>{_text(card.headline, 600)}</b></div>',
    ]
    if card.facts:
        told = "".join(
            f'<div style="margin:.1em 0"><span style="opacity:.75">{_text(name)}:</span> '
            f"{_text(value, 400)}</div>"
            for name, value in card.facts.items()
        )
        parts.append(told)
    parts += [table_html(frame, caption) for caption, frame in card.tables if len(frame.columns)]
    if card.pictures:
        shown = "".join(picture_html(pixels, alt) for pixels, alt in card.pictures)
        parts.append(f'<div style="display:flex;flex-wrap:wrap;gap:.5em">{shown}</div>')
    if card.link is not None:
        parts.append(
            f'<div style="margin:.3em 0">Open: <a href="{_address(card.link)}">'
            f"{_text(str(card.link))}</a></div>"
        )
    if card.notes:
        told = "<br>".join(_text(note, 400) for note in card.notes)
        parts.append(f'<div style="font-size:.85em;opacity:.75">{told}</div>')
    return "".join([*parts, "</div>"])


def table_html(frame: pd.DataFrame, caption: str = "", *, rows: int = ROWS) -> str:
    """Return a table as HTML; at most ``rows`` rows, and how many more there are.

    Args:
        frame: cells may be numbers, text, booleans or estimates; the index is not shown.
        caption: above it.
        rows: at most so many.
    """
    head = "".join(f'<th style="{_CELL}">{_text(str(name))}</th>' for name in frame.columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{_text(text_of(v))}</td>' for v in row) + "</tr>"
        for row in frame.head(rows).itertuples(index=False, name=None)
    )
    title = (
        f'<caption style="caption-side:top;text-align:left;opacity:.75">{_text(caption)}</caption>'
        if caption
        else ""
    )
    more = len(frame) - rows
    below = f'<div style="opacity:.75">{more:,} more rows</div>' if more > 0 else ""
    return (
        f'<table style="border-collapse:collapse;margin:.4em 0">{title}<thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table>{below}"
    )


def picture_html(pixels: NDArray[Any], alt: str) -> str:
    """Return ``uint8[height, width, 3]`` as an image whose data are inside of the text."""
    image = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    tiny = max(image.size) < 64
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=80, method=4, lossless=tiny)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    look = "max-width:100%" + (";image-rendering:pixelated;height:112px" if tiny else "")
    return f'<img alt="{_text(alt)}" style="{look}" src="data:image/webp;base64,{data}">'


def map_pixels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a map ``float[height, width]`` as red (for), white (nothing), blue (against)."""
    finite = np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=0.0, neginf=0.0)
    share = finite / (float(np.abs(finite).max()) or 1.0)
    fade = 1 - np.abs(share)
    red, blue = np.where(share >= 0, 1.0, fade), np.where(share <= 0, 1.0, fade)
    return np.rint(255 * np.stack([red, fade, blue], axis=-1)).astype(np.uint8)


def text_of(value: Any) -> str:
    """Return a cell as text: four digits for numbers, intervals for estimates, a dash for none."""
    if isinstance(value, Estimate):
        return "–" if math.isnan(value.value) else str(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        return "–" if math.isnan(float(value)) else f"{float(value):.4g}"
    return str(value)


def clip(text: str, most: int) -> str:
    """Return a text on one line, cut with an ellipsis where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _text(value: object, most: int = LONGEST) -> str:
    return html.escape(clip(text_of(value), most))


def _address(path: Path) -> str:
    """Return the address of a file: relative to where the notebook runs, if it lies below."""
    try:
        near = path.resolve().relative_to(Path.cwd())
    except ValueError:
        return html.escape(path.resolve().as_uri())
    return html.escape(quote(near.as_posix()))
