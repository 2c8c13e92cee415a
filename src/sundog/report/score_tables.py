"""Tables of scores: a row per group, class or ranking, a column per metric that any row has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sundog.core.statistics import Estimate
from sundog.report.metric_words import metric
from sundog.report.montage import decimals
from sundog.report.risk_content import ScoreRow, Windows
from sundog.report.table import Column, Table

MOST_ROWS = 40


def score_tables(
    rows: Sequence[ScoreRow],
    *,
    caption: str,
    first: str,
    above: ScoreRow | None = None,
    mark: bool = False,
    sort: str = "",
    most: int = MOST_ROWS,
) -> list[Table]:
    """Return tables with a row per :class:`ScoreRow`, one table per family of metrics.

    Args:
        rows: any number; none with ``above`` None gives no table.
        caption: what they say; how many rows are left out is added.
        first: title of the first column.
        above: a row before all others that does not race, for instance all images.
        mark: whether the rows race each other.
        sort: metric to sort by, worst first; then small rows, then rows without it. Empty keeps
            the order.
        most: at most this many rows, without the one above.
    """
    kept = list(rows)
    if sort:
        sign = -1 if metric(sort).better == "lower" else 1
        kept.sort(
            key=lambda row: (math.isnan(value(row, sort)), row.small, sign * value(row, sort))
        )
    hidden = len(kept) - most
    kept = [*([above] if above is not None else []), *kept[:most]]
    families: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for row in kept for name in row.scores):
        families.setdefault(metric(name).family, []).append(name)
    more = f" {hidden} more rows are not shown." if hidden > 0 else ""
    small = " In grey italics: too few images to tell." if any(row.small for row in kept) else ""
    tables: list[Table] = []
    for family, names in families.items():
        frame = pd.DataFrame(
            [
                {
                    first: row.name,
                    "images": row.n,
                    **{name: row.scores.get(name, math.nan) for name in names},
                }
                for row in kept
            ]
        )
        words = f"{family}{'' if family.endswith('?') else '.'}" if family else ""
        words = f"{words} {'In the same order.' if tables else caption}".strip()
        tables.append(
            Table(
                frame=frame,
                caption=f"{words}{small}{more}",
                columns={
                    "images": Column(format="integer"),
                    **{name: metric(name).column(mark=mark) for name in names},
                },
                muted=[row.small for row in kept],
            )
        )
    return tables


def value(row: ScoreRow, name: str) -> float:
    """Return the bare number of a metric; NaN if the row does not have it."""
    found = row.scores.get(name, math.nan)
    return found.value if isinstance(found, Estimate) else float(found)


def windows_table(windows: Windows, *, caption: str, most: int = 20) -> Table:
    """Return a table with a row per window: percentiles, images, range of the field, scores."""
    total, passed, rows = max(1, int(sum(windows.n))), 0, []
    for place in range(len(windows.n)):
        start, passed = passed, passed + int(windows.n[place])
        rows.append(
            {
                "percentile": f"{100 * start / total:.0f} to {100 * passed / total:.0f}",
                "images": int(windows.n[place]),
                "from": float(windows.low[place]),
                "to": float(windows.high[place]),
                **{name: values[place] for name, values in windows.measures.items()},
            }
        )
    hidden = len(rows) - most
    if hidden > 0:
        rows = [*rows[: most // 2], *rows[len(rows) - most // 2 :]]
        caption += f" {hidden} windows in the middle are not shown."
    places = decimals([float(v) for v in (*windows.low, *windows.high)])
    columns: Mapping[str, Any] = {
        "images": Column(format="integer"),
        **{end: Column(format="decimal", digits=places) for end in ("from", "to")},
        **{
            name: Column(name.replace("_", " "), format="percent", digits=1)
            for name in windows.measures
        },
    }
    return Table(frame=pd.DataFrame(rows), caption=caption, columns=columns)
