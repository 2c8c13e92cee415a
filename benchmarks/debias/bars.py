"""The bars of the proof, each with what was measured: held or missed, never left out."""

from collections.abc import Callable
from typing import Any

AUGMENTATION = ("cue_augmentation", "cue_augmentation_mask")
REFITS = ("projection", "projection_mask", "projection_swapped", "dfr")
MENDING = (*AUGMENTATION, *REFITS)
OF_CLEAN, RECOVERED, SECONDS, LOST, FLIP, TEN = 0.95, 0.60, 30.0, 0.02, 0.05, 0.90


def judge_bars(
    gathered: dict[str, dict[str, Any]], timing: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Return one row per bar: setting, method, bar, value, interval, held (None: no result)."""
    rows = []
    for setting in ("pair", "digits"):
        methods = gathered.get(setting, {}).get("methods", {})
        for name in AUGMENTATION:
            rows.append(
                _row(
                    setting,
                    name,
                    f"worst group at least {OF_CLEAN:.0%} of the clean model's",
                    methods.get(name, {}).get("of_clean"),
                    lambda value: value >= OF_CLEAN,
                )
            )
        for name in REFITS:
            rows.append(
                _row(
                    setting,
                    name,
                    f"recovers at least {RECOVERED:.0%} of the worst group's gap",
                    methods.get(name, {}).get("recovered_worst"),
                    lambda value: value >= RECOVERED,
                )
            )
        for name in MENDING:
            change = methods.get(name, {}).get("change", {}).get("without")
            rows.append(
                _row(
                    setting,
                    name,
                    f"loses at most {100 * LOST:.0f} points without the cue",
                    change,
                    lambda value: value >= -LOST,
                )
            )
            flip = methods.get(name, {}).get("values", {}).get("flip")
            rows.append(
                _row(setting, name, f"flip rate at most {FLIP}", flip, lambda value: value <= FLIP)
            )
    methods = gathered.get("ten", {}).get("methods", {})
    for name in AUGMENTATION:
        for metric, title in (
            ("conflict", "accuracy on conflicting images"),
            ("worst", "worst group"),
        ):
            rows.append(
                _row(
                    "ten",
                    name,
                    f"closes at least {TEN:.0%} of the gap of the {title}",
                    methods.get(name, {}).get(f"recovered_{metric}"),
                    lambda value: value >= TEN,
                )
            )
    rows += _null(gathered.get("pair-null", {}).get("methods", {}))
    for name in ("projection", "dfr"):
        value = None if timing is None else timing["seconds"][name]
        found = None if value is None else {"value": value, "low": value, "high": value}
        title = f"10,000 images of cached features in at most {SECONDS:.0f} s on one thread"
        rows.append(_row("timing", name, title, found, lambda value: value <= SECONDS))
    return rows


def _null(methods: dict[str, Any]) -> list[dict[str, Any]]:
    """Nothing is changed: the interval of every difference to plain training holds 0."""
    rows = []
    for name in MENDING:
        for metric, title in (("worst", "worst group"), ("without", "accuracy without the cue")):
            change = methods.get(name, {}).get("change", {}).get(metric)
            row = _row(
                "pair-null",
                name,
                f"an unbiased model's {title} is left as it is (0 in the interval)",
                change,
                lambda _value: True,
            )
            if change is not None:
                row["held"] = change["low"] <= 0 <= change["high"]
                row["worse"] = change["high"] < 0
            rows.append(row)
    return rows


def _row(
    setting: str,
    method: str,
    bar: str,
    found: dict[str, float] | None,
    holds: Callable[[float], bool],
) -> dict[str, Any]:
    row: dict[str, Any] = {"setting": setting, "method": method, "bar": bar, "held": None}
    if found is not None:
        row |= {key: found[key] for key in ("value", "low", "high")}
        row["held"] = bool(holds(found["value"]))
    return row
