"""Whose class 3 is it? Matching an image set's class names to a classifier's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from sundog.core.errors import DataError


def plain_name(name: str) -> str:
    """Return the name in lower case with single spaces: ``Golf_ball`` -> ``golf ball``."""
    return re.sub(r"[\s_\-]+", " ", name).strip().lower()


def match_classes(set_names: Sequence[str], classifier_names: Sequence[str]) -> dict[int, int]:
    """Return ``image set class -> classifier class`` for every name that both have.

    Names that are equal are the same; others are compared without case, underscores and hyphens,
    unless two of one side would then be the same: ``Cat`` beside ``cat`` are two classes.
    """
    exact = {name: index for index, name in enumerate(classifier_names)}
    alike = Counter(plain_name(name) for name in exact)
    plain = {plain_name(name): index for name, index in exact.items()}
    shared = Counter(plain_name(name) for name in set(set_names))
    found = {}
    for index, name in enumerate(set_names):
        key = plain_name(name)
        if name in exact:
            found[index] = exact[name]
        elif alike[key] == 1 and shared[key] == 1:
            found[index] = plain[key]
    return found


def align_labels(
    labels: Int64[np.ndarray, "images"],
    *,
    set_names: Sequence[str],
    classifier_names: Sequence[str] | None,
    class_count: int,
) -> Int64[np.ndarray, "images"]:
    """Return the labels as the classifier numbers them; -1 where there is none.

    Args:
        labels: of the image set, -1 = unlabelled.
        set_names: class names of the image set.
        classifier_names: class names of the classifier, or None if it has none: then the numbers
            are taken to agree, which needs equal numbers of classes.
        class_count: number of the classifier's classes.

    Raises:
        DataError: some labelled class has no counterpart: a wrong order of classes would make every
            number silently wrong.
    """
    used = sorted({int(label) for label in labels if label >= 0})
    if not used:
        return labels.copy()
    if classifier_names is None:
        if len(set_names) != class_count:
            raise DataError(
                "An image set for a classifier without class names",
                expected=f"one with its {class_count} classes",
                got=f"{len(set_names)} classes",
                hint="Name the classifier's classes with class_names (--class-names).",
            )
        return labels.copy()
    matched = match_classes(set_names, classifier_names)
    missing = [set_names[label] for label in used if label not in matched]
    if missing:
        shown = ", ".join(repr(name) for name in missing[:5])
        raise DataError(
            "Every labelled class of the image set",
            expected="one of the classifier's classes",
            got=f"{len(missing)} of {len(used)} without counterpart ({shown})",
            hint="Rename the folders, choose the classes with --classes, or name them with "
            "--class-names.",
        )
    table = np.full(len(set_names) + 1, -1, dtype=np.int64)
    for source, target in matched.items():
        table[source] = target
    return table[labels]
