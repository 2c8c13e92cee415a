"""Every pair of risks as a scatter of ranks, right and wrong images told apart."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.stats import rankdata

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.report.phrases import correlation
from sundog.report.sheet import Sheet
from sundog.report.style import COLOURS, FAINT, MUTED, style

MOST_POINTS, MOST_PANELS = 2000, 6
_SIDE, _GAP, _LEFT = 2.75, 0.85, 0.7


def scatter_figure(
    scores: Mapping[str, Float[np.ndarray, " images"]],
    *,
    correct: Bool[np.ndarray, " images"] | None = None,
    correlations: Mapping[tuple[str, str], Estimate] | None = None,
    title: str = "",
) -> Figure:
    """Draw one panel per pair of scores; both axes are percentiles, so no outlier rules.

    Args:
        scores: name -> one value per image; images with a value that is not finite are left out
            of a panel. At least two; the first 6 pairs are drawn.
        correct: whether each image was classified right; None: all alike.
        correlations: (name, name) -> Spearman correlation, written above its panel.
        title: one line at the top.

    Returns:
        One figure. More than 2,000 images: every k-th in the order given, which the note says.

    Raises:
        InputError: fewer than two scores, or counts that differ.
    """
    lengths = {len(v) for v in scores.values()} | ({len(correct)} if correct is not None else set())
    if len(scores) < 2 or len(lengths) != 1:
        raise InputError(
            "scores", expected="at least two, of equal length", got=f"{len(scores)} of {lengths}"
        )
    pairs = list(combinations(scores, 2))
    panels, known = pairs[:MOST_PANELS], correlations or {}
    count = lengths.pop()
    every = max(1, -(-count // MOST_POINTS))
    kept = np.zeros(count, bool)
    kept[::every] = True
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    head, step = (0.5 if title else 0.2), _SIDE + 1.0
    with style():
        sheet = Sheet(_LEFT + across * (_SIDE + _GAP) - _GAP + 0.3, head + down * step + 0.15)
        sheet.title(title)
        for place, (a, b) in enumerate(panels):
            left = _LEFT + (place % across) * (_SIDE + _GAP)
            top = head + (place // across) * step + 0.25
            axes = sheet.axes(left, top, _SIDE, _SIDE)
            fine = np.isfinite(scores[a]) & np.isfinite(scores[b])
            x, y = (np.full(count, np.nan) for _ in range(2))
            for ranks, name in ((x, a), (y, b)):
                ranks[fine] = (rankdata(scores[name][fine]) - 0.5) / max(1, int(fine.sum()))
            if not fine.any():
                sheet.text(
                    "no image has both values", left + _SIDE / 2, top + _SIDE / 2, size=8.5,
                    align="center", colour=MUTED,
                )  # fmt: skip
            right = np.ones(count, bool) if correct is None else np.asarray(correct, bool)
            axes.scatter(
                x[kept & right], y[kept & right], s=7, color=COLOURS[0], alpha=0.35, linewidths=0
            )
            axes.scatter(
                x[kept & ~right], y[kept & ~right], s=15, color=COLOURS[1], marker="x",
                alpha=0.85, linewidths=0.9,
            )  # fmt: skip
            rho = known.get((a, b), known.get((b, a)))
            words = f"ρ = {correlation(rho)}" if rho is not None else ""
            text, size = sheet.fit(words, width=_SIDE + 0.3, size=9, bold=True)
            sheet.text(
                text,
                left + _SIDE / 2,
                top - 0.08,
                size=size,
                align="center",
                bold=True,
                anchor="baseline",
            )
            for axis, name in ((axes.xaxis, a), (axes.yaxis, b)):
                axis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
                text, size = sheet.fit(f"percentile by {name}", width=_SIDE, size=8.5)
                axis.set_label_text(text, fontsize=size)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
            axes.tick_params(labelsize=8, length=2.5, width=0.6)
            axes.grid(color=FAINT, linewidth=0.5)
            axes.set_axisbelow(True)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        note = "" if correct is None else "● right, × wrong. "
        note += f"n = {count:,} images"
        note += f"; {int(kept.sum()):,} of them are drawn, evenly picked" if every > 1 else ""
        hidden = len(pairs) - len(panels)
        note += f"; {hidden} further pairs are not drawn." if hidden else "."
        sheet.note(note)
    return sheet.figure
