"""How much a classifier relies on a cue, paired over the same images.

- *gain* = accuracy with the aligned cue - accuracy without it
- *pull* = share predicted as the cue's class when the cue conflicts with the label - the same share
  (same images, same class) without the cue

Both are 0 for a classifier that does not see the cue, whatever its accuracy, and near 1 for one
that sees nothing else. Gain has a ceiling (a classifier that is always right without the cue
cannot gain); pull has none, which is why both are asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sundog.bias.judged import CONDITIONS, Condition, Judged
from sundog.bias.limits import with_safe_limits
from sundog.core.statistics import (
    Estimate,
    PairedProportions,
    mean_interval,
    paired_proportions,
    wilson_interval,
)

POWER = 0.8


@dataclass(frozen=True)
class Score:
    """One run under one condition: accuracy (Wilson), mean loss (t; None if not given), n."""

    accuracy: Estimate
    loss: Estimate | None
    n: int


@dataclass(frozen=True)
class Reliance:
    """One run.

    Attributes:
        run: its id.
        scores: condition → score, for the conditions that have images.
        gain: aligned (a) against off (b); None without images seen both ways.
        pull: follows the cue with (a) and without (b) a conflicting cue; None without such images.
        follows: share of conflicting images predicted as the cue's class; None without any.
        detectable: the smallest true gain (or pull, the smaller) that this many images would show
            with probability 0.8; how much a finding of nothing is worth.
    """

    run: str
    scores: dict[Condition, Score]
    gain: PairedProportions | None
    pull: PairedProportions | None
    follows: Estimate | None
    detectable: float

    @property
    def measures(self) -> dict[str, PairedProportions]:
        """Return the measures that could be taken: ``gain``, ``pull``."""
        both = {"gain": self.gain, "pull": self.pull}
        return {name: value for name, value in both.items() if value is not None}

    @property
    def ceiling(self) -> bool:
        """Whether only gain was asked and the images wrong without the cue are too few to show it.

        A gain is at most the share of images that are wrong without the cue.
        """
        if self.pull is not None or self.gain is None:
            return False
        wrong = (self.gain.only_a + self.gain.neither) / self.gain.difference.n
        return wrong < self.detectable


def outcomes(
    parts: dict[Condition, pd.DataFrame],
) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return measure → (with the cue, without) as bool per image, for images seen both ways."""
    off = parts["off"]
    result = {}
    gain = parts["aligned"].index.intersection(off.index)
    if len(gain):
        result["gain"] = (
            parts["aligned"].loc[gain, "correct"].to_numpy(bool),
            off.loc[gain, "correct"].to_numpy(bool),
        )
    pull = parts["conflicting"].index.intersection(off.index)
    if len(pull):
        on = parts["conflicting"].loc[pull]
        before = off.loc[pull, "prediction"].to_numpy() == on["cue_class"].to_numpy()
        result["pull"] = (on["follows"].to_numpy(bool), before)
    return result


def measure(judged: Judged, *, alpha: float, level: float, smallest: float) -> list[Reliance]:
    """Measure every run.

    Args:
        judged: the runs over the same images.
        alpha: accuracies, losses and follow rates carry ``1 - alpha`` intervals.
        level: of the intervals of gain and pull, which decide together.
        smallest: reliance that matters, for the detectable one.

    Returns:
        One result per run, in order.
    """
    results = []
    for run, parts in judged.runs.items():
        taken = {
            name: with_safe_limits(paired_proportions(on, off, level=level))
            for name, (on, off) in outcomes(parts).items()
        }
        conflict = parts["conflicting"]
        results.append(
            Reliance(
                run=run,
                scores={
                    name: _score(parts[name], alpha) for name in CONDITIONS if len(parts[name])
                },
                gain=taken.get("gain"),
                pull=taken.get("pull"),
                follows=wilson_interval(
                    int(conflict["follows"].sum()), len(conflict), level=1 - alpha
                )
                if len(conflict)
                else None,
                detectable=min(
                    detectable(value, level=level, smallest=smallest) for value in taken.values()
                ),
            )
        )
    return results


def detectable(found: PairedProportions, *, level: float, smallest: float) -> float:
    """Return the smallest true difference whose interval would clear ``smallest`` 4 times in 5.

    Solves ``r = smallest + (z_level + z_power) sqrt((noise + r - r²) / n)``, where ``noise`` is the
    share of images that change both ways equally (``2 min(only_a, only_b) / n``).

    Returns:
        In (0, 1]; 1 if no difference could be shown with this many images.
    """
    n = found.difference.n
    noise = 2 * min(found.only_a, found.only_b) / n
    reach = float(stats.norm.ppf(0.5 + level / 2) + stats.norm.ppf(POWER))

    def short(r: float) -> float:
        return smallest + reach * math.sqrt(max(noise + r - r * r, 0.0) / n) - r

    low, high = smallest, 1.0
    if short(high) > 0:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) > 0 else (low, middle)
    return high


def _score(frame: pd.DataFrame, alpha: float) -> Score:
    n = len(frame)
    loss = (
        mean_interval(frame["loss"].to_numpy(float), level=1 - alpha) if "loss" in frame else None
    )
    right = wilson_interval(int(frame["correct"].sum()), n, level=1 - alpha)
    return Score(accuracy=right, loss=loss, n=n)
