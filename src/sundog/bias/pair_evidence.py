"""What the maps of several models say beside each other: paired over the same images.

Sound evidence that something differs, weak evidence of what: a biased model's maps may be spread
out, and a sound model's concentrated. Whom they point at is shown beside the causal tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from sundog.bias.pair_maps import COLUMNS
from sundog.core.errors import InputError
from sundog.core.statistics import (
    Estimate,
    holm,
    mcnemar_exact,
    mean_interval,
    sign_flip_p_values,
)

Measure = Literal["top_mass", "entropy", "centre_spread", "peak_spread"]
MEASURES: dict[Measure, int] = {
    "top_mass": 1,
    "entropy": -1,
    "centre_spread": -1,
    "peak_spread": -1,
}
"""Measure -> the sign of a map that is concentrated or stays in one place."""


@dataclass(frozen=True)
class MapStatistic:
    """The mean of one measure over the images, of one method's maps of one run.

    ``centre_spread`` and ``peak_spread``: variance over the images of the place of the centre of
    mass or of the peak, rows plus columns, in squared shares of the side; small = a fixed place.
    """

    method: str
    measure: Measure
    run: str
    mean: Estimate


@dataclass(frozen=True)
class StatisticDifference:
    """One measure of ``first`` minus that of ``second`` on the same images.

    Attributes:
        method: of the maps.
        measure: see :class:`MapStatistic`.
        first: a run.
        second: another.
        difference: mean over images, with interval.
        p_value: sign-flip permutation, two-sided, Holm over all differences.
        p_sign: sign test (exact), two-sided, Holm over all differences.
        wins: images with a larger value in ``first``.
        losses: images with a larger value in ``second``.
    """

    method: str
    measure: Measure
    first: str
    second: str
    difference: Estimate
    p_value: float
    p_sign: float
    wins: int
    losses: int


@dataclass(frozen=True)
class MapAgreement:
    """How alike two runs' maps of the same images are: rank correlation and top-5 % overlap."""

    method: str
    first: str
    second: str
    correlation: Estimate
    overlap: Estimate


@dataclass(frozen=True)
class PairEvidence:
    """All measures, runs and methods.

    Attributes:
        statistics: one per method, measure and run.
        differences: one per method, measure and pair of runs.
        agreements: one per method and pair of runs.
        points_at: method -> the run whose maps are clearly more concentrated or more fixed in
            place than those of every other run, and in nothing clearly less; else None.
        notes: what was left out.
    """

    statistics: tuple[MapStatistic, ...]
    differences: tuple[StatisticDifference, ...]
    agreements: tuple[MapAgreement, ...]
    points_at: dict[str, str | None]
    notes: tuple[str, ...] = ()


def weigh_pairs(
    statistics: pd.DataFrame,
    agreement: pd.DataFrame,
    *,
    runs: Sequence[str],
    alpha: float = 0.05,
    permutations: int = 9999,
    seed: int = 0,
) -> PairEvidence:
    """Compare the maps of the runs image by image.

    Args:
        statistics: a row per run, method and image: ``run_id``, ``method``, ``id`` and the columns
            of :func:`~sundog.bias.pair_maps.map_statistics`.
        agreement: a row per pair, method and image: ``first``, ``second``, ``method``, ``id``,
            ``correlation``, ``overlap``.
        runs: run ids; the order decides which is ``first``, nothing else.
        alpha: Holm-corrected level at which a run is pointed at.
        permutations: sign patterns.
        seed: of the patterns.

    Raises:
        InputError: fewer than two runs, or missing columns.
    """
    if len(runs) < 2:
        raise InputError("runs", expected="at least two", got=str(len(runs)))
    for name, frame, needed in (
        ("statistics", statistics, ("run_id", "method", "id", *COLUMNS)),
        ("agreement", agreement, ("first", "second", "method", "id", "correlation", "overlap")),
    ):
        missing = [column for column in needed if column not in frame.columns]
        if missing:
            raise InputError(name, expected=f"columns {needed}", got=f"no {missing}")
    means: list[MapStatistic] = []
    raw: list[tuple[str, Measure, str, str, Float[np.ndarray, " images"]]] = []
    notes: list[str] = []
    methods = list(dict.fromkeys(statistics["method"]))
    for method in methods:
        values, lost = _values(statistics[statistics["method"] == method], runs)
        if lost:
            notes.append(f"{method}: {lost} images whose map is empty for some run were left out.")
        for measure in MEASURES:
            for run in runs:
                means.append(
                    MapStatistic(method, measure, run, mean_interval(values[run, measure]))
                )
            for first, second in combinations(runs, 2):
                gap = values[first, measure] - values[second, measure]
                raw.append((method, measure, first, second, gap))
    differences = _differences(raw, permutations=permutations, seed=seed)
    return PairEvidence(
        statistics=tuple(means),
        differences=differences,
        agreements=tuple(_agreements(agreement, methods, runs)),
        points_at={m: points_at(differences, method=m, runs=runs, alpha=alpha) for m in methods},
        notes=tuple(notes),
    )


