"""Parameters of risk and debiasing methods that were typed wrong: refused before any work."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytest

from sundog.audit.debias_parameters import _TAKES, check_method_parameters
from sundog.audit.debias_settings import DebiasSettings
from sundog.core.errors import InputError, UnknownNameError
from sundog.core.parameters import check_parameters
from sundog.debias.registry import METHODS
from sundog.risk.registry import METHODS as RISKS
from sundog.risk.registry import make_estimator


def _function(
    table: object,
    *,
    whole: int = 1,
    real: float | None = None,
    yes: bool = True,
    text: str = "a",
    many: float | Sequence[float] = 0.0,
    other: dict[str, int] | None = None,
) -> None:
    """Take a parameter of every type."""


@pytest.mark.parametrize(
    "given",
    [
        {"whole": 3},
        {"real": 3},
        {"real": 2.5},
        {"real": None},
        {"yes": False},
        {"text": "b"},
        {"many": (1, 2)},
        {"many": [0.5]},
        {"many": 1},
        {"other": "left to the function"},
    ],
)
def test_values_of_the_right_type_pass(given: dict[str, Any]) -> None:
    check_parameters("x", _function, given, fixed=("table",))


@pytest.mark.parametrize(
    "given",
    [
        {"whole": 3.5},
        {"whole": "many"},
        {"whole": True},
        {"whole": None},
        {"real": "x"},
        {"real": False},
        {"yes": 1},
        {"yes": "yes"},
        {"text": 3},
        {"many": "x"},
    ],
)
def test_values_of_another_type_are_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(given))} of 'x'"):
        check_parameters("x", _function, given, fixed=("table",))


def test_what_the_caller_fills_in_cannot_be_typed() -> None:
    with pytest.raises(InputError, match="got table"):
        check_parameters("x", _function, {"table": 1}, fixed=("table",))
    with pytest.raises(InputError, match="among force, many"):
        check_parameters("x", _function, {"nope": 1}, fixed=("table",), also=("force",))


@pytest.mark.parametrize("name", [name for name in RISKS if name != "ensemble"])
def test_a_risk_method_accepts_its_own_settings(name: str) -> None:
    settings = make_estimator(name).settings()
    assert make_estimator(name, **settings).settings() == settings


@pytest.mark.parametrize("value", [5.5, "many", True])
def test_a_wrong_k_is_no_crash(value: object) -> None:
    with pytest.raises(InputError, match="k of 'knn' must be a whole number"):
        make_estimator("knn", k=value)


def test_every_debiasing_method_is_checked_and_names_only_parameters_that_exist() -> None:
    assert set(_TAKES) == set(METHODS)
    for function, fixed, _ in _TAKES.values():
        assert set(fixed) <= set(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_an_unknown_parameter_is_refused_when_the_settings_are_made(name: str) -> None:
    with pytest.raises(InputError, match=f"Parameters of '{name}'"):
        DebiasSettings(methods=[name], parameters={name: {"nope": 1}})


def test_parameters_that_the_run_reads_itself_pass() -> None:
    check_method_parameters(
        {"jtt": {"force": True, "factor": 50}, "adaptive_resampling": {"num_bins": 7, "alpha": 0.1}}
    )
    with pytest.raises(InputError, match="num_bins"):
        check_method_parameters({"adaptive_resampling": {"num_bins": "x"}})
    with pytest.raises(InputError, match="'dfr'"):
        check_method_parameters({"dfr": {"seed": 3}})
    with pytest.raises(UnknownNameError):
        check_method_parameters({"drf": {}})
