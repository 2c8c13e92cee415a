"""Quadrature on [0, 1]: where a path integral is evaluated, and with which weights.

The weights of every rule sum to 1, so that every rule integrates a constant exactly.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from sundog.core.errors import InputError

Rule = Literal["gauss_legendre", "trapezoid", "midpoint", "right", "left", "riemann"]
"""``gauss_legendre``: exact to degree 2n - 1, ends excluded. ``trapezoid`` and ``midpoint``: exact
to degree 1. ``right``, ``left``: exact to degree 0. ``riemann``: the seed's plain mean over n
points that include both ends (exact to degree 1 too, because it is symmetric)."""


def quadrature(rule: Rule, points: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of a rule on [0, 1], ``float64[points]`` each.

    Args:
        rule: see :data:`Rule`.
        points: number of nodes, at least 1; at least 2 for rules that include both ends.

    Raises:
        InputError: unknown rule, or too few points.
    """
    if rule not in get_args(Rule):
        raise InputError("rule", expected=f"one of {get_args(Rule)}", got=repr(rule))
    least = 2 if rule in ("trapezoid", "riemann") else 1
    if isinstance(points, bool) or not isinstance(points, int) or points < least:
        raise InputError("n_steps", expected=f"an integer >= {least} for {rule}", got=repr(points))
    weights = np.full(points, 1.0 / points)
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(points)
        nodes, weights = (1 + nodes) / 2, weights / 2
    elif rule == "trapezoid":
        nodes = np.linspace(0.0, 1.0, points)
        weights = np.full(points, 1.0 / (points - 1))
        weights[[0, -1]] /= 2
    elif rule == "riemann":
        nodes = np.linspace(1.0, 0.0, points)
    else:
        shift = {"left": 0.0, "midpoint": 0.5, "right": 1.0}[rule]
        nodes = (np.arange(points) + shift) / points
    return torch.from_numpy(nodes), torch.from_numpy(weights)
