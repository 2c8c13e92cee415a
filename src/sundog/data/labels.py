"""From the labels of a table or a file (names or numbers) to class indices and class names."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from jaxtyping import Int64

from sundog.core.errors import DataError

MAX_CLASSES = 100_000
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)(\.0+)?")


def resolve_labels(
    values: Sequence[Any],
    class_names: Sequence[str] | None = None,
    *,
    subject: str = "labels",
    numbers_can_be_names: bool = False,
) -> tuple[Int64[np.ndarray, "images"], tuple[str, ...]]:
    """Return the class index of each value, and the class names.

    Whole numbers (also as text) are class indices, counted from 0: -1 is unlabelled, and without
    ``class_names`` the classes are called ``"0"`` to ``"max"``. Any other text, and any text that
    equals a class name, is a name; without ``class_names`` the classes are the distinct names,
    sorted. Empty, None and NaN are unlabelled (-1).

    Args:
        values: one per image.
        class_names: the allowed names, in order, or None.
        subject: what the values are called in an error.
        numbers_can_be_names: for tables, where types are guessed: if every class name is itself a
            whole number, numbers are names.

    Raises:
        DataError: a name that is not among the class names, or an index out of range.
    """
    names = None if class_names is None else tuple(class_names)
    exact = set(names or ())
    cleaned = [v if isinstance(v, str) and v in exact else _clean(v) for v in values]
    known = [v for v in cleaned if v is not None]
    numbers = all(isinstance(v, int) for v in known)
    if numbers_can_be_names and numbers and names and all(_WHOLE.fullmatch(n) for n in names):
        numbers = False
    if numbers:
        return _from_numbers(cleaned, names, subject)
    texts = [None if v is None or v == -1 else str(v) for v in cleaned]
    if names is None:
        names = tuple(sorted({t for t in texts if t is not None}))
    index = {name: i for i, name in enumerate(names)}
    unknown = sorted({t for t in texts if t is not None and t not in index})
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        raise DataError(
            subject,
            expected=f"one of the {len(names)} class names",
            got=f"{len(unknown)} other values: {', '.join(map(repr, unknown[:3]))}",
            hint=f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names[:10])}.",
        )
    return np.array([-1 if t is None else index[t] for t in texts], dtype=np.int64), names


def _clean(value: Any) -> int | str | None:
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and float(value).is_integer():
        return int(float(value))
    text = str(value).strip()
    if text in ("", "<NA>", "NaT"):
        return None
    return int(float(text)) if _WHOLE.fullmatch(text) else text


def _from_numbers(
    values: Sequence[int | str | None], names: tuple[str, ...] | None, subject: str
) -> tuple[Int64[np.ndarray, "images"], tuple[str, ...]]:
    labels = np.array([-1 if v is None else v for v in values], dtype=np.int64)
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (-1, -1)
    limit = MAX_CLASSES if names is None else len(names)
    if low < -1 or high >= limit:
        raise DataError(
            subject,
            expected=f"class indices in 0..{limit - 1}, or -1 for unlabelled",
            got=f"{low}..{high}",
            hint="" if names is None else f"There are {len(names)} class names.",
        )
    return labels, tuple(str(i) for i in range(high + 1)) if names is None else names
