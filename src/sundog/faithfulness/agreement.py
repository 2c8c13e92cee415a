"""Do the fills agree on which explanation is better? Kendall's tau between their rankings.

A ranking that turns with the fill says more about the fill than about the explanations.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

GROUP = ["metric", "fill", "spacing", "axis"]
"""Columns that say which score a row belongs to."""
_COLUMNS = ["metric", "spacing", "axis", "fill_a", "fill_b", "methods", "tau", "p_value"]


def fill_agreement(summary: pd.DataFrame) -> pd.DataFrame:
    """Return Kendall's tau-b between the rankings of the methods by two fills.

    Control maps are left out: they would agree with themselves and flatter the result.

    Args:
        summary: one row per score and method with the columns ``metric``, ``fill``, ``spacing``,
            ``axis``, ``method``, ``control`` and ``mean``.

    Returns:
        One row per pair of fills: ``tau`` in [-1, 1], 1 = the same ranking (NaN for fewer than two
        methods or tied means), its p-value, and the number of methods ranked.

    Source: Kendall, 1938; Tomsett et al., 2020, arXiv 1912.01451 (inconsistent rankings).
    """
    rows = []
    methods = summary[~summary["control"] & (summary["fill"] != "")]
    for (metric, spacing, axis), group in methods.groupby(
        ["metric", "spacing", "axis"], sort=False
    ):
        means = group.pivot_table(index="method", columns="fill", values="mean", sort=False)
        for a, b in combinations(means.columns, 2):
            pair = means[[a, b]].dropna().to_numpy(dtype=np.float64)
            tau, p = math.nan, math.nan
            if len(pair) > 1 and (np.ptp(pair, axis=0) > 0).all():
                result = stats.kendalltau(pair[:, 0], pair[:, 1])
                tau, p = float(result.statistic), float(result.pvalue)
            rows.append((metric, spacing, axis, a, b, len(pair), tau, p))
    return pd.DataFrame(rows, columns=_COLUMNS)
