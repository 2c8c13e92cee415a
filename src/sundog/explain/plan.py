"""What a user asked for, checked: method, effective parameters, output kind, sign."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sundog.core.errors import InputError, UnknownNameError
from sundog.explain.objective import OutputKind, check_output
from sundog.explain.registry import Method, get_method

RESERVED = ("classifier", "images", "target", "output", "budget")
"""Arguments of every method that are not its own parameters."""


@dataclass(frozen=True)
class Plan:
    """One method with all its parameters.

    Attributes:
        method: the row of the table.
        given: the parameters that the user gave.
        parameters: all parameters of the method, defaults included.
        output: the kind of output that is explained.
        signed: whether negative values of the maps mean 'speaks against'.
        reduction: over the channels, or None where the method has none.
    """

    method: Method
    given: Mapping[str, Any]
    parameters: Mapping[str, Any]
    output: OutputKind
    signed: bool
    reduction: str | None


def make_plan(
    name: str, given: Mapping[str, Any] | None = None, *, output: OutputKind | None = None
) -> Plan:
    """Check a method's name and parameters.

    Raises:
        UnknownNameError: no such method or parameter; suggests the nearest.
        InputError: an unknown output kind.
    """
    method, given = get_method(name), dict(given or {})
    accepted = parameters_of(method)
    for key in given:
        if key not in accepted:
            raise UnknownNameError(f"parameter of {name}", key, accepted)
    kind = output or _default_output(method, given)
    check_output(kind)
    parameters = {**accepted, **given}
    return Plan(
        method=method,
        given=given,
        parameters=parameters,
        output=kind,
        signed=_is_signed(method, parameters),
        reduction=_reduction(parameters),
    )


def parameters_of(method: Method) -> dict[str, Any]:
    """Return a method's own parameters with their defaults."""
    found = inspect.signature(method.function).parameters.values()
    return {p.name: p.default for p in found if p.name not in RESERVED}


def accepts(method: Method, argument: str) -> bool:
    """Return whether the method's function takes this argument."""
    return argument in inspect.signature(method.function).parameters


def _default_output(method: Method, given: Mapping[str, Any]) -> OutputKind:
    """Return the method's default output; a method over another takes the other's."""
    found = inspect.signature(method.function).parameters.get("output")
    if found is not None and found.default is not None:
        return found.default
    inner = given.get("inner", parameters_of(method).get("inner"))
    if isinstance(inner, str) and inner != method.name:
        return _default_output(get_method(inner), {})
    return "logit"


def _reduction(parameters: Mapping[str, Any]) -> str | None:
    if parameters.get("reduction") is None and "inner" in parameters:
        default = parameters_of(get_method(parameters["inner"])).get("reduction")
        return default if default is None or parameters["mode"] == "smoothgrad" else "sum"
    return parameters.get("reduction")


def _is_signed(method: Method, parameters: Mapping[str, Any]) -> bool:
    if "inner" in parameters:
        if parameters.get("mode") != "smoothgrad":
            return False
        if parameters["inner"] == method.name:
            raise InputError("inner", expected=f"another method than {method.name}", got="itself")
        inner = get_method(parameters["inner"])
        own = {**parameters_of(inner), **(parameters.get("inner_parameters") or {})}
        if parameters.get("reduction") is not None:
            own["reduction"] = parameters["reduction"]
        return _is_signed(inner, own)
    if "reduction" in parameters:
        return parameters["reduction"] in ("sum", "none")
    if "relu" in parameters:
        return not parameters["relu"]
    return method.signed
