"""The tables and the identity of a debiasing run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sundog.audit.debias_data import DebiasData, Part
from sundog.core.seeds import derive_seed
from sundog.report.debias_content import MethodResult


def identity_of(data: DebiasData) -> dict[str, Any]:
    """Return what makes it these data, as JSON: pixels, labels, groups, masks, size."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "column": data.column,
        "size": list(data.train.images.image_size),
        "resize": data.train.images.resize,
        "classes": list(data.class_names),
        "parts": {name: _digest(part) for name, part in parts.items()},
        "masks": {
            name: None if part.editor is None else _cue(part.editor.describe())
            for name, part in parts.items()
        },
    }


def _cue(described: dict[str, Any]) -> Any:
    """Return what makes it this cue; of masks their hash alone, as runs have always kept it."""
    return described["masks"] if described["name"] == "masks" else described


def _digest(part: Part) -> str:
    """Return a hash of the images, their labels and their groups, in order."""
    groups = [] if part.groups is None else part.groups.ids.tolist()
    ids = part.images.image_set.ids
    return f"{derive_seed(0, *ids, 'labels', *part.labels.tolist(), 'groups', *groups):016x}"


def score_table(before: MethodResult, results: Sequence[MethodResult]) -> pd.DataFrame:
    """Return a row per method and score: value, interval, n, change with its interval."""
    rows = []
    for result in (before, *results):
        for name, score in result.scores.items():
            row: dict[str, Any] = {"method": result.name, "score": name, "seeds": result.seeds}
            if isinstance(score, float):
                row["value"] = score
            else:
                row |= {
                    "value": score.value,
                    "low": score.low,
                    "high": score.high,
                    "n": score.n,
                    "interval": score.method,
                }
            change = result.change.get(name)
            if change is not None:
                row |= {
                    "change": change.value,
                    "change_low": change.low,
                    "change_high": change.high,
                }
            rows.append(row)
    return pd.DataFrame(rows)
