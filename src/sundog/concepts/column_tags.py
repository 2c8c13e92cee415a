"""Columns of a table as tags: ``column = value``, ``column >= x``, ``column missing``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64

Rule = Literal["=", ">=", "<", "missing"]


@dataclass(frozen=True)
class ColumnTag:
    """A condition on one column.

    Attributes:
        column: of the table.
        rule: ``=``, ``>=``, ``<`` or ``missing``.
        value: a text for ``=``, a number for ``>=`` and ``<``, None for ``missing``.
    """

    column: str
    rule: Rule
    value: str | float | None = None

    @property
    def name(self) -> str:
        """The tag: ``column = value``."""
        if self.rule == "missing":
            return f"{self.column} missing"
        value = f"{self.value:g}" if isinstance(self.value, float) else self.value
        return f"{self.column} {self.rule} {value}"

    def score(self, values: pd.Series) -> Float32[np.ndarray, "images"]:
        """Return 1 where the condition holds, 0 where not, NaN where the value is missing.

        A number that is not finite counts as missing.

        Args:
            values: the column.
        """
        gone = missing(values)
        if self.rule == "missing":
            return gone.astype(np.float32)
        if self.rule == "=":
            held = np.array([shown == self.value for shown in as_texts(values)])
        else:
            numbers = as_numbers(values)
            limit = float(self.value or 0.0)
            held = numbers >= limit if self.rule == ">=" else numbers < limit
            gone = gone | np.isnan(numbers)
        return np.where(gone, np.float32("nan"), held.astype(np.float32)).astype(np.float32)


@dataclass(frozen=True)
class ColumnPlan:
    """What becomes of one column.

    Attributes:
        tags: none if it is left out.
        note: why it, or a part of it, is left out; empty if nothing is.
    """

    tags: tuple[ColumnTag, ...]
    note: str = ""


def plan_column(
    name: str,
    values: pd.Series,
    *,
    labels: Int64[np.ndarray, "images"] | None = None,
    max_values: int = 20,
    quantiles: Sequence[float] = (0.25, 0.5, 0.75),
) -> ColumnPlan:
    """Decide which tags a column gives.

    Numbers with more than ``max_values`` distinct values: ``< x`` at quantiles below the median,
    ``>= x`` at the others. Anything else: ``= value`` for each value; of a column with more than
    ``max_values`` of them, the most frequent that at least 1 % of the images (and 2 of them) have,
    if together they cover half of the images: otherwise it is left out, as an id. Columns of one
    value and columns that say the same as the label are left out. Missing values give a tag of
    their own.

    Args:
        name: of the column, for the tags.
        values: one per image.
        labels: class of each image, -1 = unlabelled; None: not compared.
        max_values: above it a column is binned, or cut to its frequent values.
        quantiles: of the bins, in (0, 1).
    """
    gone = missing(values)
    known = values[~gone]
    tags: list[ColumnTag] = []
    if gone.any() and not gone.all():
        tags.append(ColumnTag(name, "missing"))
    texts = as_texts(known)
    counts = pd.Series(texts, dtype=object).value_counts(sort=False)
    if len(counts) <= 1:
        what = "is empty" if not len(counts) else f"has the one value {_short(counts.index[0])}"
        return ColumnPlan(tuple(tags), "" if tags and len(counts) else f"column {name!r} {what}")
    if labels is not None and _repeats_the_label(texts, labels[~gone]):
        return ColumnPlan(tuple(tags), f"column {name!r} says the same as the label")
    if len(counts) > max_values and is_numeric(known):
        return ColumnPlan((*_bins(name, known, quantiles), *tags))
    ordered = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))
    note = ""
    if len(ordered) > max_values:
        least = max(2, math.ceil(0.01 * len(values)))
        frequent = [(v, c) for v, c in ordered if c >= least][:max_values]
        if 2 * sum(int(c) for _, c in frequent) < len(values):
            return ColumnPlan(
                tuple(tags), f"column {name!r} has {len(ordered)} values, like an id: left out"
            )
        note = f"column {name!r}: {len(frequent)} of its {len(ordered)} values are tags"
        ordered = frequent
    named = [ColumnTag(name, "=", str(value)) for value, _ in ordered]
    return ColumnPlan((*named, *tags), note)


def missing(values: pd.Series) -> np.ndarray:
    """Return where a value is missing: None, NaN, NaT, infinity or an empty text."""
    empty = np.array([isinstance(v, str) and not v.strip() for v in values], dtype=bool)
    gone = values.isna().to_numpy(dtype=bool) | empty
    if is_numeric(values):
        gone |= ~np.isfinite(as_numbers(values))
    return gone


def is_numeric(values: pd.Series) -> bool:
    """Return whether a column holds numbers (booleans are values, not numbers)."""
    kind = values.dtype
    return pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)


def as_numbers(values: pd.Series) -> np.ndarray:
    """Return a column as float64, NaN where there is no number."""
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def as_texts(values: pd.Series) -> list[str]:
    """Return the values as people read them: whole numbers without a point, spaces made one."""
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return f"{float(value):g}"
    return " ".join(str(value).split())


def _short(text: object) -> str:
    return repr(str(text)[:40])


def _repeats_the_label(texts: Sequence[str], labels: Int64[np.ndarray, "images"]) -> bool:
    """Return whether value and class determine each other, over several classes."""
    pairs = {(text, int(label)) for text, label in zip(texts, labels, strict=True) if label >= 0}
    values, classes = ({p[0] for p in pairs}, {p[1] for p in pairs})
    return len(pairs) == len(values) == len(classes) > 1


def _bins(name: str, known: pd.Series, quantiles: Sequence[float]) -> list[ColumnTag]:
    numbers = np.sort(as_numbers(known))
    tags: dict[str, ColumnTag] = {}
    for share in quantiles:
        limit = float(np.quantile(numbers, share, method="higher"))
        if limit > numbers[0]:  # otherwise every image is on one side
            tag = ColumnTag(name, "<" if share < 0.5 else ">=", limit)
            tags.setdefault(tag.name, tag)
    return list(tags.values())
