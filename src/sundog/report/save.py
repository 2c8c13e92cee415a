"""Figures as PNG and SVG: the same bytes every time (no date, fixed ids), written atomically."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.core.files import write_bytes
from sundog.report.style import DPI, style


def figure_bytes(figure: Figure, kind: str = "png", *, dpi: int = DPI) -> bytes:
    """Return a figure as PNG or SVG; the same figure gives the same bytes.

    Raises:
        InputError: another kind.
    """
    if kind not in ("png", "svg"):
        raise InputError("kind of figure", expected="'png' or 'svg'", got=repr(kind))
    stream = io.BytesIO()
    metadata: dict[str, Any] = {"Software": None} if kind == "png" else {"Date": None}
    with style():
        figure.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
    return stream.getvalue()


def figure_pixels(figure: Figure, *, dpi: int = DPI) -> NDArray[np.uint8]:
    """Return a figure as ``uint8[height, width, 3]``: what its PNG holds, without packing it."""
    before, canvas = figure.canvas, FigureCanvasAgg(figure)
    stream = io.BytesIO()
    try:
        with style():
            figure.savefig(stream, format="rgba", dpi=dpi)
    finally:
        figure.set_canvas(before)
    width, height = int(canvas.renderer.width), int(canvas.renderer.height)
    drawn = np.frombuffer(stream.getvalue(), dtype=np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(drawn[:, :, :3])


def save_figures(figures: Figure | Sequence[Figure], path: str | os.PathLike[str]) -> list[Path]:
    """Write one figure to ``path``, or pages to ``name-1.png``, ``name-2.png``, ...

    Args:
        figures: one figure or the pages of one.
        path: ends in ``.png`` or ``.svg``.

    Returns:
        The paths written, in order.

    Raises:
        InputError: no figure, or another suffix.
    """
    pages = [figures] if isinstance(figures, Figure) else list(figures)
    target = Path(path)
    if not pages:
        raise InputError("figures", expected="at least one", got="none")
    kind = target.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise InputError("figure path", expected="to end in .png or .svg", got=repr(target.name))
    if len(pages) == 1:
        return [write_bytes(target, figure_bytes(pages[0], kind))]
    return [
        write_bytes(
            target.with_name(f"{target.stem}-{number}{target.suffix}"), figure_bytes(page, kind)
        )
        for number, page in enumerate(pages, start=1)
    ]
