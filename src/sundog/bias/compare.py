"""Which of several classifiers relies on a known cue: accuracies, a decision, one sentence.

The test is causal: the same images with the cue, without it and with the cue of another class. What
decides is the interval of the paired difference, never the accuracy itself, so a weak honest model
is not taken for a biased one. Maps may be given as further evidence; they never decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from sundog.bias.judged import CONDITIONS, Judged, Tables, judge
from sundog.bias.map_evidence import MapEvidence, weigh_maps
from sundog.bias.reliance import Reliance, measure, outcomes
from sundog.bias.verdict import Decision, Standing, decide, sentence, standing
from sundog.core.errors import InputError
from sundog.core.notebook import Card, InNotebook
from sundog.core.statistics import Estimate, holm, mean_interval, sign_flip_p_values


@dataclass(frozen=True)
class RunDifference:
    """How much more ``first`` relies on the cue than ``second``, over the same images.

    Attributes:
        measure: ``gain`` or ``pull``.
        first: a run id.
        second: another run id.
        difference: of the measure, first - second, with its interval; > 0: first relies more.
        p_value: sign-flip permutation over images, Holm-corrected over measures and pairs.
    """

    measure: str
    first: str
    second: str
    difference: Estimate
    p_value: float


@dataclass(frozen=True, repr=False)
class Comparison(InNotebook):
    """The result of :func:`compare_models`.

    Attributes:
        decision: ``some``, ``all``, ``none`` (of the runs rely on the cue) or ``cannot tell``.
        standings: run id → ``relies``, ``clear`` or ``unsure``.
        verdict: one sentence.
        runs: one :class:`~sundog.bias.reliance.Reliance` per run.
        differences: between every two runs, for every measure.
        maps: what the maps say, or None.
        maps_agree: method → whether its maps point at the run (or at none) that the causal test
            names; None where that question has no answer (no single culprit, or cannot tell).
        alpha: all standings hold together with probability at least ``1 - alpha``.
        level: level of the intervals of gain and pull, Bonferroni over runs and measures.
        smallest: the reliance that matters.
        notes: what was left out or looks wrong.
    """

    decision: Decision
    standings: dict[str, Standing]
    verdict: str
    runs: tuple[Reliance, ...]
    differences: tuple[RunDifference, ...]
    maps: MapEvidence | None
    maps_agree: dict[str, bool | None]
    alpha: float
    level: float
    smallest: float
    notes: tuple[str, ...]

    @property
    def relies(self) -> tuple[str, ...]:
        """Return the ids of the runs that rely on the cue."""
        return tuple(run for run, kind in self.standings.items() if kind == "relies")

    def table(self) -> pd.DataFrame:
        """Return the run × cue table: one row per run and condition.

        Returns:
            Columns run, cue (off, aligned, conflicting), accuracy and loss as
            :class:`~sundog.core.statistics.Estimate` (loss None if not given), n.
        """
        return pd.DataFrame(
            [
                {
                    "run": run.run,
                    "cue": condition,
                    "accuracy": run.scores[condition].accuracy,
                    "loss": run.scores[condition].loss,
                    "n": run.scores[condition].n,
                }
                for run in self.runs
                for condition in CONDITIONS
                if condition in run.scores
            ]
        )

    def reliance_table(self) -> pd.DataFrame:
        """Return one row per run and measure.

        Returns:
            Columns run, measure (gain, pull), with_cue and without_cue (shares of the same images),
            difference (:class:`~sundog.core.statistics.Estimate` at :attr:`level`), p (McNemar of
            no difference at all, Holm-corrected), n, standing.
        """
        rows = [
            {
                "run": run.run,
                "measure": name,
                "with_cue": (pair.both + pair.only_a) / pair.difference.n,
                "without_cue": (pair.both + pair.only_b) / pair.difference.n,
                "difference": pair.difference,
                "p": pair.p_value,
                "n": pair.difference.n,
                "standing": self.standings[run.run],
            }
            for run in self.runs
            for name, pair in run.measures.items()
        ]
        frame = pd.DataFrame(rows)
        frame["p"] = holm(frame["p"].to_numpy(float))
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain dictionaries and lists, NaN as None: ready for JSON."""
        return _plain(asdict(self) | {"relies": list(self.relies)})

    def _card(self) -> Card:
        tones = {"some": "alarm", "all": "alarm", "none": "calm"}
        return Card(
            headline=self.verdict,
            word=f"{self.decision} rely on the cue" if self.decision in tones else self.decision,
            tone=tones.get(self.decision, "unsure"),
            tables=[
                (
                    "How much each run relies on the cue",
                    self.reliance_table(),
                ),
                ("Scores", self.table()),
            ],
            notes=self.notes,
        )


