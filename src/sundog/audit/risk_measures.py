"""What the risks of a run are worth: metrics, and accuracy along each risk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int64

from sundog.audit.group_column import ImageGroups
from sundog.audit.subject import Subject
from sundog.core.run_folder import RunFolder
from sundog.risk.accuracy_vs_risk import AccuracyVsRisk, accuracy_vs_risk
from sundog.risk.metrics_table import RiskMetrics, metrics_table
from sundog.risk.output import RiskOutput

LEAST_IMAGES = 10
"""Images per window of accuracy against risk: fewer windows where there are fewer images."""


def measure_risks(
    subject: Subject,
    output: RiskOutput,
    rows: Int64[np.ndarray, "scored"],
    *,
    groups: ImageGroups | None,
    foreign: RiskOutput | None,
    classes: Sequence[str] | None,
    windows: int,
    seed: int,
) -> tuple[RiskMetrics, dict[str, AccuracyVsRisk]]:
    """Return what the risks of labelled images are worth.

    Args:
        subject: images and classifier.
        output: a row per image that could be decoded.
        rows: its positions in the image set.
        groups: of all images, or None.
        foreign: risks of images of another kind, or None.
        classes: whose precision and recall are drawn; all if None.
        windows: of accuracy along each risk, at most; fewer where there are few images.
        seed: of the bootstrap.
    """
    labels = subject.labels[rows]
    known = labels >= 0
    part, ids = output[known], [subject.image_set.ids[i] for i in rows[known].tolist()]
    names = subject.class_names
    metrics = metrics_table(
        part,
        labels[known],
        class_names=names,
        groups=None if groups is None else groups.ids[rows[known]],
        group_names=() if groups is None else groups.names,
        outlying=foreign,
        seed=seed,
    )
    arrays = part.numpy()
    along: dict[str, AccuracyVsRisk] = {
        name: accuracy_vs_risk(
            arrays[name],
            labels[known],
            arrays["prediction"],
            class_names=names,
            windows=max(1, min(windows, len(ids) // LEAST_IMAGES)),
            classes=classes,
            ids=ids,
        )
        for name in part.fields
    }
    return metrics, along


def write_measures(
    folder: RunFolder, metrics: RiskMetrics, along: dict[str, AccuracyVsRisk]
) -> None:
    """Write the tables ``metrics``, ``worst_groups``, ``correlations`` and ``windows``."""
    folder.write_result("metrics", metrics.table)
    folder.write_result("worst_groups", metrics.worst)
    folder.write_result("correlations", metrics.correlations.table())
    frames = [found.table().assign(field=name) for name, found in along.items()]
    if frames:
        folder.write_result("windows", pd.concat(frames, ignore_index=True))
