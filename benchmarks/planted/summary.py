"""Numbers of one draw: identification, false alarms, localisation, recovery, with intervals."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.planted.gathered import Case, Gathered
from benchmarks.planted.numbers import as_json
from sundog.core.statistics import auroc_interval, mean_interval, wilson_interval

ROWS: dict[str, Callable[[Case], str]] = {
    "cue": lambda case: case.setting.cue,
    "data": lambda case: case.setting.data,
    "network": lambda case: case.setting.network,
    "strength": lambda case: f"{case.setting.shown:g}",
}
"""Columns by which the settings are split."""


SHARE = (0.0, 1.0)
RECOVERED = (-math.inf, 1.0)


def share(flags: Iterable[bool]) -> dict[str, Any] | None:
    """Return a share with its Wilson interval; None of nothing."""
    known = list(flags)
    return as_json(wilson_interval(sum(known), len(known))) if known else None


def mean(
    values: Iterable[float | None], *, within: tuple[float, float] | None = None
) -> dict[str, Any] | None:
    """Return a mean with its t interval, what is None left out; None of nothing.

    Args:
        values: one per setting.
        within: what a mean can be: the interval is cut there.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    found = as_json(mean_interval(known))
    if within is not None and found["low"] is not None:
        found["low"] = max(found["low"], within[0])
        found["high"] = min(found["high"], within[1])
    return found


def summarise(found: Gathered) -> dict[str, Any]:
    """Return all numbers of the finder."""
    relying, controls = found.relying, found.controls
    return {
        "settings": len(found.settings),
        "controls": sum(setting.control for setting in found.settings),
        "audited": len(found.biased) + len(controls),
        "missing": found.missing,
        "models": len({setting.model_id for setting in found.settings}),
        **core(relying, [case for case in controls if case.setting.shown > 0]),
        "relying": len(relying),
        "false_alarms": share(case.claimed for case in controls),
        "false_alarms_clean": share(c.claimed for c in controls if c.setting.shown == 0),
        "false_alarms_per_model": share(_by_model(controls)),
        "claims_without_reliance": share(c.claimed for c in found.biased if not c.relies),
        "auroc": separation(relying, controls),
        "images_through_classifier": mean(_forwards(found)),
        "seconds_search": mean(float(c.result["search"]["seconds"]) for c in _all(found)),
        "rows": {name: split(found, key) for name, key in ROWS.items()},
    }


def core(relying: Sequence[Case], with_cue: Sequence[Case]) -> dict[str, Any]:
    """Return the numbers that every row of the tables has.

    Args:
        relying: biased classifiers that depend on the cue.
        with_cue: controls on images that carry a cue.
    """
    placed = [case for case in relying if case.placed]
    claims = [case.claim for case in relying if case.claim is not None]
    pointed = [case.claim["pointing"] or 0.0 if case.claim else 0.0 for case in placed]
    pairs = [case.ordered for case in relying if case.ordered is not None]
    return {
        "identified": share(case.claimed for case in relying),
        "identified_rightly": share(bool(case.result["search"]["right"]) for case in relying),
        "pairs_in_order": share(pairs),
        "false_alarms_with_cue": share(case.claimed for case in with_cue),
        "reliance": mean(c.result["truth"]["reliance_classifier"]["value"] for c in relying),
        "pointing": mean(pointed, within=SHARE),
        "iou": mean((c.claim["iou"] for c in placed if c.claim is not None), within=SHARE),
        "right_kind": share(bool(claim["right_kind"]) for claim in claims),
        "classes": mean(map(_classes, relying), within=SHARE),
        "recovered": mean(
            (c.recovered("conflict") for c in relying if c.claimed), within=RECOVERED
        ),
        "recovered_without": mean(
            (c.recovered("without") for c in relying if c.claimed), within=RECOVERED
        ),
        "recovered_all": mean((c.recovered("conflict") for c in relying), within=RECOVERED),
    }


def split(found: Gathered, key: Callable[[Case], str]) -> dict[str, dict[str, Any]]:
    """Return the core numbers of each value of a column."""
    rows: dict[str, dict[str, Any]] = {}
    for value in sorted({key(case) for case in found.biased}):
        biased = [case for case in found.biased if key(case) == value]
        relying = [case for case in biased if case.relies]
        with_cue = [c for c in found.controls if c.setting.shown > 0 and key(c) == value]
        rows[value] = {
            "biased": len(biased),
            "relying": len(relying),
            **core(relying, with_cue),
        }
    return rows


def separation(relying: Sequence[Case], controls: Sequence[Case]) -> dict[str, Any] | None:
    """Return how often a relying classifier is more suspicious than a control (AUROC)."""
    if not relying or not controls:
        return None
    scores = [case.result["search"]["suspicion"] for case in (*relying, *controls)]
    truth = np.repeat([True, False], [len(relying), len(controls)])
    value = float(roc_auc_score(truth, scores))
    return as_json(auroc_interval(value, len(relying), len(controls)))


def _by_model(controls: Sequence[Case]) -> list[bool]:
    """Return for each unbiased classifier whether any search of it claimed a cue."""
    alarmed: dict[str, bool] = {}
    for case in controls:
        name = case.setting.model_id
        alarmed[name] = alarmed.get(name, False) or case.claimed
    return list(alarmed.values())


def _classes(case: Case) -> float | None:
    """Return the share of the classes of which the strongest claim speaks; all have the cue."""
    if case.claim is None:
        return None
    return float(case.claim["classes"]) / CLASSES.get(case.setting.data, 10)


CLASSES = {"faces": 2}
"""Data sets without ten classes."""


def _all(found: Gathered) -> tuple[Case, ...]:
    return (*found.biased, *found.controls)


def _forwards(found: Gathered) -> list[float]:
    return [float(case.result["search"]["forwards"]) for case in _all(found)]
