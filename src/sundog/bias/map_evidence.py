"""What the maps say: how much of each model's relevance lies on the cue.

Maps propose, the causal test decides. Here they are held against it: do they point at the same
model, at another one, or at none?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from sundog.bias.judged import Condition, Judged
from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, holm, mean_interval, sign_flip_p_values

_PLANTED: tuple[Condition, ...] = ("aligned", "conflicting")
MOST_MISMATCH = 0.05
"""More predictions than this share that differ from the table: another model was explained."""


@dataclass(frozen=True)
class MapMass:
    """One method's maps of one run: mean share of relevance on the cue, and over its area.

    ``mass`` in [0, 1]; ``lift`` = mass / area, 1 is what a map that ignores the cue would have.
    """

    method: str
    run: str
    mass: Estimate
    lift: Estimate


@dataclass(frozen=True)
class MapDifference:
    """Mass of ``first`` - mass of ``second``, same images; ``p_value`` is Holm-corrected."""

    method: str
    first: str
    second: str
    difference: Estimate
    p_value: float


@dataclass(frozen=True)
class MapEvidence:
    """All methods and runs.

    Attributes:
        masses: one per method and run.
        differences: one per method and pair of runs.
        favours: method → the run with clearly more relevance on the cue than every other run, or
            None.
        notes: what was left out.
    """

    masses: tuple[MapMass, ...]
    differences: tuple[MapDifference, ...]
    favours: dict[str, str | None]
    notes: tuple[str, ...]


def weigh_maps(
    judged: Judged, maps_mass: Mapping[str, pd.DataFrame], *, alpha: float, seed: int = 0
) -> MapEvidence:
    """Compare how much relevance the runs put on the cue.

    Args:
        judged: the runs.
        maps_mass: run id → frame with ``id``, ``mass`` (share of relevance inside the cue's mask,
            in [0, 1]), ``area`` (share of pixels inside it, in (0, 1]), ``prediction`` (class that
            the *explained* model predicted for the picture with the cue) and optionally
            ``method``.
        alpha: differences are called at this level, Holm-corrected over methods and pairs.
        seed: for the sign patterns of the test.

    Returns:
        The evidence.

    Raises:
        InputError: other run ids, missing columns, values outside their range, or maps of a model
            whose predictions are not those of the run's table (another checkpoint was explained).

    Source: Arras, Osman & Samek, 2022, arXiv 2003.07258 (relevance mass accuracy).
    """
    if set(maps_mass) != set(judged.runs):
        raise InputError(
            "maps_mass", expected=f"for the runs {sorted(judged.runs)}", got=str(sorted(maps_mass))
        )
    notes: list[str] = []
    frames = {run: _checked(run, maps_mass[run], judged, notes) for run in judged.runs}
    methods = sorted(set.union(*(set(frame["method"]) for frame in frames.values())))
    masses: list[MapMass] = []
    raw: list[MapDifference] = []
    for method in methods:
        parts = {
            run: frame[frame["method"] == method].set_index("id") for run, frame in frames.items()
        }
        common = sorted(set.intersection(*(set(part.index) for part in parts.values())))
        if not common:
            raise InputError(
                f"maps of {method}", expected="of the same images for every run", got="none shared"
            )
        mass = {run: part.loc[common, "mass"].to_numpy(float) for run, part in parts.items()}
        for run, part in parts.items():
            lift = mass[run] / part.loc[common, "area"].to_numpy(float)
            masses.append(
                MapMass(
                    method,
                    run,
                    mean_interval(mass[run], level=1 - alpha),
                    mean_interval(lift, level=1 - alpha),
                )
            )
        for first, second in combinations(judged.runs, 2):
            gap = mass[first] - mass[second]
            p = float(sign_flip_p_values(gap[:, None], seed=seed)[0])
            interval = mean_interval(gap, level=1 - alpha)
            raw.append(MapDifference(method, first, second, interval, p))
    adjusted = holm([found.p_value for found in raw])
    differences = tuple(
        MapDifference(d.method, d.first, d.second, d.difference, float(p))
        for d, p in zip(raw, adjusted, strict=True)
    )
    return MapEvidence(
        masses=tuple(masses),
        differences=differences,
        favours={m: _favoured(m, list(judged.runs), differences, alpha) for m in methods},
        notes=tuple(notes),
    )


def _favoured(
    method: str, runs: list[str], differences: tuple[MapDifference, ...], alpha: float
) -> str | None:
    """Return the run that clearly has more mass than every other one."""
    wins = dict.fromkeys(runs, 0)
    for found in differences:
        if found.method == method and found.p_value <= alpha:
            wins[found.first if found.difference.value > 0 else found.second] += 1
    return next((run for run, count in wins.items() if count == len(runs) - 1), None)


def _checked(run: str, table: pd.DataFrame, judged: Judged, notes: list[str]) -> pd.DataFrame:
    missing = [name for name in ("id", "mass", "area", "prediction") if name not in table]
    if missing:
        raise InputError(
            f"maps_mass of {run!r}",
            expected="columns id, mass, area, prediction",
            got=f"no {missing}",
        )
    frame = table.reset_index(drop=True).assign(id=table["id"].astype(str).to_numpy())
    if "method" not in frame:
        frame["method"] = "maps"
    empty = frame["mass"].isna() | frame["area"].isna()
    if empty.any():
        notes.append(f"{run}: {int(empty.sum())} maps without relevance or mask were left out.")
        frame = frame[~empty]
    mass, area = frame["mass"].to_numpy(float), frame["area"].to_numpy(float)
    if not (((mass >= -1e-9) & (mass <= 1 + 1e-6)).all() and ((area > 0) & (area <= 1)).all()):
        raise InputError(
            f"maps_mass of {run!r}",
            expected="mass in [0, 1] and area in (0, 1]",
            got="values outside",
        )
    if frame.duplicated(["method", "id"]).any():
        raise InputError(
            f"maps_mass of {run!r}",
            expected="one row per image and method",
            got="ids more than once",
        )
    parts = judged.runs[run]
    known = {
        name: parts[name]["prediction"].reindex(frame["id"]).to_numpy(float)
        for name in _PLANTED
        if len(parts[name])
    }
    predicted = np.stack(list(known.values()))
    shared = ~np.isnan(predicted).all(axis=0)
    agrees = (predicted == frame["prediction"].to_numpy(float)).any(axis=0)
    checked, differ = int(shared.sum()), int((shared & ~agrees).sum())
    share = differ / checked if checked else math.nan
    if share > MOST_MISMATCH:
        raise InputError(
            f"maps of {run!r}",
            expected="maps of the model whose predictions are in its table",
            got=f"another prediction for {differ} of {checked} images",
            hint="Was the checkpoint loaded before explaining?",
        )
    if np.isnan(share):
        notes.append(f"{run}: its maps could not be checked against its predictions.")
    elif differ:
        notes.append(f"{run}: {differ} maps explain another class than the table's prediction.")
    return frame