def compare_models(
    tables: Tables,
    *,
    maps_mass: Mapping[str, pd.DataFrame] | None = None,
    alpha: float = 0.05,
    smallest: float = 0.05,
    permutations: int = 9999,
    seed: int = 0,
) -> Comparison:
    """Say which runs rely on the cue, with error control, and how it shows.

    Gain (accuracy with the aligned cue - without) and pull (share predicted as the cue's class with
    a conflicting cue - without) are paired over images. A run *relies* on the cue if the interval
    of one lies above ``smallest``, is *clear* if the intervals of all lie below; the intervals hold
    together with probability ``1 - alpha``. A run that is nearly always right without the cue
    cannot gain, so it is cleared only by pull.

    Args:
        tables: run id → frame, or pairs of both; columns in :func:`~sundog.bias.judged.judge`.
        maps_mass: run id → relevance on the cue; columns in
            :func:`~sundog.bias.map_evidence.weigh_maps`.
        alpha: probability of any wrong standing, in (0, 1).
        smallest: reliance that matters, a share of images in (0, 1): 0.05 is five points.
        permutations: sign patterns for the differences between runs.
        seed: for those patterns.

    Returns:
        The comparison; see :class:`Comparison`.

    Raises:
        InputError: tables or maps that cannot be compared, alpha or smallest out of range.

    Source: Newcombe, 1998, and Tango, 1998, Statistics in Medicine 17 (intervals); Holm, 1979;
    Adebayo et al., 2022, arXiv 2212.04629 (maps alone mislead).
    """
    for name, value in (("alpha", alpha), ("smallest", smallest)):
        if not 0 < value < 1:
            raise InputError(name, expected="between 0 and 1", got=str(value))
    judged = judge(tables)
    taken = {run: outcomes(parts) for run, parts in judged.runs.items()}
    level = 1 - alpha / sum(len(measures) for measures in taken.values())
    runs = measure(judged, alpha=alpha, level=level, smallest=smallest)
    kinds = [standing(run, smallest=smallest) for run in runs]
    standings = {run.run: kind for run, kind in zip(runs, kinds, strict=True)}
    maps = None if maps_mass is None else weigh_maps(judged, maps_mass, alpha=alpha, seed=seed)
    notes = [
        *judged.notes,
        *_twins(judged),
        *_ceilings(runs),
        *([] if maps is None else maps.notes),
    ]
    return Comparison(
        decision=decide(kinds),
        standings=standings,
        verdict=sentence(runs, kinds, smallest=smallest, alpha=alpha),
        runs=tuple(runs),
        differences=_differences(taken, alpha=alpha, permutations=permutations, seed=seed),
        maps=maps,
        maps_agree={} if maps is None else _agreement(maps, standings),
        alpha=alpha,
        level=level,
        smallest=smallest,
        notes=tuple(notes),
    )


def _differences(
    taken: Mapping[str, Mapping[str, Any]], *, alpha: float, permutations: int, seed: int
) -> tuple[RunDifference, ...]:
    raw: list[tuple[str, str, str, Estimate, float]] = []
    for name in next(iter(taken.values())):
        change = {
            run: on.astype(float) - off.astype(float)
            for run, (on, off) in ((run, measures[name]) for run, measures in taken.items())
        }
        pairs = list(combinations(taken, 2))
        gaps = np.stack([change[first] - change[second] for first, second in pairs], axis=1)
        p_values = sign_flip_p_values(gaps, permutations=permutations, seed=seed)
        for (first, second), gap, p in zip(pairs, gaps.T, p_values, strict=True):
            interval = mean_interval(gap, level=1 - alpha)
            raw.append((name, first, second, interval, float(p)))
    adjusted = holm([row[-1] for row in raw])
    return tuple(
        RunDifference(*row[:-1], p_value=float(p)) for row, p in zip(raw, adjusted, strict=True)
    )


def _twins(judged: Judged) -> list[str]:
    """Warn about runs with the same probability for every image: one checkpoint loaded twice."""
    notes = []
    for first, second in combinations(judged.runs, 2):
        same = all(
            np.array_equal(
                judged.runs[first][c]["probability"], judged.runs[second][c]["probability"]
            )
            and np.array_equal(
                judged.runs[first][c]["prediction"], judged.runs[second][c]["prediction"]
            )
            for c in CONDITIONS
        )
        if same:
            notes.append(
                f"{first} and {second} give the same prediction and probability for every image: "
                "was one checkpoint loaded twice?"
            )
    return notes


def _ceilings(runs: list[Reliance]) -> list[str]:
    """Warn about runs that could not have gained and were not asked anything else."""
    return [
        f"{run.run} is right for nearly every image without the cue, so it cannot gain from it: "
        "plant the cue of another class to see whether it follows."
        for run in runs
        if run.ceiling
    ]


def _agreement(maps: MapEvidence, standings: Mapping[str, Standing]) -> dict[str, bool | None]:
    """Hold the run that the maps point at against the one that the causal test names."""
    guilty = [run for run, kind in standings.items() if kind == "relies"]
    if len(guilty) > 1 or (not guilty and "unsure" in standings.values()):
        return dict.fromkeys(maps.favours)
    named = guilty[0] if guilty else None
    return {method: favoured == named for method, favoured in maps.favours.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
