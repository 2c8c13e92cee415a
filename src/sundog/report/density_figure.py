"""One histogram of a score per group or class, all on one scale, with the median of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.report.montage import decimals, number
from sundog.report.sheet import Sheet
from sundog.report.style import COLOURS, FAINT, INK, MUTED, style

MOST_ROWS = 24
_ROW, _LEFT, _PLOT = 0.36, 2.0, 6.2


def density_figure(
    scores: Float[np.ndarray, " images"],
    *,
    members: Int[np.ndarray, " images"] | None = None,
    names: Sequence[str] = (),
    score: str,
    low_words: str = "",
    high_words: str = "",
    title: str = "",
    rows: int = MOST_ROWS,
) -> Figure:
    """Draw the histogram of a score for all images and for each group, lowest median at the top.

    Every histogram is scaled to its own highest bar, so that shapes of small groups can be seen;
    the number of images stands beside it. The scale leaves out 0.5 % of the images at each end;
    they are counted in the outermost bars.

    Args:
        scores: one value per image; NaN and infinite values are left out and counted.
        members: group of each image, -1 for none; None for one histogram of all images.
        names: of the groups.
        score: what it is, with its unit.
        low_words: what low values mean.
        high_words: what high values mean.
        title: one line at the top.
        rows: at most this many groups: those with the lowest and the highest medians are drawn,
            and the note says how many are not.

    Returns:
        One figure.

    Raises:
        InputError: counts that differ, or a group without a name.
    """
    values = np.asarray(scores, dtype=np.float64)
    group = None if members is None else np.asarray(members)
    if group is not None and (
        group.shape != values.shape or int(group.max(initial=-1)) >= len(names)
    ):
        raise InputError(
            "groups",
            expected=f"one per score ({len(values)}), below {len(names)}",
            got=f"{len(group)}, up to {int(group.max(initial=-1))}",
        )
    fine = np.isfinite(values)
    parts: list[tuple[str, NDArray[Any]]] = [("all images", values[fine])]
    if group is not None:
        members_of = [(str(name), values[fine & (group == i)]) for i, name in enumerate(names)]
        parts += sorted(members_of, key=lambda p: np.median(p[1]) if len(p[1]) else math.inf)
    drawn, hidden = _chosen(parts, rows)
    low, high = np.quantile(values[fine], [0.005, 0.995]) if fine.any() else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    middle_size = float(np.median([len(part) for _, part in drawn if len(part)] or [1]))
    bins = int(np.clip(2 * math.sqrt(middle_size), 8, 40))
    edges = np.linspace(low, high, bins + 1)
    places = decimals([float(low), float(high)])
    head, foot = (0.5 if title else 0.2), 0.85
    with style():
        sheet = Sheet(_LEFT + _PLOT + 1.55, head + 0.18 + _ROW * len(drawn) + foot)
        sheet.title(title)
        for words, at, align in (("median", 0.8, "right"), ("images", 1.4, "right")):
            sheet.text(
                words,
                _LEFT + _PLOT + at,
                head + 0.08,
                size=8,
                colour=MUTED,
                align=align,
                anchor="baseline",
            )
        top = head + 0.18
        body = _ROW * len(drawn)
        axes = sheet.axes(_LEFT, top, _PLOT, body)
        axes.set_xlim(low, high)
        axes.set_ylim(len(drawn), 0)
        axes.set_yticks([])
        axes.grid(axis="x", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8.5, length=2.5, width=0.6)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        for place, (name, part) in enumerate(drawn):
            middle = top + (place + 0.62) * _ROW
            is_all = place == 0
            text, size = sheet.fit(name, width=_LEFT - 0.3, size=9, smallest=7, bold=is_all)
            if text.endswith("…"):
                text, size = sheet.fit(name, width=_LEFT - 0.3, size=7, smallest=6.5, lines=2)
            sheet.text(
                text, _LEFT - 0.12, middle, size=size, align="right", bold=is_all,
                anchor="center" if "\n" in text else "center_baseline",
            )  # fmt: skip
            sheet.text(
                f"{len(part):,}", _LEFT + _PLOT + 1.4, middle, size=8.5, align="right",
                anchor="center_baseline", colour=MUTED,
            )  # fmt: skip
            if not len(part):
                axes.text((low + high) / 2, place + 0.62, "no image", fontsize=8, color=MUTED,
                          ha="center", va="center_baseline")  # fmt: skip
                continue
            counts, _ = np.histogram(np.clip(part, low, high), edges)
            heights = 0.86 * counts / counts.max()
            axes.stairs(
                place + 1 - heights, edges, baseline=place + 1, fill=True,
                color="#c9ced4" if is_all else "#a9cbe6", linewidth=0,
            )  # fmt: skip
            axes.stairs(
                place + 1 - heights, edges, baseline=place + 1,
                color=MUTED if is_all else COLOURS[0], linewidth=0.8,
            )  # fmt: skip
            median = float(np.median(part))
            axes.plot([np.clip(median, low, high)] * 2, [place + 0.1, place + 1], color=COLOURS[1],
                      linewidth=1.6)  # fmt: skip
            sheet.text(
                number(median, places), _LEFT + _PLOT + 0.8, middle, size=8.5, align="right",
                anchor="center_baseline",
            )  # fmt: skip
        _foot(sheet, score, low_words, high_words, top=top + body + 0.24)
        lost = int((~fine).sum())
        sheet.note(
            " ".join(
                part
                for part in (
                    "Orange line: median. Each histogram is scaled to its own highest bar; the "
                    "outermost bars hold the 0.5\u00a0% beyond each end.",
                    f"{hidden} groups between the lowest and the highest medians are not drawn."
                    if hidden
                    else "",
                    f"{lost:,} values that are not finite are left out." if lost else "",
                )
                if part
            ),
            lines=2,
        )
    return sheet.figure


def _chosen(
    parts: list[tuple[str, NDArray[Any]]], rows: int
) -> tuple[list[tuple[str, NDArray[Any]]], int]:
    """Keep the row of all images and the groups at both ends."""
    groups = parts[1:]
    if len(groups) <= rows:
        return parts, 0
    first = (rows + 1) // 2
    last = rows - first
    kept = [parts[0], *groups[:first], *groups[len(groups) - last :]]
    return kept, len(groups) - rows


def _foot(sheet: Sheet, score: str, low_words: str, high_words: str, *, top: float) -> None:
    text, size = sheet.fit(score, width=2.6, size=9)
    sheet.text(text, _LEFT + _PLOT / 2, top, size=size, align="center", colour=INK)
    for words, at, align in (
        (f"◂ {low_words}" if low_words else "", _LEFT, "left"),
        (f"{high_words} ▸" if high_words else "", _LEFT + _PLOT, "right"),
    ):
        text, size = sheet.fit(words, width=1.75, size=9, bold=True)
        sheet.text(text, at, top, size=size, align=align, bold=True, colour=MUTED)
