"""Orders of classes that have a name: alphabetical, numeric, reversed, shifted by a background."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

Columns = Int64[np.ndarray, "classes"]
SHOWN = 6
"""Classes that are named in a sentence."""


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key by which ``"2"`` comes before ``"10"``, and ``class2`` before ``class10``."""
    parts = re.split(r"(\d+)", name.lower())
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts if p)


def named_orders(names: Sequence[str], given: Columns, *, total: int) -> list[tuple[str, Columns]]:
    """Return the orders that have a name and differ from the given one and from each other.

    ``alphabetical``: as a folder reader sorts (``"10"`` before ``"2"``); ``any case``: without
    regard to case; ``numeric``: ``"2"`` before ``"10"``; ``reversed``; ``shifted by 1`` and
    ``-1``: every class one column further, or round by one where no column is left.

    Args:
        names: of the classes.
        given: the output column of each class.
        total: columns of the network.
    """
    count = len(given)
    ordered = np.sort(given)
    orders = {
        "alphabetical": sorted(range(count), key=lambda i: names[i]),
        "any case": sorted(range(count), key=lambda i: (names[i].lower(), names[i])),
        "numeric": sorted(range(count), key=lambda i: natural_key(names[i])),
    }
    found: list[tuple[str, Columns]] = []
    for name, order in orders.items():
        columns = np.empty(count, dtype=np.int64)
        columns[order] = ordered
        found.append((name, columns))
    columns = np.empty(count, dtype=np.int64)
    columns[np.argsort(given)] = ordered[::-1]
    found.append(("reversed", columns))
    for step in (1, -1):
        moved = given + step
        if moved.min() < 0 or moved.max() >= total:
            moved = np.empty(count, dtype=np.int64)
            moved[np.argsort(given)] = np.roll(ordered, -step)
        found.append((f"shifted by {step}", moved))
    kept: list[tuple[str, Columns]] = []
    for name, columns in found:
        if all((columns != other).any() for other in (given, *(c for _, c in kept))):
            kept.append((name, columns))
    return kept


def order_words(name: str, order: Columns, given: Columns, names: Sequence[str]) -> str:
    """Return what an order is, in words.

    Args:
        name: of :func:`named_orders`, ``fitted`` or ``other columns``.
        order: the output column of each class.
        given: as given.
        names: of the classes.
    """
    said = {
        "alphabetical": f"the outputs are in alphabetical order{_ten_before_two(names)}",
        "any case": "the outputs are in alphabetical order without regard to case",
        "numeric": "the outputs are in numeric order ('2' before '10')",
        "reversed": "the outputs are in reversed order",
        "shifted by 1": "the outputs are shifted by one: each class is one column further, as "
        "with a background class in column 0",
        "shifted by -1": "the outputs are shifted by one: each class is one column earlier",
    }
    moved = np.flatnonzero(order != given).tolist()
    if len(moved) == 2 and set(order[moved]) == set(given[moved]):
        swapped = f"'{names[moved[0]]}' and '{names[moved[1]]}' are swapped"
        return f"{swapped}: {said[name]}" if name in said else swapped
    if name in said:
        return said[name]
    shown = ", ".join(f"'{names[i]}' is output {int(order[i])}" for i in moved[:SHOWN])
    more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
    return f"{len(moved)} of {len(order)} classes are elsewhere: {shown}{more}"


def _ten_before_two(names: Sequence[str]) -> str:
    numeric = sorted(names, key=natural_key) != sorted(names)
    return " ('10' before '2')" if numeric and any(c.isdigit() for n in names for c in n) else ""


def names_by_column(order: Columns, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names in the order of their columns, as ``class_names`` takes them."""
    return tuple(names[i] for i in np.argsort(order, kind="stable").tolist())
