"""How well a classifier does: overall, by class and metadata group, and which group is worst."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from sundog.audit.group_column import image_groups
from sundog.audit.observed import Observed
from sundog.audit.subject import Subject
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Group, Performance
from sundog.models.group_scores import SMALL, GroupScores, group_scores

CONFUSIONS = 20
"""Most frequent errors that are listed."""
BY_CLASS = "class"


def measure_performance(
    subject: Subject,
    observed: Observed,
    probabilities: Float64[np.ndarray, "counted classes"],
    *,
    group_column: str | None = None,
    seed: int = 0,
) -> Performance:
    """Return accuracy and calibration of all images, of each class and of each metadata group.

    The worst group and the gap are taken over the groups with at least 30 images (over all, if none
    has so many), classes or, with a column, class x value; their intervals hold whichever group it
    is (see :func:`sundog.models.group_scores.group_scores`).

    Args:
        subject: images and classifier.
        observed: predictions for the images that count.
        probabilities: of the same images in the same order.
        group_column: metadata column; None groups by class alone.
        seed: of the bootstrap.

    Raises:
        UnknownNameError: no such column.
        InputError: a column with no value, or more than 50.
    """
    frame = observed.frame
    labels = frame["label"].to_numpy(dtype=np.int64)
    names = subject.class_names

    def scores(groups: Int64[np.ndarray, "counted"], group_names: tuple[str, ...]) -> GroupScores:
        return group_scores(
            probabilities, labels, groups, group_names, class_names=names, seed=seed
        )

    by_class = scores(labels, names)
    groups = _groups(by_class, BY_CLASS)
    column, member, group_names, chosen = BY_CLASS, labels, names, by_class
    if group_column is not None:
        found = image_groups(subject, group_column)
        column, group_names = group_column, found.names
        member = found.ids[frame["index"].to_numpy(dtype=np.int64)]
        chosen = scores(member, group_names)
        groups += _groups(chosen, group_column)
    large = np.array([score.n >= SMALL for score in chosen.groups])
    if large.any() and not large.all():
        kept = np.flatnonzero(large)
        place = np.full(len(group_names) + 1, -1, dtype=np.int64)
        place[kept] = np.arange(len(kept))
        chosen = scores(place[member], tuple(group_names[i] for i in kept.tolist()))
    worst = next((g for g in groups if (g.column, g.name) == (column, chosen.worst_group)), None)
    return Performance(
        accuracy=Measured.of(by_class.average),
        groups=groups,
        worst=None
        if worst is None
        else worst.model_copy(update={"accuracy": Measured.of(chosen.worst)}),
        gap=Measured.of(chosen.gap) if worst is not None else None,
        ece=Measured.of(by_class.overall.ece),
        confusions=_confusions(frame, names),
    )


def _groups(scores: GroupScores, column: str) -> tuple[Group, ...]:
    """Return the groups that have images."""
    return tuple(
        Group(
            column=column,
            name=score.name,
            n=score.n,
            accuracy=Measured.of(score.accuracy),
            ece=None if score.small else Measured.of(score.ece),
            small=score.small,
        )
        for score in scores.groups
        if score.n
    )


def _confusions(frame: pd.DataFrame, names: tuple[str, ...]) -> tuple[tuple[str, str, int], ...]:
    wrong = frame[~frame["correct"]]
    counts = Counter(zip(wrong["label"].tolist(), wrong["prediction"].tolist(), strict=True))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple((names[a], names[b], count) for (a, b), count in ordered[:CONFUSIONS])
