"""Numbers of the other parts: concepts, rare groups, wrong labels, maps, and the peers."""

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.planted.gathered import Case, Gathered, Result
from benchmarks.planted.summary import mean, share

ALARMS = 0.95
"""The threshold of concentration is this quantile of the controls of the tuning draw."""
HARMED = 0.1
"""A rare group counts if its accuracy is so much below that of the rest of its class."""


def concepts(found: Gathered) -> dict[str, Any]:
    """Return the numbers of the concept search and of the slice searches on the same images."""
    rows = [r for r in found.others["concepts"] if r["setting"]["cue"] != "rare-group"]
    relying = {case.setting.id for case in found.relying}
    kept = [row for row in rows if row["setting"]["id"] in relying]
    numbers = {"sundog": lists(kept)}
    for name in ("sliceline", "divexplorer", "mixture"):
        numbers[name] = lists([row["peers"][name] for row in kept])
    return numbers


def lists(rows: list[Result]) -> dict[str, Any]:
    """Return how often the true concept is found, its median rank, precision@10 and untrue ones."""
    ranks = [row["rank"] for row in rows if row["rank"] is not None]
    return {
        "n": len(rows),
        "found": share(row["rank"] is not None for row in rows),
        "first": share(row["rank"] == 1 for row in rows),
        "median_rank": float(np.median(ranks)) if ranks else None,
        "precision_at_10": mean(row["precision_at_10"] or 0.0 for row in rows),
        "fdp": mean(row["fdp"] for row in rows),
        "seconds": mean(row["seconds"] for row in rows),
    }


def rare_groups(found: Gathered) -> list[dict[str, Any]]:
    """Return a row per rare group: its accuracy, that of the rest, and where it is in the list."""
    rows = []
    for result in found.others["concepts"]:
        if result["setting"]["cue"] != "rare-group":
            continue
        group = result["group"]
        gap = group["rest_of_class"]["accuracy"] - group["rare"]["accuracy"]
        rows.append(
            {
                "id": result["setting"]["id"],
                "rare": group["rare"],
                "rest_of_class": group["rest_of_class"],
                "harmed": gap >= HARMED,
                "rank": result["in_class"]["rank"],
                "rank_of_all": result["rank"],
                "peers": {name: peer["rank"] for name, peer in result["peers"].items()},
            }
        )
    return rows


def wrong_labels(found: Gathered) -> list[dict[str, Any]]:
    """Return a row per setting with wrong labels."""
    names = ("wrong", "images", "left_out", "margin", "seconds")
    return [
        {"id": result["setting"]["id"], **{name: result[name] for name in names}}
        for result in found.others["labels"]
    ]


def explanations(found: Gathered) -> list[dict[str, Any]]:
    """Return the mean over settings of each metric and method, with the cue and without it."""
    rows = [
        {"shown": shown, **row}
        for result in found.others["explanations"]
        for shown in ("with", "without")
        for row in result[shown]
    ]
    if not rows:
        return []
    table = pd.DataFrame(rows)
    keys = ["metric", "fill", "method", "control", "shown"]
    return [
        {**dict(zip(keys, key, strict=True)), "mean": mean(part["mean"].dropna().tolist())}
        for key, part in table.groupby(keys, sort=False, dropna=False)
    ]


def map_peers(found: Gathered, thresholds: dict[str, float]) -> dict[str, Any]:
    """Return identification, false alarms and pairs of the peers that look at maps alone.

    Args:
        found: of one draw.
        thresholds: data set -> concentration above which a classifier is flagged.
    """
    rows = {row["setting"]["id"]: row for row in found.others["peers"]}

    def score(case: Case) -> float | None:
        row = rows.get(case.setting.id)
        return None if row is None else float(row["concentration"]["score"])

    def concentrated(case: Case) -> bool | None:
        value, limit = score(case), thresholds.get(case.setting.data)
        return None if value is None or limit is None else value > limit

    def flagged(case: Case) -> bool | None:
        row = rows.get(case.setting.id)
        return None if row is None else bool(row["spray"]["flags"])

    pairs = []
    for case in found.relying:
        own, other = score(case), score(Case(case.setting.twin(), {}))
        if own is not None and other is not None:
            pairs.append(own > other)
    numbers: dict[str, Any] = {}
    for name, decide in (("concentration", concentrated), ("spray", flagged)):
        numbers[name] = {
            "identified": share(f for f in map(decide, found.relying) if f is not None),
            "false_alarms": share(f for f in map(decide, found.controls) if f is not None),
            "seconds": mean(row[name]["seconds"] for row in rows.values()),
        }
    numbers["concentration"]["pairs_in_order"] = share(pairs)
    return numbers


def concentration_thresholds(tuning: Gathered) -> dict[str, float]:
    """Return, for each data set, the concentration that 5 % of the tuning controls exceed."""
    scores: dict[str, list[float]] = {}
    for row in tuning.others["peers"]:
        if row["setting"]["control"]:
            scores.setdefault(row["setting"]["data"], []).append(row["concentration"]["score"])
    return {name: float(np.quantile(values, ALARMS)) for name, values in scores.items()}
