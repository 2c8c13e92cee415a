"""What a search said about one setting, against the truth."""

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.planted.localisation import localise
from benchmarks.planted.numbers import as_json, finite
from benchmarks.planted.settings import Setting
from sundog.bias.shortcut_result import Shortcut, ShortcutSearch

KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("pixel", "patch", "text", "border"), ("local",)),
    **dict.fromkeys(("tint", "blur", "jpeg", "position"), ("whole",)),
    **dict.fromkeys(("background", "conjunction"), ("local", "whole")),
}
"""Kinds of a claim that are right for each cue."""
PLACED = ("pixel", "patch", "text", "border", "background")
"""Cues with a place, whose localisation is scored."""
POINTED = 0.5
"""A claim points at the cue if it does in half of the images that carry it."""
MOST_TESTS = 5


def score_search(search: ShortcutSearch, setting: Setting, masks: np.ndarray) -> dict[str, Any]:
    """Return claims and their fit to the planted cue, as JSON.

    Args:
        search: what was found.
        setting: with the truth.
        masks: ``bool[images, height, width]``, where the planted cue is in each image.
    """
    biased = setting.shortcut and not setting.control
    claims = [score_claim(claim, setting if biased else None, masks) for claim in search.shortcuts]
    return {
        "claimed": bool(claims),
        "claims": claims,
        "right": any(claim["right"] for claim in claims),
        "suspicion": suspicion(search),
        "images": search.images,
        "forwards": search.forwards,
        "strongest_tests": strongest_tests(search.table),
    }


def score_claim(claim: Shortcut, truth: Setting | None, masks: np.ndarray) -> dict[str, Any]:
    """Return one claim; with the truth, whether kind, place and classes are right."""
    found: dict[str, Any] = {
        "family": claim.family,
        "kind": claim.kind,
        "name": claim.name,
        "classes": len(claim.classes),
        "component": claim.component.to_dict(),
        "flip": as_json(claim.flip),
        "excess": as_json(claim.excess),
        "reliance": as_json(claim.reliance),
        "p_adjusted": finite(claim.p_adjusted),
        "right": False,
        "iou": None,
        "pointing": None,
    }
    if truth is None:
        return found
    found["right_kind"] = claim.kind in KINDS[truth.cue]
    if truth.cue in PLACED:
        found |= localise(claim, masks)
        pointed = found["pointing"] is not None and found["pointing"] >= POINTED
        found["right"] = found["right_kind"] and (pointed or truth.cue == "background")
    else:
        found["right"] = found["right_kind"]
    return found


def suspicion(search: ShortcutSearch) -> float:
    """Return how suspicious a classifier is, in [-2, 1]; higher = more likely biased.

    The largest lower end of the excess among claimed cues; without a claim, among all tests, minus
    one: a classifier with a claim comes before every one without.
    """
    claimed = [claim.excess.low for claim in search.shortcuts]
    lows = search.table["low"].to_numpy(dtype=float) if len(search.table) else np.zeros(0)
    lows = lows[np.isfinite(lows)]
    if claimed:
        return float(np.nanmax([0.0, *claimed]))
    return float(lows.max() - 1) if lows.size else -2.0


def strongest_tests(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the tests with the smallest p, to see what nearly was claimed."""
    if not len(table):
        return []
    columns = ["family", "name", "class_index", "n", "excess", "low", "p_adjusted", "claimed"]
    first = table.sort_values("p", kind="stable").head(MOST_TESTS)[columns]
    rows = first.to_dict("records")
    return [
        {k: finite(v) if isinstance(v, float) else v for k, v in _plain(row).items()}
        for row in rows
    ]


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()}
