"""How sure one may be that a model is biased: a logistic map that was fitted on planted biases.

The coefficients are read from ``confidence.json``, which ``benchmarks/planted/calibrate.py`` fits
on models whose bias is known; without that file there is no confidence, and the page says so. It is
a probability for models like those of the benchmark, at their share of biased ones, and no more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate

FILE = "confidence.json"
FEATURES = ("pull_over", "excess_low", "reliance_low", "evidence", "claimed", "images")


class ClaimedCue(Protocol):
    """What is needed of a claimed cue."""

    @property
    def reliance(self) -> Estimate:
        """Accuracy that hangs on the cue."""


class Searched(Protocol):
    """What is needed of a :class:`~sundog.bias.shortcut_result.ShortcutSearch`."""

    @property
    def shortcuts(self) -> Sequence[ClaimedCue]:
        """Claimed cues."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per test: ``low``, ``pull_low``, ``elsewhere``, ``margin``, ``p_adjusted``."""

    @property
    def images(self) -> int:
        """Images that were used."""


@dataclass(frozen=True)
class Calibration:
    """A fitted logistic map: ``p = 1 / (1 + exp(-(b + sum_j w_j (x_j - m_j) / s_j)))``.

    Attributes:
        features: names, in the order of the numbers below.
        means: m.
        scales: s, positive.
        weights: w.
        intercept: b.
        fitted: what it was fitted on and how well it does elsewhere, for people.
    """

    features: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    fitted: Mapping[str, Any]

    def __call__(self, features: Mapping[str, float]) -> float:
        """Return the probability that the model is biased, in (0, 1).

        Raises:
            InputError: a feature is missing.
        """
        missing = [name for name in self.features if name not in features]
        if missing:
            raise InputError("features", expected=f"{self.features}", got=f"no {missing}")
        x = np.array([features[name] for name in self.features])
        z = self.intercept + float(
            ((x - np.array(self.means)) / np.array(self.scales)) @ np.array(self.weights)
        )
        return float(1 / (1 + math.exp(-max(-700.0, min(700.0, z)))))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "format": "sundog-confidence",
            "version": 1,
            "features": list(self.features),
            "means": list(self.means),
            "scales": list(self.scales),
            "weights": list(self.weights),
            "intercept": self.intercept,
            "fitted": dict(self.fitted),
        }


def confidence_features(search: Searched) -> dict[str, float]:
    """Return what the confidence is computed from.

    - ``pull_over``: largest corrected lower bound of the pull, beyond that of parts of the same
      size elsewhere and beyond its margin, over all tests; -1 without a test
    - ``excess_low``: largest corrected lower bound of ``flip - control`` over all tests
    - ``reliance_low``: largest lower bound of the accuracy that hangs on a claimed cue; 0 without
    - ``evidence``: ``-log10`` of the smallest corrected p-value, at most 6
    - ``claimed``: 1 if a cue is claimed, else 0
    - ``images``: ``log10`` of the number of images

    Args:
        search: of one model.
    """
    table = search.table
    lows = _finite(table["low"]) if len(table) else np.zeros(0)
    usual = table["margin"] + table["elsewhere"].fillna(0.0)
    over = _finite(table["pull_low"] - usual) if len(table) else np.zeros(0)
    p = _finite(table["p_adjusted"]) if len(table) else np.zeros(0)
    reliance = [s.reliance.low for s in search.shortcuts if math.isfinite(s.reliance.low)]
    return {
        "pull_over": float(over.max()) if over.size else -1.0,
        "excess_low": float(lows.max()) if lows.size else 0.0,
        "reliance_low": max([0.0, *reliance]),
        "evidence": abs(math.log10(max(float(p.min()), 1e-6))) if p.size else 0.0,
        "claimed": float(len(search.shortcuts) > 0),
        "images": math.log10(max(search.images, 1)),
    }


@cache
def load_calibration() -> Calibration | None:
    """Return the calibration that comes with the package, or None if there is none.

    Raises:
        InputError: a file of another format.
    """
    file = resources.files("sundog.bias").joinpath(FILE)
    if not file.is_file():
        return None
    return read_calibration(json.loads(file.read_text(encoding="utf-8")))


def read_calibration(raw: Mapping[str, Any]) -> Calibration:
    """Check and return a calibration from its JSON values.

    Raises:
        InputError: another format, lists of different length, or a scale that is not positive.
    """
    names = ("features", "means", "scales", "weights")
    try:
        lists = [list(raw[name]) for name in names]
        good = (
            raw["format"] == "sundog-confidence"
            and len({len(values) for values in lists}) == 1
            and all(float(scale) > 0 for scale in lists[2])
        )
        if not good:
            raise ValueError("lists of one length, and positive scales")
        return Calibration(
            features=tuple(map(str, lists[0])),
            means=tuple(map(float, lists[1])),
            scales=tuple(map(float, lists[2])),
            weights=tuple(map(float, lists[3])),
            intercept=float(raw["intercept"]),
            fitted=dict(raw.get("fitted", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            FILE, expected="written by benchmarks/planted/calibrate.py", got=str(error)
        ) from error


def confidence(search: Searched, calibration: Calibration | None = None) -> float | None:
    """Return the probability that a model is biased, or None without a calibration."""
    used = load_calibration() if calibration is None else calibration
    return None if used is None else used(confidence_features(search))


def _finite(values: pd.Series) -> np.ndarray:
    found = values.to_numpy(float)
    return found[np.isfinite(found)]
