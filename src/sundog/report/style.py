"""Fonts, colours and settings of every figure; the user's matplotlib settings stay out of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties

DPI = 150
LARGEST = 20.0
"""No figure is wider or taller than this many inches (3,000 px at 150 dpi)."""

INK = "#1b1f24"
MUTED = "#57606a"
FAINT = "#d0d7de"
RIGHT = "#116329"
WRONG = "#b3261e"
UNKNOWN = "#0a5cad"
# Okabe & Ito's colours (yellow darkened for white paper): apart for colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#1b1f24")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))

_FALLBACKS = (
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Arial Unicode MS",
)


@cache
def families() -> tuple[str, ...]:
    """DejaVu Sans (shipped with matplotlib), then installed fonts for other scripts."""
    installed = set(font_manager.fontManager.get_font_names())
    return ("DejaVu Sans", *(name for name in _FALLBACKS if name in installed))


@cache
def _characters() -> frozenset[int]:
    """Return the code points that one of the fonts can draw."""
    paths = [font_manager.findfont(FontProperties(family=[name])) for name in families()]
    return frozenset().union(*(font_manager.get_font(path).get_charmap() for path in paths))


def drawable(text: str) -> str:
    """Make a text one line of characters that can be drawn.

    Line breaks and control characters become spaces; what no installed font has becomes ``□``, with
    a warning that says which characters (HTML text is not touched by this).
    """
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    missing = sorted({c for c in clean if ord(c) not in _characters() and c != "\u00a0"})
    if not missing:
        return clean
    warnings.warn(
        f"No installed font can draw {''.join(missing)!r}; figures show □ instead. "
        "Install a font for that script, for instance Noto Sans CJK.",
        stacklevel=3,
    )
    return "".join("□" if c in missing else c for c in clean)


@contextmanager
def style() -> Iterator[None]:
    """Draw with the package's fonts and colours, whatever the user's matplotlib settings are."""
    settings: Any = {
        "font.family": list(families()),
        "font.size": 9,
        "text.color": INK,
        "text.parse_math": False,
        "text.usetex": False,
        "axes.unicode_minus": True,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.facecolor": "white",
        "axes.linewidth": 0.7,
        "axes.grid": False,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "image.interpolation": "antialiased",
        "hatch.linewidth": 0.6,
        "svg.hashsalt": "sundog",
        "svg.fonttype": "path",
        "legend.frameon": False,
        "lines.antialiased": True,
        "path.simplify": True,
        "figure.dpi": DPI,
    }
    with mpl.rc_context(settings):
        yield
