"""Weighted multinomial logistic regression with an L2, L1 or pulled-to-a-start penalty, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike
from scipy import optimize, special

from sundog.core.errors import InputError

Penalty = Literal["l2", "l1"]
ITERATIONS = 2000
TOLERANCE = 1e-5
"""Largest component of the (projected) gradient of the mean loss at the end."""


@dataclass(frozen=True, eq=False)
class Solution:
    """The minimiser: ``logits = features @ weight.T + bias``.

    Attributes:
        weight: ``float64[classes, features]``.
        bias: ``float64[classes]``.
        loss: the objective there, in nats.
        iterations: of L-BFGS.
        converged: whether the gradient fell under the tolerance.
    """

    weight: Float64[np.ndarray, "classes features"]
    bias: Float64[np.ndarray, "classes"]
    loss: float
    iterations: int
    converged: bool


def softmax_regression(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    classes: int,
    decay: float,
    penalty: Penalty = "l2",
    sample_weight: ArrayLike | None = None,
    centre: tuple[ArrayLike, ArrayLike] | None = None,
    start: tuple[ArrayLike, ArrayLike] | None = None,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Solution:
    """Minimise ``sum_i s_i CE(W f_i + b, y_i) / sum_i s_i + decay * penalty`` by L-BFGS.

    The penalty is ``||W||² / 2`` (l2) or ``||W||_1`` (l1, by splitting W into its positive and
    negative part); the bias is free. With ``centre = (W0, b0)`` it is
    ``(||W - W0||² + ||b - b0||²) / 2`` instead. All are convex, so the start decides the time
    only. In scikit-learn's terms ``decay = 1 / (C n)`` with unit weights.

    Args:
        features: ``[n, d]``, best standardised.
        labels: ``[n]`` in 0..classes-1.
        classes: number of classes, >= 2.
        decay: strength of the penalty, > 0: without one a separable problem has no solution.
        penalty: ``l2`` or ``l1``; l2 if there is a centre.
        sample_weight: ``[n]``, >= 0, not all 0; None: equal.
        centre: weight ``[classes, d]`` and bias ``[classes]`` to stay near.
        start: where to begin; None: the centre, or zeros.
        iterations: at most so many.
        tolerance: stop when no component of the gradient is larger.

    Raises:
        InputError: shapes that do not fit, values that are not finite, options out of range.

    Source: Liu & Nocedal, 1989 (L-BFGS); Byrd, Lu, Nocedal & Zhu, 1995 (bounds).
    """
    x = np.ascontiguousarray(np.asarray(features, dtype=np.float64))
    y = np.asarray(labels, dtype=np.int64)
    share = _check(x, y, classes, decay, penalty, sample_weight)
    shape = (classes, x.shape[1])
    pulled = None if centre is None else _pair(centre, shape, "centre")
    begin = pulled if start is None else _pair(start, shape, "start")
    weight, bias = begin if begin is not None else (np.zeros(shape), np.zeros(classes))
    split = penalty == "l1" and pulled is None
    size = classes * x.shape[1]

    def unpack(theta: Float64[np.ndarray, "p"]) -> tuple[np.ndarray, np.ndarray]:
        flat = theta[:size] - theta[size : 2 * size] if split else theta[:size]
        return flat.reshape(shape), theta[-classes:]

    def objective(theta: Float64[np.ndarray, "p"]) -> tuple[float, Float64[np.ndarray, "p"]]:
        w, b = unpack(theta)
        loss, to_w, to_b = _cross_entropy(x, y, share, w, b)
        if split:
            total = loss + decay * float(theta[: 2 * size].sum())
            return total, np.concatenate([to_w.ravel() + decay, decay - to_w.ravel(), to_b])
        apart_w, apart_b = (
            (w, np.zeros_like(b)) if pulled is None else (w - pulled[0], b - pulled[1])
        )
        total = loss + decay / 2 * float((apart_w**2).sum() + (apart_b**2).sum())
        gradient = np.concatenate([(to_w + decay * apart_w).ravel(), to_b + decay * apart_b])
        return total, gradient

    if split:
        first = np.concatenate([weight.clip(min=0).ravel(), (-weight).clip(min=0).ravel(), bias])
        bounds = optimize.Bounds(np.r_[np.zeros(2 * size), np.full(classes, -np.inf)], np.inf)
    else:
        first, bounds = np.concatenate([weight.ravel(), bias]), None
    found = optimize.minimize(
        objective,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": iterations, "maxfun": 2 * iterations, "gtol": tolerance, "ftol": 0.0},
    )
    weight, bias = unpack(found.x)
    gradient = found.jac if not split else np.where(found.x > 0, found.jac, found.jac.clip(max=0))
    if split:
        gradient[-classes:] = found.jac[-classes:]
    return Solution(
        weight=weight.copy(),
        bias=bias.copy(),
        loss=float(found.fun),
        iterations=int(found.nit),
        converged=bool(np.abs(gradient).max() <= 10 * tolerance),
    )


def _cross_entropy(
    x: Float64[np.ndarray, "n d"],
    y: Int64[np.ndarray, "n"],
    share: Float64[np.ndarray, "n"],
    w: Float64[np.ndarray, "k d"],
    b: Float64[np.ndarray, "k"],
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the weighted mean loss in nats and its gradients."""
    logits = x @ w.T + b
    norm = special.logsumexp(logits, axis=1)
    rows = np.arange(len(y))
    loss = float(share @ (norm - logits[rows, y]))
    residual = np.exp(logits - norm[:, None])
    residual[rows, y] -= 1
    residual *= share[:, None]
    return loss, residual.T @ x, residual.sum(axis=0)


