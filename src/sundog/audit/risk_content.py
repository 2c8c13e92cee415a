"""From risks and measurements to what the page of a risk run shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64, UInt8

from sundog.audit.group_column import ImageGroups
from sundog.audit.risk_latent import latent_content
from sundog.audit.subject import Subject
from sundog.core.errors import DataError
from sundog.core.statistics import Estimate
from sundog.data.transforms import resize_image
from sundog.debias.noisy_labels import label_error_score
from sundog.models.calibration import calibration_table, ece
from sundog.models.group_scores import group_scores
from sundog.report.risk_content import (
    FIELD_WORDS,
    Correlation,
    Reliability,
    RiskField,
    RiskPage,
    ScoreRow,
    Split,
    Tile,
    Windows,
)
from sundog.risk.accuracy_vs_risk import AccuracyVsRisk
from sundog.risk.ensemble import EnsembleModel
from sundog.risk.estimator import Estimator
from sundog.risk.extremes import extreme_images
from sundog.risk.metrics_table import RiskMetrics
from sundog.risk.model import RiskModel
from sundog.risk.output import RiskOutput
from sundog.risk.registry import METHODS
from sundog.risk.window_images import WindowMeans
from sundog.risk.wrapping import ENSEMBLE

TILE = 96
"""Longest side of a picture on the page, in pixels."""
MOST_SUSPECTS = 24
_SHOWN = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "precision": "precision",
    "nll": "nll",
    "brier": "brier",
    "ece": "ece",
    "adaptive_ece": "adaptive_ece",
}
_RANKED = {
    "aurc": "aurc",
    "augrc": "augrc",
    "risk_at_coverage": "risk_at_80",
    "failure_auroc": "error_auroc",
    "ood_auroc": "ood_auroc",
    "ood_aupr_out": "ood_aupr",
    "ood_fpr95_out": "ood_fpr95",
}
"""Metric of the table → its name on the page."""

Rows = Int64[np.ndarray, "scored"]


def risk_content(
    subject: Subject,
    model: RiskModel | EnsembleModel,
    output: RiskOutput,
    rows: Rows,
    *,
    metrics: RiskMetrics | None,
    windows: Mapping[str, AccuracyVsRisk],
    groups: ImageGroups | None,
    fit_on: Subject | None,
    shown: int,
    notes: Sequence[str],
    command: str,
) -> RiskPage:
    """Return what the page shows.

    Args:
        subject: images and classifier.
        model: fitted.
        output: a row per image that could be decoded.
        rows: its positions in the image set.
        metrics: None without labels.
        windows: accuracy along each risk, over the labelled images.
        groups: of all images, or None.
        fit_on: what the methods were fitted on, None for the scored images.
        shown: images at each end of a risk.
        notes: what a reader must know.
        command: how to reproduce.
    """
    labels = subject.labels[rows]
    arrays = output.numpy()
    ids = [subject.image_set.ids[i] for i in rows.tolist()]
    methods: dict[str, str] = {name: _method_of(model, output, name) for name in output.fields}
    fields = []
    pictures = _mean_pictures(subject, rows[labels >= 0], windows)
    for name in output.fields:
        found = windows.get(name)
        ends = extreme_images(arrays[name], count=shown, ids=ids)
        fields.append(
            RiskField(
                name=name,
                method=methods[name],
                scores=arrays[name],
                windows=None
                if found is None
                else _windows(found, pictures[name], all_classes=subject.class_names),
                lowest=_tiles(subject, output, rows, ends.lowest, arrays[name]),
                highest=_tiles(subject, output, rows, ends.highest, arrays[name]),
                meaning=METHODS[methods[name]].summary if methods[name] in METHODS else "",
            )
        )
    known = labels >= 0
    correct = arrays["prediction"].argmax(axis=1) == labels if known.all() else None
    absent = {
        name: "no method that gives it was asked for"
        for name in FIELD_WORDS
        if name not in output.fields
    }
    suspects, said = _suspects(subject, output, rows)
    return RiskPage(
        title=f"Risk of {subject.classifier.name} on {subject.image_set.name}",
        images=len(rows),
        fields=fields,
        absent=absent,
        correct=correct,
        correlations=_correlations(metrics, output, methods),
        correlation_missing="" if metrics is not None else "the images have no labels",
        reliability=_reliability(output, labels) if known.any() else None,
        splits=_splits(subject, rows, labels, groups),
        latent=latent_content(model, subject, rows),
        suspects=suspects,
        suspects_note=said,
        facts=_facts(subject, model, fit_on),
        notes=notes,
        command=command,
        **_scores(metrics, output, rows, labels, groups, subject),
    )


def _method_of(model: RiskModel | EnsembleModel, output: RiskOutput, name: str) -> str:
    methods = (ENSEMBLE,) if isinstance(model, EnsembleModel) else model.methods
    found = [m for m in methods if f"{m}.{name}" in output.scores]
    inner = [key.removesuffix(f".{name}") for key in output.scores if key.endswith(f".{name}")]
    return (found or inner or [""])[0]


def _mean_pictures(
    subject: Subject, rows: Rows, windows: Mapping[str, AccuracyVsRisk]
) -> dict[str, UInt8[np.ndarray, "windows height width 3"]]:
    """Return the mean images of the windows of every risk, from one pass over the images."""
    means = {
        name: WindowMeans(found.membership, windows=len(found.windows))
        for name, found in windows.items()
    }
    if means:
        batches = subject.image_set.subset(rows).batches(
            size=min(subject.size[0], TILE), batch_size=subject.batch_size, resize=subject.resize
        )
        for batch in batches:
            for one in means.values():
                one.add(batch)
    return {name: one.result() for name, one in means.items()}


def _windows(
    found: AccuracyVsRisk,
    pictures: UInt8[np.ndarray, "windows height width 3"],
    *,
    all_classes: Sequence[str],
) -> Windows:
    measures: dict[str, list[Estimate]] = {
        "accuracy": [w.accuracy for w in found.windows],
        "precision": [w.precision for w in found.windows],
        "recall": [w.recall for w in found.windows],
        "balanced accuracy": [w.balanced_accuracy for w in found.windows],
    }
    every = tuple(found.class_names) == tuple(all_classes)
    return Windows(
        n=np.array([w.n for w in found.windows], dtype=np.int64),
        low=np.array([w.low for w in found.windows]),
        high=np.array([w.high for w in found.windows]),
        measures=measures,
        mean_images=pictures,
        trend=found.trend,
        positive="macro average" if every else ", ".join(found.class_names),
        note=" ".join(found.notes),
    )


def _tiles(
    subject: Subject,
    output: RiskOutput,
    rows: Rows,
    places: np.ndarray[Any, Any],
    scores: np.ndarray[Any, Any],
) -> list[Tile]:
    predicted, names = output.predicted.numpy(), subject.class_names
    tiles = []
    for place in places.tolist():
        index = int(rows[place])
        try:
            pixels = subject.image_set.image(index)
        except DataError:  # listed in the image set's ``skipped``
            continue
        side = min(TILE, max(pixels.shape[:2]))
        small = resize_image(pixels, (side, side), resize=subject.resize)
        label = int(subject.labels[index])
        tiles.append(
            Tile(
                pixels=(small.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8),
                label=names[label] if label >= 0 else "",
                predicted=names[int(predicted[place])],
                score=float(scores[place]),
            )
        )
    return tiles


def _suspects(subject: Subject, output: RiskOutput, rows: Rows) -> tuple[list[Tile], str]:
    labels = subject.labels[rows]
    if not (labels >= 0).any() or output.prediction.shape[1] < 2:
        return [], ""
    doubt = label_error_score(output.probabilities.double().numpy(), labels)
    ids = [subject.image_set.ids[i] for i in rows.tolist()]
    ends = extreme_images(doubt, count=MOST_SUSPECTS, ids=ids)
    places = ends.highest[doubt[ends.highest] > 0]
    note = (
        "Sorted by how much likelier another class is than the label (normalised margin; Northcutt "
        "et al., 2021). It means little on images the classifier was trained on, and a wrong label "
        "cannot be told from a wrong classifier without a look: no rate is claimed."
    )
    return _tiles(subject, output, rows, places, doubt), note


def _correlations(
    metrics: RiskMetrics | None, output: RiskOutput, methods: Mapping[str, str]
) -> list[Correlation]:
    if metrics is None:
        return []
    title = {
        name: f"{name[:1].upper()}{name[1:]}" + (f" ({methods[name]})" if methods[name] else "")
        for name in output.fields
    }
    return [
        Correlation(a=title[pair.a], b=title[pair.b], rho=pair.rho)
        for pair in metrics.correlations.pairs
        if pair.a in title and pair.b in title
    ]


def _reliability(output: RiskOutput, labels: np.ndarray[Any, Any]) -> Reliability:
    known = labels >= 0
    probabilities = output.probabilities.double().numpy()[known]
    return Reliability(
        table=calibration_table(probabilities, labels[known]),
        ece=ece(probabilities, labels[known]),
    )


def _splits(
    subject: Subject, rows: Rows, labels: np.ndarray[Any, Any], groups: ImageGroups | None
) -> list[Split]:
    splits = []
    if (labels >= 0).any():
        splits.append(Split(name="class", names=subject.class_names, members=labels))
    if groups is not None:
        splits.append(Split(name="group", names=groups.names, members=groups.ids[rows]))
    return splits


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(
        value=float(row["value"]),
        low=float(row["low"]),
        high=float(row["high"]),
        n=int(row["n"]),
        level=float(row["level"]),
        method=str(row["method"]),
    )


def _scores(
    metrics: RiskMetrics | None,
    output: RiskOutput,
    rows: Rows,
    labels: np.ndarray[Any, Any],
    groups: ImageGroups | None,
    subject: Subject,
) -> dict[str, Any]:
    """Return the fields of the page that hold scores: overall, rankings, groups, worst, gap."""
    if metrics is None:
        return {}
    table = metrics.table

    def chosen(group: str, score: str, names: Mapping[str, str]) -> dict[str, Estimate]:
        part = table[(table["group"] == group) & (table["score"] == score)]
        return {
            names[str(row["metric"])]: _estimate(row)
            for _, row in part.iterrows()
            if str(row["metric"]) in names
        }

    total = int((labels >= 0).sum())
    rankings = [
        ScoreRow(name=str(score), n=total, scores=chosen("all", str(score), _RANKED))
        for score in dict.fromkeys(table.loc[table["score"] != "", "score"])
    ]
    found: dict[str, Any] = {
        "overall": ScoreRow(name="all", n=total, scores=chosen("all", "", _SHOWN)),
        "rankings": [row for row in rankings if row.scores],
    }
    if groups is None:
        return found
    known = (labels >= 0) & (groups.ids[rows] >= 0)
    counts = np.bincount(groups.ids[rows][known], minlength=len(groups.names))
    found["groups"] = [
        ScoreRow(
            name=name, n=int(count), scores=chosen(name, "", _SHOWN), small=0 < int(count) < 30
        )
        for name, count in zip(groups.names, counts.tolist(), strict=True)
    ]
    if known.any():
        labelled = labels >= 0
        scores = group_scores(
            output.probabilities.double().numpy()[labelled],
            labels[labelled],
            groups.ids[rows][labelled],
            groups.names,
            class_names=subject.class_names,
            resamples=0,
        )
        found |= {"worst_group": scores.worst_group, "worst": scores.worst, "gap": scores.gap}
    return found


def _facts(
    subject: Subject, model: RiskModel | EnsembleModel, fit_on: Subject | None
) -> dict[str, object]:
    if isinstance(model, EnsembleModel):
        methods = f"ensemble of {len(model)}: {', '.join(_methods_of(model))}"
    else:
        methods = "; ".join(_with_settings(e) for e in model.estimators)
    fitted = "the scored images themselves"
    if fit_on is not None:
        fitted = f"{len(fit_on.image_set)} images from {fit_on.image_set.name}"
    return {**subject.facts(), "risk methods": methods, "fitted on": fitted}


def _methods_of(model: EnsembleModel) -> list[str]:
    first = model.members[0]
    return list(first.methods) if isinstance(first, RiskModel) else ["plain classifiers"]


def _with_settings(estimator: Estimator) -> str:
    given = ", ".join(f"{name}={value}" for name, value in estimator.settings().items())
    return f"{estimator.name} ({given})" if given else estimator.name
