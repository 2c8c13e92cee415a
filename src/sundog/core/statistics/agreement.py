"""Do several reviewers say the same: raw agreement and Fleiss' kappa, with intervals."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import Estimate, check_level


@dataclass(frozen=True)
class Agreement:
    """How far the verdicts of several reviewers on the same items agree.

    Attributes:
        kappa: agreement beyond chance: 1 all agree, 0 as by chance, < 0 less; None if it cannot be
            told.
        raw: share of pairs of verdicts on one item that agree; None without such a pair.
        items: items with at least two verdicts; only they count.
        single: items with one verdict.
        reason: why there is no kappa; empty if there is one.
    """

    kappa: Estimate | None
    raw: Estimate | None
    items: int
    single: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dictionaries and numbers, NaN as None."""
        plain = asdict(self)
        for name in ("kappa", "raw"):
            if plain[name] is not None:
                plain[name] = {
                    key: None if isinstance(value, float) and math.isnan(value) else value
                    for key, value in plain[name].items()
                }
        return plain


def fleiss_kappa(counts: ArrayLike, *, level: float = 0.95) -> Agreement:
    """Return Fleiss' kappa and the raw agreement, for any number of verdicts per item.

    With ``n_ij`` verdicts of category j on item i, ``n_i`` in all:
    ``P_i = sum_j n_ij (n_ij - 1) / (n_i (n_i - 1))``, ``P`` its mean over the items,
    ``p_j = sum_i n_ij / sum_i n_i``, ``kappa = (P - sum_j p_j²) / (1 - sum_j p_j²)``.
    Intervals: jackknife over the items with Student's t.

    Args:
        counts: ``[items, categories]``, how many reviewers chose each category; whole numbers.
            Items with fewer than two verdicts say nothing about agreement and are left out.
        level: confidence level.

    Returns:
        The agreement. One reviewer, or nothing reviewed twice: neither number. All verdicts in one
        category: raw agreement 1, no kappa (nothing to disagree on). One item: no interval.

    Raises:
        InputError: not a table of whole numbers >= 0, a level outside (0, 1).

    Source: Fleiss, 1971, Psychological Bulletin 76; Efron & Stein, 1981 (jackknife).
    """
    level = check_level(level)
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2:
        raise InputError("counts", expected="[items, categories]", got=f"shape {table.shape}")
    if not (np.isfinite(table).all() and (table >= 0).all() and (table == np.rint(table)).all()):
        raise InputError("counts", expected="whole numbers >= 0", got="other values")
    verdicts = table.sum(axis=1)
    kept = table[verdicts >= 2]
    single = int((verdicts == 1).sum())
    if kept.shape[0] == 0:
        return Agreement(None, None, 0, single, "no item has verdicts of two reviewers")
    n = kept.sum(axis=1)
    agreeing = (kept * (kept - 1)).sum(axis=1) / (n * (n - 1))
    items = agreeing.size
    everything = float(agreeing.mean())
    left_out = (agreeing.sum() - agreeing) / (items - 1) if items > 1 else np.empty(0)
    raw = _jackknife(everything, left_out, level=level, lowest=0.0)
    totals = kept.sum(axis=0)
    chance = float(((totals / totals.sum()) ** 2).sum())
    if chance >= 1 - 1e-12:
        return Agreement(None, raw, items, single, "every verdict is the same")
    kappa = (everything - chance) / (1 - chance)
    return Agreement(
        _jackknife(kappa, _kappas_without(kept, left_out), level=level, lowest=-1.0),
        raw,
        items,
        single,
        "",
    )


def _kappas_without(
    kept: Float[np.ndarray, "items categories"], agreements: Float[np.ndarray, " items"]
) -> Float[np.ndarray, " items"]:
    """Return kappa without each item in turn; 1 where all other verdicts are the same."""
    if agreements.size == 0:
        return agreements
    totals = kept.sum(axis=0) - kept
    chance = ((totals / totals.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    same = chance >= 1 - 1e-12
    return np.where(same, 1.0, (agreements - chance) / np.where(same, 1.0, 1 - chance))


def _jackknife(
    value: float, left_out: Float[np.ndarray, " items"], *, level: float, lowest: float
) -> Estimate:
    items = left_out.size
    if items < 2:
        return Estimate(value, math.nan, math.nan, max(items, 1), level, "jackknife")
    error = math.sqrt((items - 1) / items * float(((left_out - left_out.mean()) ** 2).sum()))
    half = float(stats.t.ppf(0.5 + level / 2, items - 1)) * error
    low, high = max(lowest, value - half), min(1.0, value + half)
    return Estimate(value, low, high, items, level, "jackknife")
