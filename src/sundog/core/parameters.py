"""Parameters that a person typed, checked against what a function takes before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sundog.core.errors import InputError

_SIMPLE = ("int", "float", "bool", "str", "None")


def check_parameters(
    owner: str,
    function: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    fixed: Collection[str] = (),
    also: Collection[str] = (),
) -> None:
    """Refuse a parameter that a function does not take, or a value of another type.

    A whole number passes for a ``float``; True and False pass for neither ``int`` nor ``float``.
    Types beside numbers, texts, booleans and sequences are left to the function.

    Args:
        owner: whose parameters they are.
        function: a function or class.
        given: name → value.
        fixed: parameters that the caller fills in: nobody may type them.
        also: names that the caller itself understands.

    Raises:
        InputError: an unknown name, or a value of another type.
    """
    rows = {
        name: row
        for name, row in inspect.signature(function).parameters.items()
        if name not in fixed
    }
    known = sorted({*rows, *also})
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(
            f"Parameters of {owner!r}",
            expected=f"among {', '.join(known)}" if known else "none",
            got=", ".join(unknown),
        )
    for name, value in given.items():
        if name in rows and not _fits(value, str(rows[name].annotation)):
            raise InputError(
                f"{name} of {owner!r}",
                expected=_words(str(rows[name].annotation)),
                got=repr(value)[:80],
            )


def _fits(value: Any, annotation: str) -> bool:
    parts = [part.strip() for part in annotation.split("|")]
    sequences = [part for part in parts if part.startswith("Sequence[")]
    if any(part not in _SIMPLE for part in parts if part not in sequences):
        return True
    if sequences and isinstance(value, list | tuple):
        return True
    if isinstance(value, bool) or value is None:
        return ("None" if value is None else "bool") in parts
    if isinstance(value, int):
        return "int" in parts or "float" in parts
    return isinstance(value, float | str) and type(value).__name__ in parts


def _words(annotation: str) -> str:
    names = {
        "int": "a whole number",
        "float": "a number",
        "bool": "True or False",
        "str": "a text",
    }
    parts = [part.strip() for part in annotation.split("|")]
    return " or ".join(
        names.get(part, "a list" if part.startswith("Sequence[") else part) for part in parts
    )