def points_at(
    differences: Sequence[StatisticDifference], *, method: str, runs: Sequence[str], alpha: float
) -> str | None:
    """Return the run that is clearly more concentrated than every other, and never clearly less."""
    wins: dict[str, set[str]] = {run: set() for run in runs}
    for entry in differences:
        if entry.method != method or not entry.p_value <= alpha:
            continue
        towards = MEASURES[entry.measure] * entry.difference.value
        winner, loser = (entry.first, entry.second) if towards > 0 else (entry.second, entry.first)
        wins[winner].add(loser)
    named = [
        run
        for run in runs
        if wins[run] == set(runs) - {run} and not any(run in lost for lost in wins.values())
    ]
    return named[0] if named else None


def _values(
    frame: pd.DataFrame, runs: Sequence[str]
) -> tuple[dict[tuple[str, Measure], Float[np.ndarray, " images"]], int]:
    """Return (run, measure) -> value per common image, and how many images were lost."""
    parts = {
        run: frame[frame["run_id"] == run].drop_duplicates("id").set_index("id")[list(COLUMNS)]
        for run in runs
    }
    seen = set.union(*(set(part.index) for part in parts.values()))
    whole = [set(part.dropna().index) for part in parts.values()]
    common = sorted(set.intersection(*whole))
    found: dict[tuple[str, Measure], Float[np.ndarray, " images"]] = {}
    for run, part in parts.items():
        kept = part.loc[common]
        found[run, "top_mass"] = kept["top_mass"].to_numpy(float)
        found[run, "entropy"] = kept["entropy"].to_numpy(float)
        for name in ("centre", "peak"):
            place = kept[[f"{name}_row", f"{name}_column"]].to_numpy(float)
            measure: Measure = "centre_spread" if name == "centre" else "peak_spread"
            found[run, measure] = squared_deviations(place)
    return found, len(seen) - len(common)


def squared_deviations(place: Float[np.ndarray, "images 2"]) -> Float[np.ndarray, " images"]:
    """Return per image ``n / (n - 1) * |place - mean place|²``: its mean is the variance."""
    n = len(place)
    if n < 2:
        return np.full(n, math.nan)
    squares = ((place - place.mean(axis=0)) ** 2).sum(axis=1)
    return np.asarray(squares * n / (n - 1))


def _differences(
    raw: Sequence[tuple[str, Measure, str, str, Float[np.ndarray, " images"]]],
    *,
    permutations: int,
    seed: int,
) -> tuple[StatisticDifference, ...]:
    flips, signs, counts = [], [], []
    for _, _, _, _, gap in raw:
        usable = gap[~np.isnan(gap)]
        wins, losses = int((usable > 0).sum()), int((usable < 0).sum())
        counts.append((wins, losses))
        flips.append(
            float(sign_flip_p_values(usable[:, None], permutations=permutations, seed=seed)[0])
            if usable.size
            else math.nan
        )
        signs.append(mcnemar_exact(wins, losses) if usable.size else math.nan)
    p_flip, p_sign = holm(np.asarray(flips)), holm(np.asarray(signs))
    return tuple(
        StatisticDifference(
            method=method,
            measure=measure,
            first=first,
            second=second,
            difference=mean_interval(gap[~np.isnan(gap)]),
            p_value=float(p_flip[place]),
            p_sign=float(p_sign[place]),
            wins=counts[place][0],
            losses=counts[place][1],
        )
        for place, (method, measure, first, second, gap) in enumerate(raw)
    )


def _agreements(
    frame: pd.DataFrame, methods: Sequence[str], runs: Sequence[str]
) -> list[MapAgreement]:
    found = []
    for method in methods:
        for first, second in combinations(runs, 2):
            rows = frame[
                (frame["method"] == method)
                & frame["first"].isin((first, second))
                & frame["second"].isin((first, second))
            ].drop_duplicates("id")
            means: Mapping[str, Estimate] = {
                column: mean_interval(rows[column].dropna().to_numpy(float))
                for column in ("correlation", "overlap")
            }
            found.append(MapAgreement(method, first, second, **means))
    return found
