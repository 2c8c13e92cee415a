"""From per-image scores to means with intervals and corrected paired comparisons."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sundog.core.statistics import (
    Estimate,
    holm,
    mean_interval,
    sign_flip_p_values,
    wilcoxon_p_value,
    wilson_interval,
)
from sundog.faithfulness.agreement import GROUP
from sundog.faithfulness.metrics import METRICS

COMPARISON_COLUMNS = [
    *GROUP,
    "kind",
    "a",
    "b",
    "n",
    "difference",
    "low",
    "high",
    "p_value",
    "p_holm",
    "p_wilcoxon",
    "wins",
    "losses",
    "better",
]


def summarise(scores: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Return mean, standard deviation, n and interval per score and method, best first.

    Args:
        scores: per-image rows, see :class:`~sundog.faithfulness.table.FaithfulnessTable`.
        level: confidence level of the t interval of the mean.

    Returns:
        One row per (metric, fill, spacing, axis, method): ``n`` images with a score, ``missing``
        images without one and ``reasons`` why, ``mean``, ``std`` (n - 1), ``low``, ``high``,
        and per image ``seconds`` and ``forwards`` of the explanation, ``score_forwards``.
    """
    rows = []
    for (*group, method), part in scores.groupby([*GROUP, "method"], sort=False):
        values = part["value"].to_numpy(dtype=np.float64)
        values = values[~np.isnan(values)]
        estimate = _mean(values, metric=str(group[0]), level=level)
        faults = part.loc[part["value"].isna(), "reason"].value_counts()
        rows.append(
            {
                **dict(zip(GROUP, group, strict=True)),
                "method": method,
                "control": bool(part["control"].iloc[0]),
                "n": estimate.n,
                "missing": len(part) - estimate.n,
                "reasons": "; ".join(f"{why}: {count}" for why, count in faults.items()),
                "mean": estimate.value,
                "std": float(values.std(ddof=1)) if values.size > 1 else np.nan,
                "low": estimate.low,
                "high": estimate.high,
                "seconds": float(part["seconds"].mean()),
                "forwards": float(part["forwards"].mean()),
                "score_forwards": float(part["score_forwards"].mean()),
            }
        )
    frames = []
    for (metric, *_), part in pd.DataFrame(rows).groupby(GROUP, sort=False):
        ascending = not METRICS[str(metric)].higher_is_better
        frames.append(part.sort_values("mean", ascending=ascending, kind="stable"))
    return pd.concat(frames, ignore_index=True)


def _mean(values: NDArray[np.float64], *, metric: str, level: float) -> Estimate:
    """Return the mean with a t interval; Wilson's for hits and misses of the pointing game."""
    if metric == "pointing_game" and values.size and np.isin(values, (0, 1)).all():
        return wilson_interval(int(values.sum()), values.size, level=level)
    return mean_interval(values, level=level)


def compare(
    scores: pd.DataFrame, *, level: float = 0.95, permutations: int = 9999, seed: int = 0
) -> pd.DataFrame:
    """Return the paired differences between methods, and of each method to each control.

    Each comparison uses the images that both have a score for. The sign-flip p-values are
    corrected by Holm within one score: all pairs of methods are one family (``kind`` "methods"),
    all methods against all controls another ("controls").

    Args:
        scores: per-image rows.
        level: confidence level of the t interval of the mean difference, uncorrected.
        permutations: sign patterns beyond 16 images.
        seed: for the sign patterns.

    Returns:
        One row per comparison: mean of ``a - b`` over ``n`` images with interval, ``p_value``,
        ``p_holm``, ``p_wilcoxon``, wins and losses of ``a - b``, and ``better``: the better of the
        two by the metric's direction if ``p_holm <= 1 - level``, else "".
    """
    frames = []
    for group, part in scores.groupby(GROUP, sort=False):
        wide = part.pivot(index="id", columns="method", values="value")
        controls = set(part.loc[part["control"], "method"])
        order = list(dict.fromkeys(part["method"]))
        methods = [name for name in order if name not in controls]
        rivals = [name for name in order if name in controls]
        families = {
            "methods": list(combinations(methods, 2)),
            "controls": [(a, b) for a in methods for b in rivals],
        }
        for kind, pairs in families.items():
            if not pairs:
                continue
            frame = _differences(
                wide, pairs, level=level, permutations=permutations, seed=seed
            ).assign(kind=kind)
            for column, value in zip(GROUP, group, strict=True):
                frame[column] = str(value)
            higher = METRICS[str(group[0])].higher_is_better
            a_better = (frame["difference"] > 0) == higher
            known = frame["p_holm"] <= 1 - level
            frame["better"] = np.where(known, np.where(a_better, frame["a"], frame["b"]), "")
            frames.append(frame[COMPARISON_COLUMNS])
    if not frames:
        return pd.DataFrame(columns=COMPARISON_COLUMNS)
    return pd.concat(frames, ignore_index=True)


def _differences(
    wide: pd.DataFrame,
    pairs: list[tuple[str, str]],
    *,
    level: float,
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    delta = np.stack([(wide[a] - wide[b]).to_numpy(dtype=np.float64) for a, b in pairs], axis=1)
    p = sign_flip_p_values(delta, permutations=permutations, seed=seed)
    rows = []
    for (a, b), column in zip(pairs, delta.T, strict=True):
        column = column[~np.isnan(column)]
        estimate = mean_interval(column, level=level)
        rows.append(
            {
                "a": a,
                "b": b,
                "n": estimate.n,
                "difference": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "p_wilcoxon": wilcoxon_p_value(column),
                "wins": int((column > 0).sum()),
                "losses": int((column < 0).sum()),
            }
        )
    return pd.DataFrame(rows).assign(p_value=p, p_holm=holm(p))


def mean_curves(
    scores: pd.DataFrame,
    curves: pd.Series[Any],
    x: pd.Series[Any],
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the mean curve of each method with pointwise intervals.

    Args:
        scores: per-image rows.
        curves: the values of each row's curve, by the same index; empty for other metrics.
        x: where the values stand, by the same index.
        level: confidence level.

    Returns:
        One row per (metric, fill, spacing, method, point): ``x``, ``mean``, ``low``, ``high``, n.
    """
    rows = []
    drawn = scores[scores["axis"].eq("linear") & scores["value"].notna()]
    for (metric, fill, spacing, method), part in drawn.groupby(
        ["metric", "fill", "spacing", "method"], sort=False
    ):
        heights = np.array(curves[part.index].tolist(), dtype=np.float64)
        places = np.array(x[part.index].tolist(), dtype=np.float64).mean(axis=0)
        for point, (place, column) in enumerate(zip(places, heights.T, strict=True)):
            estimate = mean_interval(column, level=level)
            rows.append(
                (
                    metric,
                    fill,
                    spacing,
                    method,
                    bool(part["control"].iloc[0]),
                    point,
                    place,
                    estimate.value,
                    estimate.low,
                    estimate.high,
                    estimate.n,
                )
            )
    columns = [
        "metric",
        "fill",
        "spacing",
        "method",
        "control",
        "point",
        "x",
        "mean",
        "low",
        "high",
        "n",
    ]
    return pd.DataFrame(rows, columns=columns)
