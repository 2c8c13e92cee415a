"""Names of the 1000 ImageNet classes, the Imagenette preset, and class subsets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from sundog.core.errors import InputError, UnknownNameError

Classes = int | str | Sequence[int] | Sequence[str] | None
"""A number of outputs, a preset, columns to keep, names to keep, or None: all."""

PRESETS: dict[str, tuple[int, ...]] = {
    "imagenette": (0, 217, 482, 491, 497, 566, 569, 571, 574, 701),
}
"""Columns of an ImageNet network. Imagenette: Howard, 2019, ten easily told classes."""


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the 1000 class names in the order of the usual networks, all distinct.

    The first lemma of each WordNet synset; the two cranes, maillots and cardigans say which.
    """
    text = files("sundog.models").joinpath("imagenet_names.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with ``" (2)"``, ``" (3)"``, ... after those that came before."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 2
        while candidate in taken or (candidate != name and candidate in names):
            candidate, number = f"{name} ({number})", number + 1
        taken.add(candidate)
        result.append(candidate)
    return tuple(result)


def choose_classes(
    classes: Classes, *, columns: int, names: Sequence[str] | None
) -> tuple[tuple[int, ...] | None, tuple[str, ...] | None]:
    """Return (columns to keep or None for all, names of the kept classes or None).

    Args:
        classes: see :data:`Classes`; a number was already used to build the network.
        columns: the network's number of outputs.
        names: one per column; a network with 1000 outputs and no names takes ImageNet's for
            looking names up.

    Raises:
        InputError: a column out of range, repeated or an empty subset.
        UnknownNameError: an unknown preset or class name; suggests the nearest.
    """
    known = tuple(names) if names is not None else None
    if classes is None or isinstance(classes, int):
        return None, known
    lookup = known if known is not None else (imagenet_names() if columns == 1000 else None)
    if isinstance(classes, str):
        if classes not in PRESETS:
            raise UnknownNameError("classes", classes, PRESETS)
        kept = PRESETS[classes]
        known = lookup
    elif all(isinstance(c, str) for c in classes):
        if lookup is None:
            raise InputError(
                "classes",
                expected="column numbers, because the network's classes have no names",
                got="names",
            )
        table = {name: index for index, name in enumerate(lookup)}
        for name in classes:
            if name not in table:
                raise UnknownNameError("class", str(name), table)
        kept, known = tuple(table[str(name)] for name in classes), lookup
    else:
        kept = tuple(int(c) for c in classes)
    if not kept or len(set(kept)) != len(kept):
        raise InputError("classes", expected="distinct, at least one", got=f"{len(kept)} columns")
    if min(kept) < 0 or max(kept) >= columns:
        raise InputError(
            "classes",
            expected=f"columns in 0..{columns - 1}, the network's outputs",
            got=f"{min(kept)}..{max(kept)}",
        )
    return kept, tuple(known[k] for k in kept) if known is not None else None
