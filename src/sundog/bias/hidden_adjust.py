"""How p-values of concepts are corrected for everything that was looked at."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from sundog.core.errors import InputError, UnknownNameError
from sundog.core.statistics import benjamini_hochberg, holm
from sundog.core.statistics.estimate import check_level

Adjustment = Literal["westfall_young", "holm", "benjamini_hochberg", "none"]
ADJUSTMENTS: tuple[Adjustment, ...] = ("westfall_young", "holm", "benjamini_hochberg", "none")
MOST_PERMUTATIONS = 100_000


def check_options(
    *,
    adjustment: str,
    min_support: int,
    alpha: float,
    power: float,
    level: float,
    permutations: int,
    seed: int,
) -> None:
    """Refuse options out of range.

    Raises:
        InputError: names the option, what it must be and what it is.
    """
    if adjustment not in ADJUSTMENTS:
        raise UnknownNameError("adjustment", str(adjustment), ADJUSTMENTS)
    if min_support < 2:
        raise InputError(
            "min_support",
            expected="at least 2",
            got=str(min_support),
            hint="One image shows no spread.",
        )
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise InputError(name, expected="between 0 and 1", got=str(value))
    check_level(level)
    if permutations < 99:
        raise InputError("permutations", expected="at least 99", got=str(permutations))
    if seed < 0:
        raise InputError("seed", expected=">= 0", got=str(seed))


def enough_permutations(
    permutations: int, *, tests: int, alpha: float, adjustment: Adjustment
) -> int:
    """Return how many permutations the p-values of single tests need.

    A Monte Carlo p-value is never below ``1 / (B + 1)``. Holm and Benjamini-Hochberg multiply it by
    up to the number of tests, so B is raised to ``2 tests / alpha`` (at most 100,000) for them.
    Westfall-Young compares with the strongest of every permutation and does not need more.
    """
    if adjustment not in ("holm", "benjamini_hochberg"):
        return permutations
    return max(permutations, min(int(2 * tests / alpha), MOST_PERMUTATIONS))


def corrected_level(alpha: float, *, tests: int, adjustment: Adjustment) -> float:
    """Return the level at which a single test is surely a finding (Bonferroni)."""
    return alpha if adjustment == "none" else alpha / max(tests, 1)


def correct(
    p_values: Float[np.ndarray, " tests"], *, adjustment: Adjustment
) -> Float[np.ndarray, " tests"]:
    """Return p-values corrected without permutations: Holm, Benjamini-Hochberg or not at all.

    Raises:
        UnknownNameError: Westfall-Young, which needs the outcomes, or an unknown name.
    """
    if adjustment == "holm":
        return holm(p_values)
    if adjustment == "benjamini_hochberg":
        return benjamini_hochberg(p_values)
    if adjustment == "none":
        return p_values.copy()
    raise UnknownNameError("adjustment", adjustment, ("holm", "benjamini_hochberg", "none"))
