"""Every figure of the package in one place.

``image_grid``, ``method_grid`` and ``compare_grid`` return pages (a list of figures, never larger
than 3,000 px); ``curve_figure``, ``bar_figure`` and ``forest_figure`` return one figure.
``save_figures`` writes either as PNG or SVG.
"""

from __future__ import annotations

from sundog.report.bars import bar_figure, forest_figure
from sundog.report.compare_grid import ModelView, compare_grid
from sundog.report.curves import Curve, curve_figure
from sundog.report.image_grid import image_grid
from sundog.report.method_grid import method_grid
from sundog.report.overlay import PALETTES, blend
from sundog.report.save import figure_bytes, save_figures

__all__ = [
    "PALETTES",
    "Curve",
    "ModelView",
    "bar_figure",
    "blend",
    "compare_grid",
    "curve_figure",
    "figure_bytes",
    "forest_figure",
    "image_grid",
    "method_grid",
    "save_figures",
]
