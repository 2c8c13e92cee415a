"""Which combinations are minimal: every tag of them is needed (the documented threshold rules).

``recursive`` and ``prime`` compare observed means with fixed thresholds, as the tools they come
from do. A slice of 30 images has a standard error near 0.08, so their usual thresholds of 0.05 and
0.025 lie below the noise; :mod:`sundog.bias.minimality_noise` is the rule that knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool

from sundog.bias.complex_lattice import Lattice
from sundog.core.errors import InputError, UnknownNameError

Minimality = Literal["noise", "recursive", "prime", "none"]
MINIMALITY: tuple[Minimality, ...] = ("noise", "recursive", "prime", "none")
USUAL_CRITERIA = (0.0, 0.10, 0.05, 0.025)
"""PRIME's thresholds for 2, 3 and 4 tags; none for a single tag."""
_ROUNDING = 1e-12


def check_criteria(
    minimality: Minimality, criteria: Sequence[float] | None, *, max_tags: int
) -> tuple[float, ...]:
    """Return one threshold per number of tags; element i - 1 is for i tags.

    Args:
        minimality: the rule; only ``recursive`` and ``prime`` take thresholds.
        criteria: at least ``max_tags`` thresholds in [0, 1] (more are accepted, and unused), or
            None for :data:`USUAL_CRITERIA`.
        max_tags: the most tags in a combination.

    Raises:
        UnknownNameError: another rule.
        InputError: thresholds for a rule that has none, too few, or outside [0, 1].
    """
    if minimality not in MINIMALITY:
        raise UnknownNameError("minimality", str(minimality), MINIMALITY)
    if minimality not in ("recursive", "prime"):
        if criteria is not None:
            raise InputError(
                "minimal_criteria",
                expected="None with minimality 'noise' or 'none', which have no thresholds",
                got=f"{len(criteria)} thresholds with {minimality!r}",
                hint="Choose minimality='recursive' or 'prime'.",
            )
        return ()
    values = USUAL_CRITERIA if criteria is None else tuple(float(value) for value in criteria)
    if len(values) < max_tags:
        raise InputError(
            "minimal_criteria",
            expected=f"at least max_tags = {max_tags} thresholds, the i-th for i tags",
            got=f"{len(values)}",
        )
    if not all(0 <= value <= 1 for value in values):
        raise InputError("minimal_criteria", expected="in [0, 1]", got="values outside or NaN")
    return values[:max_tags]


def recursive_minimal(
    lattice: Lattice, *, criteria: Sequence[float]
) -> Bool[np.ndarray, " slices"]:
    """Return which slices are minimal by the recursive rule in one of the two directions.

    ``c`` is minimal (lower) if for every tag ``t`` in it ``c without t`` is minimal (lower) and
    ``mean(c) < mean(c without t)`` by at least ``b_|c|``; minimal (higher) likewise. The
    combination without tags is the class itself and is minimal. The whole chain has one direction:
    a slice that is lower than parents that are higher than theirs is not minimal.

    Args:
        lattice: the searched combinations of a class.
        criteria: ``b``; element i - 1 is for combinations of i tags.

    Returns:
        ``bool[m]``.

    Source: the AnalyzeComplexBias documentation of the RELAI SDK; PRIME (below) without recursion.
    """
    lower = np.zeros(len(lattice), dtype=bool)
    higher = np.zeros(len(lattice), dtype=bool)
    for size in range(1, lattice.combos.shape[1] + 1):
        rows = np.flatnonzero(lattice.sizes == size)
        below = np.ones(rows.size, dtype=bool)
        above = np.ones(rows.size, dtype=bool)
        for left_out in range(size):
            parent = lattice.parents[rows, left_out]
            known = parent >= 0
            change = lattice.mean_present[rows] - _parent_mean(lattice, parent)
            enough = (np.abs(change) >= criteria[size - 1] - _ROUNDING) & (
                np.abs(change) > _ROUNDING
            )
            below &= enough & (change < 0) & np.where(known, lower[parent], True)
            above &= enough & (change > 0) & np.where(known, higher[parent], True)
        lower[rows], higher[rows] = below, above
    return lower | higher


def prime_minimal(
    lattice: Lattice, *, criteria: Sequence[float], drop: float
) -> Bool[np.ndarray, " slices"]:
    """Return which slices are failure modes by PRIME's one-level rule (drops only).

    ``mean(c) <= mean(class) - drop`` and, for combinations of two and more tags, ``mean(c without
    t) >= mean(c) + b_|c|`` for every tag ``t``. The reference is the class, not the complement.

    Args:
        lattice: the searched combinations of a class.
        criteria: ``b``; element i - 1 is for combinations of i tags, the first plays no role.
        drop: PRIME's ``a``.

    Returns:
        ``bool[m]``.

    Source: Rezaei, Saberi, Moayeri & Feizi, 2024, ICLR, arXiv 2310.00164.
    """
    minimal = lattice.mean_present <= lattice.class_mean - drop + _ROUNDING
    for size in range(2, lattice.combos.shape[1] + 1):
        rows = np.flatnonzero(lattice.sizes == size)
        for left_out in range(size):
            mean = _parent_mean(lattice, lattice.parents[rows, left_out])
            minimal[rows] &= mean >= lattice.mean_present[rows] + criteria[size - 1] - _ROUNDING
    return minimal


def _parent_mean(lattice: Lattice, parent: np.ndarray) -> np.ndarray:
    return np.where(parent >= 0, lattice.mean_present[parent], lattice.class_mean)
