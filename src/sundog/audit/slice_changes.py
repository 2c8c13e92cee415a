"""The findings of a first audit, measured in a second one on the very same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from sundog.audit.audit_folder import read_predictions, read_slice_sides
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Change
from sundog.core.inspection.finding import Finding
from sundog.core.statistics import Estimate, paired_proportions, proportion_difference

FEWEST = 10
"""Images on each side of a frozen slice from which on its gap is worth a number."""


def slice_changes(before: Path, after: Path, findings: Sequence[Finding]) -> list[Change]:
    """Return the gap in accuracy of every significant finding before and after, on frozen slices.

    The gap is accuracy with the concept minus accuracy without it (Newcombe); its change is the
    change of the images with the concept minus that of those without, each paired over its images,
    joined as independent (MOVER). Intervals hold together (Bonferroni over the findings).

    Args:
        before: folder of the audit that made the findings.
        after: folder of the audit to look at.
        findings: of the first audit.

    Returns:
        Empty if the folders did not keep predictions and slices.
    """
    sides, first, second = (
        read_slice_sides(before),
        read_predictions(before),
        read_predictions(after),
    )
    if sides is None or first is None or second is None:
        return []
    both = first.merge(second, on=["id", "label"], suffixes=("_before", "_after"))
    both = both.set_index("id")
    old = both["prediction_before"] == both["label"]
    new = both["prediction_after"] == both["label"]
    held = [f for f in findings if f.significant and f.effect.metric == "accuracy"]
    level = 1 - 0.05 / max(len(held), 1)
    changes = []
    for finding in held:
        rows = sides[(sides["finding"] == finding.id) & sides["image"].isin(both.index)]
        inside = rows.loc[rows["present"].astype(bool), "image"]
        outside = rows.loc[~rows["present"].astype(bool), "image"]
        if min(len(inside), len(outside)) < FEWEST:
            continue
        changes.append(
            Change(
                what=f"gap of {finding.class_name or 'all classes'} with "
                f"{' + '.join(finding.concepts)}",
                kind="slice",
                before=Measured.of(_gap(old, inside, outside, level)),
                after=Measured.of(_gap(new, inside, outside, level)),
                difference=Measured.of(_change(old, new, inside, outside, level)),
                better="lower" if finding.direction == "helps" else "higher",
            )
        )
    return changes


def _hits(right: pd.Series, ids: pd.Series) -> Bool[np.ndarray, " images"]:
    return right.loc[ids].to_numpy(bool)


def _gap(right: pd.Series, inside: pd.Series, outside: pd.Series, level: float) -> Estimate:
    a, b = _hits(right, inside), _hits(right, outside)
    return proportion_difference(int(a.sum()), len(a), int(b.sum()), len(b), level=level)


def _change(
    old: pd.Series, new: pd.Series, inside: pd.Series, outside: pd.Series, level: float
) -> Estimate:
    a, b = (
        paired_proportions(_hits(new, ids), _hits(old, ids), level=level).difference
        for ids in (inside, outside)
    )
    value = a.value - b.value
    return Estimate(
        value,
        value - math.hypot(a.value - a.low, b.high - b.value),
        value + math.hypot(a.high - a.value, b.value - b.low),
        a.n + b.n,
        level,
        "newcombe paired, mover",
    )
