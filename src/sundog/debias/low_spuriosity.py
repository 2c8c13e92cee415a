"""Fine-tune the head on the images of each class that carry the fewest spurious features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.debias.head_fit import HeadFit
from sundog.debias.head_selection import Judged, Validation, choose, no_selection
from sundog.debias.near_head import start_of
from sundog.debias.softmax_regression import softmax_regression
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head

PULLS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
DEFAULT_PULL = 0.01
_TOLERANCE = 1e-4


def low_spuriosity(
    table: FeatureTable,
    spuriosity: ArrayLike,
    head: Head,
    *,
    per_class: int = 100,
    pull: float | None = None,
    pulls: Sequence[float] = PULLS,
    validation: FeatureTable | None = None,
    validation_groups: ArrayLike | None = None,
) -> HeadFit:
    """Refit the head on the ``per_class`` images of lowest spuriosity of each class.

    Minimises ``mean CE + pull * ||theta - theta_0||²`` over them (weights and bias, on features
    standardised over the whole table). With validation images the pull is chosen by the worst
    group (or class) and the old head is a candidate; without, it is 0.01. Where every image
    carries the cue the lowest scores are noise, and nothing is gained.

    Args:
        table: labelled images (training images will do); unlabelled ones are left out.
        spuriosity: ``[images]``, higher = more of the spurious features of its class; NaN =
            unknown, left out.
        head: of the classifier that made the table.
        per_class: images of each class, >= 1; a smaller class gives all it has.
        pull: towards the old head, > 0; None: chosen, or 0.01.
        pulls: what is chosen from, the strongest first.
        validation: labelled images for the choice.
        validation_groups: ``int64[images]``, -1 = unknown; None: chosen by the worst class.

    Raises:
        InputError: a class without a scored image, or arguments out of range.

    Source: Moayeri, Wang, Singla & Feizi, 2023, NeurIPS, arXiv 2212.02648.
    """
    begun = time.perf_counter()
    for value in (*pulls, *(() if pull is None else (pull,))):
        if not (np.isfinite(value) and value > 0):
            raise InputError("pull", expected="> 0", got=repr(value))
    scores = np.asarray(spuriosity, dtype=np.float64)
    if scores.shape != (len(table),):
        raise InputError(
            "spuriosity", expected=f"one per image ({len(table)})", got=f"shape {scores.shape}"
        )
    classes, labels = table.logits.shape[1], table.labels.numpy()
    rows = lowest_per_class(scores, labels, classes=classes, per_class=per_class)
    scaling, centre = start_of(head, table)
    x, y = scaling.apply(table.features.numpy()[rows]), labels[rows]
    tuned = pull is None and validation is not None
    tried = list(pulls) if tuned else [DEFAULT_PULL if pull is None else pull]
    heads = []
    start = centre
    for value in tried:
        found = softmax_regression(
            x,
            y,
            classes=classes,
            decay=2 * value,
            centre=centre,
            start=start,
            tolerance=_TOLERANCE,
        )
        start = (found.weight, found.bias)
        heads.append(scaling.to_raw(*start))
    settings: dict[str, Any] = {
        "pull": float(tried[0]),
        "changed": True,
        "per_class": per_class,
        "images": len(rows),
        "without_score": int(((labels >= 0) & ~np.isfinite(scores)).sum()),
        "chosen_by": "given" if pull is not None else "default",
    }
    warnings = []
    short = np.bincount(y, minlength=classes)
    if short.min() < per_class:
        warnings.append(
            f"{int((short < per_class).sum())} classes have fewer than {per_class} scored images: "
            "all of theirs were taken, whatever their spuriosity."
        )
    best, selection = 0, no_selection()
    if tuned and validation is not None:
        judge = Validation(validation, validation_groups)
        heads.insert(0, (head.weight.numpy().astype(float), head.bias.numpy().astype(float)))
        judged: list[Judged] = [judge.judge(*found) for found in heads]
        best, selection = choose([{"pull": None}, *({"pull": float(v)} for v in tried)], judged)
        settings["pull"] = None if best == 0 else float(tried[best - 1])
        settings["changed"] = best > 0
        settings["chosen_by"] = judge.by
        if best == 0:
            warnings.append(
                "No candidate was better on the validation images: the head is the old one."
            )
    return HeadFit(
        method="low_spuriosity",
        weight=heads[best][0],
        bias=heads[best][1],
        settings=settings,
        selection=selection,
        warnings=tuple(warnings),
        seconds=time.perf_counter() - begun,
    )


def lowest_per_class(
    spuriosity: ArrayLike, labels: ArrayLike, *, classes: int, per_class: int
) -> Int64[np.ndarray, "chosen"]:
    """Return the positions of the lowest scores of each class, ascending; ties by position.

    Args:
        spuriosity: ``[images]``; not finite = unknown.
        labels: ``[images]``, -1 = unlabelled.
        classes: number of classes.
        per_class: >= 1.

    Raises:
        InputError: a class without a scored image, or per_class < 1.
    """
    scores, y = np.asarray(spuriosity, dtype=np.float64), np.asarray(labels)
    if per_class < 1:
        raise InputError("per_class", expected=">= 1", got=str(per_class))
    parts = []
    for label in range(classes):
        members = np.flatnonzero((y == label) & np.isfinite(scores))
        if not len(members):
            raise InputError(
                "Every class",
                expected="with an image that has a spuriosity score",
                got=f"none of class {label}",
            )
        parts.append(members[np.argsort(scores[members], kind="stable")][:per_class])
    return np.sort(np.concatenate(parts))
