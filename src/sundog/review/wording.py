"""Numbers and names as people read them; the page and the terminal use the same words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

MINUS = "\u2212"
THIN = "\u00a0"
"""No line break between a number and its unit."""


class Piece(NamedTuple):
    """A part of a sentence; names are kept apart, so that a page can isolate and mark them."""

    kind: Literal["plain", "name", "strong"]
    text: str


Sentence = tuple[Piece, ...]


def sentence(*parts: str | Piece | Iterable[Piece]) -> Sentence:
    """Join strings and pieces into one sentence; neighbouring plain parts become one."""
    flat: list[Piece] = []
    for part in parts:
        if isinstance(part, str):
            pieces: Iterable[Piece] = (Piece("plain", part),)
        elif isinstance(part, Piece):
            pieces = (part,)
        else:
            pieces = part
        for piece in pieces:
            if flat and flat[-1].kind == piece.kind == "plain":
                flat[-1] = Piece("plain", flat[-1].text + piece.text)
            elif piece.text:
                flat.append(piece)
    return tuple(flat)


def name(text: str) -> Piece:
    """A class or concept."""
    return Piece("name", text)


def strong(text: str) -> Piece:
    """What the eye should find first."""
    return Piece("strong", text)


def quoted(names: Sequence[str], joint: str = "and") -> Sentence:
    """Return “a”, “b” and “c”."""
    parts: list[str | Piece] = []
    for index, one in enumerate(names):
        if index:
            parts.append(f" {joint} " if index == len(names) - 1 else ", ")
        parts += ["“", name(one), "”"]
    return sentence(*parts)


def plain_text(pieces: Sentence) -> str:
    """Return one line for a terminal: what could move its cursor is replaced."""
    return "".join(printable(piece.text) for piece in pieces)


def printable(text: str) -> str:
    """Replace what a terminal could obey (escapes, line breaks, direction marks) with ``�``."""
    kept = (THIN, "\u200d")  # the joiner of emoji
    return "".join(c if c.isprintable() or c in kept else "\ufffd" for c in text)


def percent(share: float) -> str:
    """Return ``45 %``; one decimal where rounding would say 0 or 100 though it is not."""
    value = 100 * share
    rounded = f"{value:.0f}"
    if rounded in ("0", "100", "-0") and abs(value - float(rounded)) > 1e-9:
        rounded = f"{value:.1f}"
    return f"{rounded}{THIN}%"


def points(difference: float) -> str:
    """Return ``47``, or ``0.4`` below one, or ``−3``, in percentage points."""
    value = 100 * difference
    size = abs(value)
    text = f"{size:.1f}" if 0.05 <= size < 0.95 else f"{size:.0f}"
    return (MINUS if value < 0 and text != "0" else "") + text


def signed_points(difference: float) -> str:
    """Return ``+47`` or ``−3``."""
    text = points(difference)
    return text if text.startswith(MINUS) or text == "0" else f"+{text}"


def interval(low: float | None, high: float | None, *, flip: bool = False) -> str:
    """Return `` [31, 60]``; with ``flip`` of the negated difference; empty without an interval."""
    if low is None or high is None:
        return ""
    ends = (-high, -low) if flip else (low, high)
    return f"{THIN}[{points(ends[0])},{THIN}{points(ends[1])}]"


def probability(p: float) -> str:
    """Return ``0.031``, or ``under 0.001``."""
    if p < 0.001:
        return "under 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(number: int, thing: str) -> str:
    """Return ``1 image``, ``2,340 images``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
