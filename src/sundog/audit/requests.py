"""Reading what a person typed: methods with parameters, classes by name or number."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from sundog.audit.align import plain_name
from sundog.core.errors import InputError, UnknownNameError
from sundog.data.planting import Cue, make_cue
from sundog.explain.registry import METHODS


def parse_methods(text: str, *, seed: int = 0) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Read ``a,b:key=value:key=value``: label -> (method, parameters).

    The label is the text itself, so that one method can be asked for with several parameters.
    ``all`` stands for every method of the table. A ``seed`` other than 0 is given to every method
    that draws at random, unless its own parameters say one.

    Raises:
        UnknownNameError: no such method.
        InputError: nothing asked, one label twice, or a parameter that is not ``key=value``.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if parts == ["all"]:
        return {name: (name, _seeded(name, {}, seed)) for name in METHODS if name not in _NEED_MORE}
    if not parts:
        raise InputError("--methods", expected="at least one method", got="none")
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for part in parts:
        name, *pairs = part.split(":")
        if name not in METHODS:
            raise UnknownNameError("method", name, METHODS)
        if part in found:
            raise InputError("--methods", expected="each once", got=f"{part!r} twice")
        found[part] = (name, _seeded(name, dict(parse_parameter(pair) for pair in pairs), seed))
    return found


def _seeded(name: str, given: dict[str, Any], seed: int) -> dict[str, Any]:
    draws = "seed" in inspect.signature(METHODS[name].function).parameters
    return {"seed": seed, **given} if draws and seed else given


_NEED_MORE = {"neuron_conductance", "attention_rollout"}
"""Left out of ``all``: they need a unit, or a vision transformer."""


def parse_parameter(text: str) -> tuple[str, Any]:
    """Read ``key=value``; numbers, True, False, None and tuples are values, all else is text.

    Raises:
        InputError: no ``=``.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError("A parameter", expected="key=value", got=repr(text))
    try:
        return key.strip(), ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key.strip(), value


def parse_named(
    text: str, *, kind: str, known: Mapping[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Read ``a,b:key=value``: a list of (name, parameters), each name once.

    Args:
        text: as typed.
        kind: what is named, for the error.
        known: table whose keys are the names.

    Raises:
        UnknownNameError: no such name; suggests the nearest.
        InputError: nothing asked, one name twice, or a parameter that is not ``key=value``.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, *pairs = part.split(":")
        if name not in known:
            raise UnknownNameError(kind, name, known)
        if name in found:
            raise InputError("--methods", expected="each once", got=f"{name!r} twice")
        found[name] = dict(parse_parameter(pair) for pair in pairs)
    if not found:
        raise InputError("--methods", expected=f"at least one {kind}", got="none")
    return list(found.items())


def parse_cue(
    text: str, *, class_count: int, strength: float, seed: int, target_class: int | None = None
) -> Cue:
    """Read ``name:key=value:key=value`` and make the cue.

    Raises:
        UnknownNameError: no such cue or parameter.
        InputError: a value out of range.
    """
    name, *pairs = text.split(":")
    given = dict(parse_parameter(pair) for pair in pairs)
    return make_cue(
        name,
        class_count=class_count,
        strength=strength,
        seed=seed,
        target_class=target_class,
        **given,
    )


def parse_target(text: str | None, class_names: Sequence[str]) -> int | None:
    """Read a class by number or name; None stays None.

    Raises:
        UnknownNameError: no such class; suggests the nearest.
        InputError: a number out of range.
    """
    if text is None:
        return None
    if text.isdigit():
        if int(text) >= len(class_names):
            raise InputError("target", expected=f"a class in 0..{len(class_names) - 1}", got=text)
        return int(text)
    plain = {plain_name(name): index for index, name in enumerate(class_names)}
    if plain_name(text) not in plain:
        raise UnknownNameError("class", text, class_names)
    return plain[plain_name(text)]
