"""Latent traversal: what each dimension draws, and how many images lie at each of its values."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from sundog.core.errors import InputError
from sundog.report.montage import decimals, number, paste
from sundog.report.risk_content import Latent
from sundog.report.sheet import Sheet
from sundog.report.style import COLOURS, FAINT, MUTED, style

MOST_ROWS = 12
_LEFT, _HEIGHT, _BETWEEN = 0.75, 0.42, 0.34


def latent_figure(latent: Latent, *, rows: int = MOST_ROWS, title: str = "") -> Figure:
    """Draw a row of decoded images per dimension above the density of the images along it.

    The histogram lies below the pictures on the same scale: each picture stands over the values
    that it was decoded from. Dark bars under a picture mean that many images look like it.

    Args:
        latent: see :class:`Latent`.
        rows: at most this many dimensions; the note says how many there are.
        title: one line at the top.

    Raises:
        InputError: shapes that do not fit together, or values that do not rise.
    """
    grid, values, codes = latent.grid, np.asarray(latent.values), np.asarray(latent.codes)
    count, steps = values.shape if values.ndim == 2 else (0, 0)
    if (
        count < 1 or steps < 2 or grid.shape[:2] != (count, steps)
        or codes.ndim != 2 or codes.shape[1] != count or len(latent.names) != count
        or not (np.diff(values, axis=1) > 0).all()
    ):  # fmt: skip
        raise InputError(
            "latent",
            expected="grid [dimensions, steps, ...], rising values [dimensions, steps], codes "
            "[images, dimensions] and a name per dimension",
            got=f"{grid.shape}, {values.shape}, {codes.shape} and {len(latent.names)} names",
        )
    shown = min(count, rows)
    side = min(0.72, 8.6 / steps)
    wide, step = side * steps, side + _HEIGHT + _BETWEEN
    head = 0.45 if title else 0.15
    with style():
        sheet = Sheet(_LEFT + wide + 0.25, head + shown * step + 0.3)
        sheet.title(title)
        for row in range(shown):
            top = head + row * step
            text, size = sheet.fit(latent.names[row], width=_LEFT - 0.2, size=9.5, bold=True)
            sheet.text(
                text, _LEFT - 0.12, top + side / 2, size=size, align="right", bold=True,
                anchor="center_baseline",
            )  # fmt: skip
            box = sheet.axes(_LEFT, top, wide, side)
            box.imshow(paste([list(grid[row])], side=side, gap=0.0, below=0.0), aspect="auto")
            box.set_axis_off()
            half = (values[row, -1] - values[row, 0]) / (steps - 1) / 2
            low, high = values[row, 0] - half, values[row, -1] + half
            axes = sheet.axes(_LEFT, top + side + 0.03, wide, _HEIGHT)
            own = codes[:, row][np.isfinite(codes[:, row])]
            inside = own[(own >= low) & (own <= high)]
            counts, edges = np.histogram(inside, np.linspace(low, high, 4 * steps + 1))
            axes.stairs(counts, edges, fill=True, color="#7fb2d9", linewidth=0)
            axes.stairs(counts, edges, color=COLOURS[0], linewidth=0.7)
            axes.set_xlim(low, high)
            axes.set_ylim(0, max(1, counts.max()) * 1.05)
            axes.set_yticks([])
            places = decimals([float(low), float(high)], 2)
            ticks = values[row, :: max(1, (steps - 1) // 6)]
            axes.set_xticks(ticks, [number(float(v), places) for v in ticks])
            axes.tick_params(labelsize=7, length=2, width=0.6, pad=1.5)
            for place in ("top", "right", "left"):
                axes.spines[place].set_visible(False)
            axes.spines["bottom"].set_color(FAINT)
            outside = len(own) - len(inside)
            if outside:
                sheet.text(
                    f"{outside:,} outside", _LEFT - 0.12, top + side + 0.03 + _HEIGHT / 2, size=7,
                    align="right", anchor="center_baseline", colour=MUTED,
                )  # fmt: skip
        more = f" {count - shown} further dimensions are not drawn." if count > shown else ""
        sheet.note(
            f"Bars: how many of {len(codes):,} images lie at each value.{more} {latent.note}",
            lines=2,
        )
    return sheet.figure
