"""Every figure of the package in one place.

``image_grid``, ``method_grid`` and ``compare_grid`` return pages (a list of figures, never larger
than 3,000 px); all others return one figure.
``save_figures`` writes either as PNG or SVG.
"""

from __future__ import annotations

from sundog.report.bars import bar_figure, forest_figure
from sundog.report.before_after import before_after_figure
from sundog.report.compare_grid import ModelView, compare_grid
from sundog.report.curves import Curve, curve_figure
from sundog.report.density_figure import density_figure
from sundog.report.epochs_figure import epochs_figure
from sundog.report.image_grid import image_grid
from sundog.report.latent_figure import latent_figure
from sundog.report.method_grid import method_grid
from sundog.report.montage import montage_figure
from sundog.report.overlay import PALETTES, blend
from sundog.report.reliability_figure import reliability_figure
from sundog.report.risk_curves import frozen_curve_figure, risk_curve_figure
from sundog.report.save import figure_bytes, save_figures
from sundog.report.scatter_figure import scatter_figure

__all__ = [
    "PALETTES",
    "Curve",
    "ModelView",
    "bar_figure",
    "before_after_figure",
    "blend",
    "compare_grid",
    "curve_figure",
    "density_figure",
    "epochs_figure",
    "figure_bytes",
    "forest_figure",
    "frozen_curve_figure",
    "image_grid",
    "latent_figure",
    "method_grid",
    "montage_figure",
    "reliability_figure",
    "risk_curve_figure",
    "save_figures",
    "scatter_figure",
]
