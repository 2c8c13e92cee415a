"""Do the risks measure different things: Spearman correlations between all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special, stats

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, holm
from sundog.core.statistics.estimate import check_level

SAME = 0.9
"""Beyond this absolute correlation two scores order the images alike."""


@dataclass(frozen=True)
class Correlation:
    """How two scores order the same images.

    Attributes:
        a: name of the first score.
        b: name of the second.
        rho: Spearman's correlation in [-1, 1]: 1 same order, -1 opposite order; NaN if a score is
            constant or fewer than three images have both.
        p_value: of no correlation, two-sided; NaN with ``rho``.
        p_holm: the same, Holm-corrected over all pairs of the table.
        left_out: images without both scores (NaN).
        note: what to make of it; empty if there is nothing to say.
    """

    a: str
    b: str
    rho: Estimate
    p_value: float
    p_holm: float
    left_out: int
    note: str


@dataclass(frozen=True)
class Correlations:
    """Correlations of all pairs of scores.

    Attributes:
        names: of the scores, in order.
        pairs: every pair once.
    """

    names: tuple[str, ...]
    pairs: tuple[Correlation, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Every note that there is."""
        return tuple(pair.note for pair in self.pairs if pair.note)

    def matrix(self) -> pd.DataFrame:
        """Return the correlations as a symmetric table; NaN where there is none."""
        table = pd.DataFrame(np.eye(len(self.names)), index=self.names, columns=self.names)
        for pair in self.pairs:
            table.loc[pair.a, pair.b] = table.loc[pair.b, pair.a] = pair.rho.value
        return table

    def table(self) -> pd.DataFrame:
        """Return one row per pair: a, b, rho, low, high, n, p_value, p_holm, left_out, note."""
        columns = ["a", "b", "rho", "low", "high", "n", "p_value", "p_holm", "left_out", "note"]
        rows = [
            (
                pair.a,
                pair.b,
                *_numbers(pair.rho),
                pair.p_value,
                pair.p_holm,
                pair.left_out,
                pair.note,
            )
            for pair in self.pairs
        ]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dictionaries and numbers."""
        return asdict(self)


def risk_correlations(scores: Mapping[str, ArrayLike], *, level: float = 0.95) -> Correlations:
    """Return Spearman's correlation of every pair of scores.

    Args:
        scores: name → ``[n]``, one value per image, e.g. ``representation``, ``epistemic``,
            ``aleatoric`` and the scores of single methods. Representation is high for common
            images, the risks for risky ones: a correlation of representation with a risk is
            expected to be negative. Infinite values are ranked; images with NaN are left out of
            the pairs concerned and counted.
        level: confidence level.

    Returns:
        All pairs in order of the names; none for fewer than two scores.

    Raises:
        InputError: scores of different lengths.
    """
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise InputError(
            "scores",
            expected="one value per image, equally many",
            got=", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()),
        )
    found = []
    for a, b in combinations(arrays, 2):
        both = ~(np.isnan(arrays[a]) | np.isnan(arrays[b]))
        rho, p = spearman(arrays[a][both], arrays[b][both], level=level)
        found.append((a, b, rho, p, int((~both).sum()), _note(a, b, rho, arrays, both)))
    p_values = np.array([entry[3] for entry in found], dtype=np.float64)
    corrected = np.full(len(found), np.nan)
    known = ~np.isnan(p_values)
    if known.any():
        corrected[known] = holm(p_values[known])
    return Correlations(
        names=tuple(arrays),
        pairs=tuple(
            Correlation(a, b, rho, p, float(corrected[i]), left_out, note)
            for i, (a, b, rho, p, left_out, note) in enumerate(found)
        ),
    )


def spearman(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> tuple[Estimate, float]:
    """Return Spearman's rank correlation with its interval, and its p-value.

    Pearson's correlation of the midranks; ``tanh(atanh(rho) ± z sqrt((1 + rho²/2)/(n - 3)))``; the
    p-value from Student's t with n - 2 degrees of freedom.

    Args:
        a: ``[n]`` values without NaN; infinite ones are ranked.
        b: ``[n]`` values.
        level: confidence level.

    Returns:
        The correlation and the two-sided p-value. NaN if n < 3 or one is constant; n = 3: without
        an interval. A correlation of exactly ±1 has the interval of the nearest smaller one.

    Raises:
        InputError: lengths that differ, NaN.

    Source: Spearman, 1904; Bonett & Wright, 2000, Psychometrika 65 (interval).
    """
    level = check_level(level)
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(
            "a and b", expected="lists of equal length", got=f"{first.shape} and {second.shape}"
        )
    if np.isnan(first).any() or np.isnan(second).any():
        raise InputError("a and b", expected="without NaN", got="NaN", hint="Drop these first.")
    n = first.size
    x, y = _centred_ranks(first), _centred_ranks(second)
    spread = float((x**2).sum()) * float((y**2).sum())
    if n < 3 or spread == 0:
        return Estimate(math.nan, math.nan, math.nan, n, level, "bonett-wright"), math.nan
    rho = max(-1.0, min(1.0, float((x * y).sum()) / math.sqrt(spread)))
    one = 1 - 12 / (n * (n * n - 1))  # of two lists that differ in one swap of neighbours
    inner = max(-one, min(one, rho))
    if abs(rho) == 1:
        p = _exact_p(first)
    else:
        t = rho * math.sqrt((n - 2) / (1 - rho * rho))
        p = float(2 * stats.t.sf(abs(t), n - 2))
    if n == 3:
        return Estimate(rho, math.nan, math.nan, n, level, "bonett-wright"), p
    half = float(stats.norm.ppf(0.5 + level / 2)) * math.sqrt((1 + inner**2 / 2) / (n - 3))
    low, high = math.tanh(math.atanh(inner) - half), math.tanh(math.atanh(inner) + half)
    return Estimate(rho, min(rho, low), max(rho, high), n, level, "bonett-wright"), p


def _exact_p(values: Float[np.ndarray, " n"]) -> float:
    """Return the share of all orders of a list that agree or disagree with it fully."""
    ties = np.unique(values, return_counts=True)[1]
    same = float(special.gammaln(ties + 1).sum() - special.gammaln(values.size + 1))
    return min(1.0, 2 * math.exp(same))


def _numbers(rho: Estimate) -> tuple[float, float, float, int]:
    return rho.value, rho.low, rho.high, rho.n


def _centred_ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    ranks: Float[np.ndarray, " n"] = stats.rankdata(values)
    return ranks - (values.size + 1) / 2


def _note(a: str, b: str, rho: Estimate, arrays: Mapping[str, np.ndarray], both: np.ndarray) -> str:
    constant = [name for name in (a, b) if both.any() and np.unique(arrays[name][both]).size == 1]
    if constant:
        return f"{' and '.join(constant)}: the same value for every image"
    if math.isnan(rho.value):
        return f"{a} and {b}: fewer than three images have both"
    if abs(rho.value) > SAME:
        way = "the same" if rho.value > 0 else "the opposite"
        return f"{a} and {b} measure the same thing here: {way} order, Spearman {rho.value:.2f}"
    return ""
