"""Curves of a probability while pixels go (deletion) or come (insertion)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.report.sheet import Sheet
from sundog.report.style import COLOURS, DASHES, FAINT, INK, MUTED, style


@dataclass(frozen=True)
class Curve:
    """A probability against the share of pixels changed.

    Attributes:
        x: shares in [0, 1], rising.
        y: probabilities in [0, 1].
        low: lower end of an interval for every point, or None.
        high: upper end.
        control: a row that knows nothing of the classifier (random, centre, ...): drawn in grey.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    control: bool = False


def area(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the area under a curve by the trapezoid rule: ``Σ (x_{i+1} - x_i)(y_i + y_{i+1})/2``.

    Raises:
        InputError: fewer than two points, unequal lengths, or ``x`` not rising.
    """
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if across.ndim != 1 or across.shape != up.shape or len(across) < 2:
        raise InputError(
            "curve",
            expected="x and y of one length, at least 2",
            got=f"shapes {across.shape} and {up.shape}",
        )
    if not (np.isfinite(across).all() and np.isfinite(up).all() and (np.diff(across) > 0).all()):
        raise InputError("curve", expected="finite, with rising x", got="other values")
    return float((np.diff(across) * (up[1:] + up[:-1]) / 2).sum())


def line_look(position: int, *, control: bool = False) -> dict[str, Any]:
    """Return colour and dash of the method at a position: 7 colours × 3 dashes, then round again.

    Controls are grey and dashed, so that they recede.
    """
    if control:
        return {"color": "#8c959f", "linestyle": DASHES[1 + position % 2], "linewidth": 1.2}
    dash = DASHES[(position // len(COLOURS)) % len(DASHES)]
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": dash, "linewidth": 1.6}


def looks(curves: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """Give every method (name → is it a control) its own look, in the order of the mapping."""
    methods = [name for name, control in curves.items() if not control]
    controls = [name for name, control in curves.items() if control]
    return {
        **{name: line_look(i) for i, name in enumerate(methods)},
        **{name: line_look(i, control=True) for i, name in enumerate(controls)},
    }


def dress(axes: Axes, *, x_label: str | None, y_label: str | None, small: bool = False) -> None:
    """Percent axes from 0 to 100 with a light grid and no box."""
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    ticks = [0, 0.25, 0.5, 0.75, 1] if not small else [0, 0.5, 1]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol="\u00a0%"))
        axis.set_ticks(ticks)
    axes.tick_params(labelsize=7 if small else 8.5, length=2.5, width=0.6, pad=2)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if x_label is None:
        axes.tick_params(labelbottom=False)
    else:
        axes.set_xlabel(x_label, fontsize=8 if small else 9, labelpad=2)
    if y_label is not None:
        axes.set_ylabel(y_label, fontsize=8 if small else 9, labelpad=2)


def curve_figure(
    curves: Mapping[str, Curve],
    *,
    x_label: str = "pixels removed, most relevant first",
    y_label: str = "probability of the predicted class",
    lower_is_better: bool | None = True,
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw one curve per method, with its interval as a band and its area in the legend.

    Args:
        curves: method → curve; at most 30.
        x_label: what changes along the curve.
        y_label: what is measured.
        lower_is_better: sorts the legend, best first (deletion True, insertion False); None keeps
            the order of the mapping.
        title: one line at the top.
        note: small print, for instance n and what the band is.

    Returns:
        One figure.

    Raises:
        InputError: no curve, more than 30, or a broken one.
    """
    if not 1 <= len(curves) <= 30:
        raise InputError("curves", expected="1 to 30 methods", got=str(len(curves)))
    areas = {name: area(curve.x, curve.y) for name, curve in curves.items()}
    order = list(curves)
    if lower_is_better is not None:
        order.sort(key=lambda name: areas[name] if lower_is_better else -areas[name])
    look = looks({name: curve.control for name, curve in curves.items()})
    head, foot, row = (0.5 if title else 0.2), 0.55 + (0.3 if note else 0), 0.21
    body = max(3.2, 0.35 + row * len(order))
    with style():
        sheet = Sheet(7.6, head + body + foot)
        sheet.title(title)
        axes = sheet.axes(0.7, head, 4.3, body)
        for name, curve in curves.items():
            if curve.low is not None and curve.high is not None:
                axes.fill_between(
                    curve.x,
                    np.clip(curve.low, 0, 1),
                    np.clip(curve.high, 0, 1),
                    color=look[name]["color"],
                    alpha=0.12,
                    linewidth=0,
                )
            axes.plot(curve.x, curve.y, **look[name])
        dress(axes, x_label=x_label, y_label=y_label)
        direction = {True: " (lower is better)", False: " (higher is better)", None: ""}
        sheet.text(
            f"area under the curve{direction[lower_is_better]}", 5.2, head, size=8, colour=MUTED
        )
        for place, name in enumerate(order):
            legend_line(
                sheet,
                name.replace("_", " "),
                areas[name],
                look[name],
                left=5.2,
                top=head + 0.3 + row * place,
                width=2.3,
            )
        sheet.note(note)
    return sheet.figure


def legend_line(
    sheet: Sheet,
    name: str,
    value: float,
    look: Mapping[str, Any],
    *,
    left: float,
    top: float,
    width: float,
    size: float = 8.5,
) -> None:
    """Write ``— 0.213 name`` with the line as it is drawn in the plot."""
    sheet.line(left, top + 0.06, left + 0.24, **look)
    text, points = sheet.fit(name, width=width - 0.3, size=size, before=f"{value:.3f}  ")
    sheet.text(text, left + 0.3, top + 0.06, size=points, anchor="center_baseline", colour=INK)