def _check(
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    decay: float,
    penalty: str,
    sample_weight: ArrayLike | None,
) -> Float64[np.ndarray, "n"]:
    """Return the sample weights with sum 1."""
    if x.ndim != 2 or y.shape != (len(x),) or 0 in x.shape:
        raise InputError(
            "features and labels",
            expected="[n, d] and [n], n and d > 0",
            got=f"shapes {x.shape} and {y.shape}",
        )
    if not np.isfinite(x).all():
        raise InputError("features", expected="finite", got="NaN or infinity")
    if classes < 2 or y.min() < 0 or y.max() >= classes:
        raise InputError(
            "labels",
            expected=f"in 0..{classes - 1}, of 2 classes or more",
            got=f"{y.min()}..{y.max()}",
            hint="Leave unlabelled images out.",
        )
    if not (np.isfinite(decay) and decay > 0):
        raise InputError("decay", expected="> 0", got=repr(decay))
    if penalty not in get_args(Penalty):
        raise InputError("penalty", expected=f"one of {get_args(Penalty)}", got=repr(penalty))
    if sample_weight is None:
        return np.full(len(x), 1 / len(x))
    given = np.asarray(sample_weight, dtype=np.float64)
    if given.shape != y.shape or not (np.isfinite(given).all() and given.min() >= 0):
        raise InputError("sample_weight", expected=f"{len(x)} numbers >= 0", got="others")
    if not given.sum() > 0:
        raise InputError("sample_weight", expected="not all 0", got="zeros")
    scaled: Float64[np.ndarray, "n"] = given / given.max()
    return scaled / scaled.sum()


def _pair(
    given: tuple[ArrayLike, ArrayLike], shape: tuple[int, int], name: str
) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = (np.array(part, dtype=np.float64) for part in given)
    if weight.shape != shape or bias.shape != shape[:1]:
        raise InputError(
            name,
            expected=f"weight {shape} and bias {shape[:1]}",
            got=f"{weight.shape} and {bias.shape}",
        )
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InputError(name, expected="finite", got="NaN or infinity")
    return weight, bias
