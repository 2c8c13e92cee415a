"""Groups of images from a metadata column: class x value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64

from sundog.audit.subject import Subject
from sundog.core.errors import InputError, UnknownNameError
from sundog.data.image_set import ImageSet

MOST_VALUES = 50
"""A column with more values is a measurement or a name, not an attribute."""
NO_CUE = "none"
"""Value of images without a cue in the manifests of planted sets."""


@dataclass(frozen=True, eq=False)
class ImageGroups:
    """The group of each image of a set.

    Attributes:
        ids: ``int64[images]``, position in ``names``; -1 where label or value is not known.
        names: ``class x value``, those without images too.
        values: ``int64[images]``, position in ``value_names``; -1 = unknown.
        value_names: the column's values, sorted.
    """

    ids: Int64[np.ndarray, "images"]
    names: tuple[str, ...]
    values: Int64[np.ndarray, "images"]
    value_names: tuple[str, ...]

    def name_of(self, index: int) -> str:
        """Return the name of an image's group, empty if it is not known."""
        group = int(self.ids[index])
        return self.names[group] if group >= 0 else ""


def column_values(image_set: ImageSet, column: str) -> list[str]:
    """Return a metadata column as text; a missing value is empty.

    An image that a planted set left without its cue has the value ``none``.

    Raises:
        UnknownNameError: no such column; suggests the nearest.
    """
    table = image_set.metadata
    if column not in table.columns:
        raise UnknownNameError("metadata column", column, [str(c) for c in table.columns])
    given = table[column]
    text = given.astype(object).where(given.notna(), "").astype(str).str.strip()
    if column == "cue_class" and "present" in table.columns:
        text = text.where(table["present"].astype(str).str.lower() == "true", NO_CUE)
    return [str(value) for value in text]


def value_codes(
    texts: list[str], names: tuple[str, ...], *, column: str
) -> Int64[np.ndarray, "images"]:
    """Return the position of each value in ``names``, -1 for an empty or unknown one.

    Raises:
        InputError: no value, or more than 50.
    """
    if not names or len(names) > MOST_VALUES:
        raise InputError(
            f"Column {column!r}",
            expected=f"between 1 and {MOST_VALUES} values",
            got=str(len(names)),
            hint="Choose a column with few values, or bin it first.",
        )
    place = {name: i for i, name in enumerate(names)}
    return np.array([place.get(text, -1) for text in texts], dtype=np.int64)


def image_groups(subject: Subject, column: str) -> ImageGroups:
    """Return the groups ``class x value`` of a subject's images.

    Raises:
        UnknownNameError: no such column.
        InputError: no value, or more than 50.
    """
    texts = column_values(subject.image_set, column)
    names = tuple(sorted({text for text in texts if text}))
    values = value_codes(texts, names, column=column)
    return join_groups(subject.labels, subject.class_names, values, names)


def join_groups(
    labels: Int64[np.ndarray, "images"],
    class_names: tuple[str, ...],
    values: Int64[np.ndarray, "images"],
    value_names: tuple[str, ...],
) -> ImageGroups:
    """Return the groups of labels and values."""
    known = (labels >= 0) & (values >= 0)
    return ImageGroups(
        ids=np.where(known, labels * len(value_names) + values, -1).astype(np.int64),
        names=tuple(f"{name} x {value}" for name in class_names for value in value_names),
        values=values,
        value_names=value_names,
    )


def shared_values(sets: list[ImageSet], column: str) -> tuple[str, ...]:
    """Return the values of a column over several sets, sorted."""
    found: set[str] = set()
    for image_set in sets:
        found |= set(pd.unique(pd.Series(column_values(image_set, column), dtype=object)))
    return tuple(sorted(value for value in found if value))
