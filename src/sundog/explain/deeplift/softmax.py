"""Softmax and its kin, taken apart into exponentials, a sum, a logarithm and a difference.

With ``L = log sum_j exp z_j`` softmax is ``y_i = exp(z_i - L)``. Rescale on each exponential and on
the logarithm gives ``L - L' = sum_j w_j (z_j - z_j')`` with ``w_j = E(z_j, z_j') / E(L, L')`` and
``E(a, b) = (e^a - e^b) / (a - b)``, which needs no shift and never overflows. A constant added to
all z_j gets no attribution, as softmax does not see it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.explain.deeplift.call import Call, Multipliers
from sundog.explain.deeplift.elementwise import exp_quotient, log_exp_quotient


def softmax(call: Call) -> Multipliers:
    """``exp(z - L)``."""
    value, reference, axis = _read(call)
    total, base_total, weight = _log_sum(value, reference, [axis])
    grad = call.grad * exp_quotient(value - total, reference - base_total)
    return [(call.refs[0], grad - weight * grad.sum(dim=axis, keepdim=True))]


def log_softmax(call: Call) -> Multipliers:
    """``z - L``."""
    value, reference, axis = _read(call)
    _, _, weight = _log_sum(value, reference, [axis])
    return [(call.refs[0], call.grad - weight * call.grad.sum(dim=axis, keepdim=True))]


def log_sum_exp(call: Call) -> Multipliers:
    """``L`` over one or more axes."""
    call.only(0)
    (ref,) = call.refs
    value, reference = call.pair(ref)
    axis = call.argument(1, "dim")
    axes = [axis] if isinstance(axis, int) else list(axis)
    total, _, weight = _log_sum(value, reference, axes)
    return [(ref, call.grad.reshape(total.shape) * weight)]


def _read(call: Call) -> tuple[Tensor, Tensor, int]:
    call.only(0)
    value, reference = call.pair(call.refs[0])
    return value, reference, int(call.argument(1, "dim"))


def _log_sum(value: Tensor, reference: Tensor, axes: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return L, L' and the weights w that carry ``L - L'`` to the elements."""
    total = torch.logsumexp(value, axes, keepdim=True)
    base_total = torch.logsumexp(reference, axes, keepdim=True)
    weight = (log_exp_quotient(value, reference) - log_exp_quotient(total, base_total)).exp()
    return total, base_total, weight
