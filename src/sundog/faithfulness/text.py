"""The summary of a faithfulness run as plain text, for a terminal or a log."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from sundog.faithfulness.agreement import GROUP
from sundog.faithfulness.metrics import METRICS

_HEAD = ("method", "mean", "std", "95 % interval", "n", "minus random", "p", "s/image", "F/image")


def table_text(
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    agreement: pd.DataFrame,
    notes: Sequence[str] = (),
) -> str:
    """Return one text table per score, controls in brackets, then the agreement between fills.

    Args:
        summary: see :func:`~sundog.faithfulness.summary.summarise`.
        comparisons: see :func:`~sundog.faithfulness.summary.compare`.
        agreement: see :func:`~sundog.faithfulness.agreement.fill_agreement`.
        notes: sentences to end with.
    """
    blocks = [_block(part, comparisons) for _, part in summary.groupby(GROUP, sort=False)]
    for row in agreement.to_dict("records"):
        if row["methods"] > 1:
            blocks.append(
                f"{row['metric']}, {_axis(row['spacing'], row['axis'])}: fills {row['fill_a']} and "
                f"{row['fill_b']} rank the {row['methods']} methods with Kendall's tau "
                f"{_number(row['tau'], '.2f')} (1 = the same order)."
            )
    return "\n\n".join([*blocks, *notes])


def _axis(spacing: str, axis: str) -> str:
    return f"{spacing} spacing" + (", area over log share" if axis == "log" else "")


def _block(part: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    key = part[GROUP].iloc[0]
    direction = "higher" if METRICS[key["metric"]].higher_is_better else "lower"
    details = [f"fill {key['fill']}", _axis(key["spacing"], key["axis"])] if key["fill"] else []
    same = comparisons[comparisons[GROUP].eq(key).all(axis=1)]
    against = {
        row["a"]: row
        for row in same[same["kind"].eq("controls") & same["b"].eq("random")].to_dict("records")
    }
    lines = [_HEAD]
    for row in part.to_dict("records"):
        versus, p = "", ""
        if row["method"] in against:
            found = against[row["method"]]
            versus = _interval(found, "difference", "+.3f")
            p = "<0.001" if found["p_holm"] < 0.001 else _number(found["p_holm"], ".3f")
        lines.append(
            (
                f"({row['method']})" if row["control"] else row["method"],
                _number(row["mean"], ".3f"),
                _number(row["std"], ".3f"),
                _interval(row, "", ".3f"),
                str(row["n"]),
                versus,
                p,
                _number(row["seconds"], ".2g"),
                _number(row["forwards"], ".1f"),
            )
        )
    widths = [max(len(line[k]) for line in lines) for k in range(len(_HEAD))]
    text = [", ".join([f"{key['metric']} ({direction} is better)", *details])]
    text += [
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*text, *_remarks(part, same)])


def _remarks(part: pd.DataFrame, same: pd.DataFrame) -> list[str]:
    """Return which methods cannot be told apart, and which images have no score and why."""
    remarks = []
    undecided = same[same["kind"].eq("methods") & same["better"].eq("") & same["n"].gt(0)]
    if len(undecided):
        pairs = zip(undecided["a"], undecided["b"], strict=True)
        names = ", ".join(f"{a} / {b}" for a, b in pairs)
        remarks.append(f"Not told apart (paired, Holm): {names}.")
    missing = part[part["missing"] > 0]
    for (count, why), group in missing.groupby(["missing", "reasons"], sort=False):
        everyone = len(group) == len(part)
        who = "every method" if everyone else ", ".join(group["method"])
        images = "1 image" if count == 1 else f"{count} images"
        remarks.append(f"Without a score: {images} for {who} ({why}).")
    return remarks


def _interval(row: Mapping[Hashable, Any], value: str, form: str) -> str:
    ends = f"[{_number(row['low'], form)}, {_number(row['high'], form)}]"
    return f"{_number(row[value], form)} {ends}" if value else ends


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
