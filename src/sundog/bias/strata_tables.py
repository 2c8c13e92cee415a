"""A group of images against the others inside each of several strata, and all strata together.

A stratum is a class: images with a tag are compared with images without it of the same class only,
so that a tag which is merely common in hard classes shows nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.core.statistics.estimate import check_level

SMALLEST_ARM = 5
"""A stratum says something of homogeneity if it has so many images with and without the tag."""


@dataclass(frozen=True, eq=False)
class StrataTable:
    """Counts and sums of an outcome with and without a tag, one entry per stratum.

    Attributes:
        n_present: ``int[K]`` images with the tag.
        n_absent: ``int[K]`` images without it.
        present: ``float[K]`` sum of the outcome with the tag (right images, or confidence).
        absent: ``float[K]`` sum of the outcome without it.
        squares_present: ``float[K]`` sum of the squared outcome; equal to ``present`` for right or
            wrong.
        squares_absent: ``float[K]`` the same without the tag.
        binary: whether the outcome is right or wrong.
    """

    n_present: Int[np.ndarray, " strata"]
    n_absent: Int[np.ndarray, " strata"]
    present: Float[np.ndarray, " strata"]
    absent: Float[np.ndarray, " strata"]
    squares_present: Float[np.ndarray, " strata"]
    squares_absent: Float[np.ndarray, " strata"]
    binary: bool

    @property
    def n(self) -> Int[np.ndarray, " strata"]:
        """Images of each stratum."""
        return self.n_present + self.n_absent

    @property
    def used(self) -> np.ndarray:
        """Which strata have images with and without the tag."""
        return (self.n_present > 0) & (self.n_absent > 0)


def tabulate(
    group: np.ndarray, other: np.ndarray, outcome: np.ndarray, strata: np.ndarray, *, count: int
) -> StrataTable:
    """Return the table of a group of images against a disjoint group.

    Args:
        group: ``bool[n]`` images with the tag.
        other: ``bool[n]`` images without it; may leave images out.
        outcome: ``bool[n]`` or ``float64[n]``.
        strata: ``int[n]`` stratum of each image, 0 to ``count - 1``.
        count: number of strata.
    """
    values = outcome.astype(np.float64)

    def sums(mask: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        taken = None if weights is None else weights[mask]
        return np.bincount(strata[mask], weights=taken, minlength=count)

    return StrataTable(
        n_present=sums(group),
        n_absent=sums(other),
        present=sums(group, values),
        absent=sums(other, values),
        squares_present=sums(group, values**2),
        squares_absent=sums(other, values**2),
        binary=outcome.dtype == np.bool_,
    )


def cochran_mantel_haenszel(table: StrataTable, *, correction: bool = False) -> tuple[float, float]:
    """Return the Cochran-Mantel-Haenszel statistic and its two-sided p-value.

    ``(|sum_k (a_k - n1_k m_k / n_k)| - c)² / sum_k n1_k n0_k s_k / (n_k (n_k - 1))`` with ``a_k``
    the sum of the outcome with the tag, ``m_k`` its sum over the stratum, ``s_k`` the sum of its
    squared deviations in the stratum; chi-square with one degree of freedom. For right or wrong
    this is the classic test; for a real outcome, the stratified mean-score test.

    Args:
        table: the strata.
        correction: whether ``c`` is 1/2 (Mantel & Haenszel's continuity correction; R's default)
            or 0 (statsmodels' default; Cochran). Only for right or wrong.

    Returns:
        Statistic and p-value; (0, 1) where no stratum can say anything.

    Raises:
        InputError: a correction of a real outcome.

    Source: Mantel & Haenszel, 1959, JNCI 22; Landis, Heyman & Koch, 1978 (mean scores).
    """
    if correction and not table.binary:
        raise InputError("correction", expected="False for a real outcome", got="True")
    n = np.maximum(table.n, 1).astype(np.float64)
    total = table.present + table.absent
    deviations = table.squares_present + table.squares_absent - total**2 / n
    variance = np.where(
        table.n > 1,
        table.n_present * table.n_absent * deviations / (n * np.maximum(n - 1, 1)),
        0.0,
    ).sum()
    if variance <= 1e-12:
        return 0.0, 1.0
    excess = abs(float((table.present - table.n_present * total / n).sum()))
    statistic = max(excess - (0.5 if correction else 0.0), 0.0) ** 2 / float(variance)
    return statistic, float(stats.chi2.sf(statistic, 1))


def mantel_haenszel_gap(
    table: StrataTable, *, level: float = 0.95, variance: str = "sato"
) -> Estimate:
    """Return the pooled gap, present minus absent, with its interval.

    ``sum_k w_k (mean1_k - mean0_k) / sum_k w_k`` with ``w_k = n1_k n0_k / n_k``. Variance for right
    or wrong: Sato's, right for few large and for many small strata, or Greenland and Robins' (the
    binomial variances put in; too small for many strata with one or two images with the tag). For a
    real outcome the gap is the regression on the tag within strata, with its robust variance.

    Args:
        table: the strata; those without images on both sides do not count.
        level: confidence level.
        variance: ``sato`` or ``greenland_robins``.

    Returns:
        The gap, normal interval cut at [-1, 1]; ``n`` counts the images of the strata used; NaN if
        there is none.

    Raises:
        InputError: an unknown variance.

    Source: Mantel & Haenszel, 1959; Greenland & Robins, 1985, Biometrics 41; Sato, 1989,
    Biometrics 45 (letter); White, 1980, Econometrica 48.
    """
    level = check_level(level)
    if variance not in ("sato", "greenland_robins"):
        raise InputError("variance", expected="sato or greenland_robins", got=repr(variance))
    use = table.used
    images = int(table.n[use].sum())
    method = f"mantel-haenszel ({variance.replace('_', '-') if table.binary else 'robust'})"
    if not images:
        return Estimate(math.nan, math.nan, math.nan, 0, level, method)
    n1, n0 = table.n_present[use].astype(np.float64), table.n_absent[use].astype(np.float64)
    a, b, n = table.present[use], table.absent[use], n1 + n0
    weight = n1 * n0 / n
    gap = float((weight * (a / n1 - b / n0)).sum() / weight.sum())
    if not table.binary:
        spread = _robust(table, gap)
    elif variance == "sato":
        p = (n1**2 * b - n0**2 * a + n1 * n0 * (n0 - n1) / 2) / n**2
        q = (a * (n0 - b) + b * (n1 - a)) / (2 * n)
        spread = float((gap * p + q).sum() / weight.sum() ** 2)
    else:
        parts = weight**2 * (a * (n1 - a) / n1**3 + b * (n0 - b) / n0**3)
        spread = float(parts.sum() / weight.sum() ** 2)
    half = float(stats.norm.ppf(0.5 + level / 2)) * math.sqrt(max(spread, 0.0))
    return Estimate(gap, max(gap - half, -1.0), min(gap + half, 1.0), images, level, method)


def homogeneity(table: StrataTable) -> tuple[float, int]:
    """Return the p-value that the gap is the same in all strata, and how many strata were asked.

    Cochran's ``Q = sum_k (gap_k - mean)² / v_k``, chi-square with one degree less than strata;
    ``mean`` weighted by ``1 / v_k``. For right or wrong the shares are moved towards 1/2 by one
    image right and one wrong on each side (Agresti & Caffo), so that no variance is 0. Strata with
    fewer than five images on a side are left out.

    Returns:
        p-value (small: the gap differs between strata), NaN with fewer than two strata; strata.

    Source: Cochran, 1954, Biometrics 10; Agresti & Caffo, 2000, American Statistician 54.
    """
    use = (table.n_present >= SMALLEST_ARM) & (table.n_absent >= SMALLEST_ARM)
    strata = int(use.sum())
    if strata < 2:
        return math.nan, strata
    gaps, variances = np.zeros(strata), np.zeros(strata)
    for sign, size, total, squares in (
        (1, table.n_present[use], table.present[use], table.squares_present[use]),
        (-1, table.n_absent[use], table.absent[use], table.squares_absent[use]),
    ):
        if table.binary:
            share = (total + 1) / (size + 2)
            gaps += sign * share
            variances += share * (1 - share) / (size + 2)
        else:
            gaps += sign * total / size
            variances += np.maximum(squares - total**2 / size, 0) / (size - 1) / size
    if (variances <= 1e-12).any():
        return math.nan, strata
    mean = (gaps / variances).sum() / (1 / variances).sum()
    statistic = float(((gaps - mean) ** 2 / variances).sum())
    return float(stats.chi2.sf(statistic, strata - 1)), strata


def _robust(table: StrataTable, gap: float) -> float:
    """Return White's variance of the gap of a real outcome, strata as fixed effects."""
    use = table.used
    n1, n0 = table.n_present[use].astype(np.float64), table.n_absent[use].astype(np.float64)
    n = n1 + n0
    mean = (table.present[use] + table.absent[use]) / n
    meat = np.zeros(len(n))
    for size, total, squares, lever in (
        (n1, table.present[use], table.squares_present[use], n0 / n),
        (n0, table.absent[use], table.squares_absent[use], -n1 / n),
    ):
        centre = mean + gap * lever  # what the regression expects of these images
        residuals = squares - 2 * centre * total + size * centre**2
        meat += lever**2 * np.maximum(residuals, 0)
    return float((meat * n / np.maximum(n - 1, 1)).sum() / (n1 * n0 / n).sum() ** 2)
