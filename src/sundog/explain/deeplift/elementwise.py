"""Steps ``y = g(z)`` on each element: Rescale, the multiplier ``(y - y') / (z - z')``.

Where z and z' are so near that the quotient would be rounding noise, the slope of g halfway
between them stands in; its error is of third order. Functions whose pieces have slope 0 or 1 need
that only where z = z': their quotients are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sundog.explain.deeplift.blocks import in_blocks
from sundog.explain.deeplift.call import Call, Multipliers, Rule, divide, fold_to
from sundog.explain.deeplift.tape import Ref


def relu(call: Call) -> Multipliers:
    """``max(z, 0)``."""
    (ref,) = call.refs
    return [(ref, in_blocks(_relu, *call.rows(ref), call.grad))]


def _relu(value: Tensor, reference: Tensor, grad: Tensor) -> Tensor:
    difference = value - reference
    slope = value.clamp_min(0).sub_(reference.clamp_min(0)).div_(difference)
    if bool(slope.sum().isnan()):
        slope = torch.where(difference == 0, (reference > 0).to(slope.dtype), slope)
    return slope.mul_(grad)


def smooth(*kinks: float) -> Rule:
    """Return the rule of a function that is smooth except at ``kinks``."""
    return lambda call: _rescale(call, kinks, exact=False)


def shrink(call: Call) -> Multipliers:
    """``softshrink`` and ``hardshrink``, with kinks at plus and minus their width."""
    width = float(call.argument(1, "lambd", 0.5))
    return _rescale(call, (-width, width), exact=False)


def exact(call: Call) -> Multipliers:
    """Functions made of straight pieces with slope 0 or plus or minus 1, and of steps."""
    return _rescale(call, (), exact=True)


def _rescale(call: Call, kinks: tuple[float, ...], *, exact: bool) -> Multipliers:
    call.only(0)
    (ref,) = call.refs
    tensors = [item for item in call.step.args[1:] if isinstance(item, Tensor)]

    def function(z: Tensor, *parallel: Tensor) -> Tensor:
        left = iter(parallel)
        rest = [next(left) if isinstance(i, Tensor) else i for i in call.step.args[1:]]
        return call.step.op(z, *rest, **call.step.kwargs)

    slope_of = _SLOPES.get(call.step.name)

    def slope(z: Tensor, *parallel: Tensor) -> Tensor:
        if slope_of is not None:
            return slope_of(torch.ones_like(z), z, **call.step.kwargs)
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            return torch.autograd.grad(function(leaf, *parallel).sum(), leaf)[0]

    def kernel(value: Tensor, reference: Tensor, grad: Tensor, *parallel: Tensor) -> Tensor:
        difference = value - reference
        quotient = function(value, *parallel) - function(reference, *parallel)
        quotient /= difference
        tolerance = 0.0 if exact else torch.finfo(value.dtype).eps ** (1 / 3)
        near = difference.abs_() <= tolerance
        if bool(near.any()):
            for kink in kinks:
                near &= ((value > kink) == (reference > kink)) | (value == reference)
            quotient = torch.where(near, slope((value + reference) / 2, *parallel), quotient)
        return quotient.mul_(grad)

    return [(ref, in_blocks(kernel, *call.rows(ref), call.grad, *tensors))]


_SLOPES: dict[str, Callable[..., Tensor]] = {
    "silu": torch.ops.aten.silu_backward,
    "gelu": torch.ops.aten.gelu_backward,
    "mish": torch.ops.aten.mish_backward,
    "hardswish": torch.ops.aten.hardswish_backward,
    "hardsigmoid": torch.ops.aten.hardsigmoid_backward,
}
"""Slopes that PyTorch has as one operation, ``(1, z) -> g'(z)``; others come from autograd."""


def closed(form: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    """Return the rule of a function whose quotient has a stable closed form."""

    def rule(call: Call) -> Multipliers:
        call.only(0)
        (ref,) = call.refs
        return [(ref, call.grad * form(*call.pair(ref)))]

    return rule


def reciprocal_quotient(a: Tensor, b: Tensor) -> Tensor:
    """``(1/a - 1/b) / (a - b)``."""
    return -1 / (a * b)


def sqrt_quotient(a: Tensor, b: Tensor) -> Tensor:
    """``(sqrt a - sqrt b) / (a - b)``; 0 where both are 0."""
    total = a.sqrt() + b.sqrt()
    return divide(torch.ones_like(total), total, torch.zeros_like(total))


def rsqrt_quotient(a: Tensor, b: Tensor) -> Tensor:
    """``(a^-1/2 - b^-1/2) / (a - b)``."""
    root_a, root_b = a.sqrt(), b.sqrt()
    return -1 / (root_a * root_b * (root_a + root_b))


def log_quotient(a: Tensor, b: Tensor) -> Tensor:
    """``(log a - log b) / (a - b)``."""
    ratio = (a - b) / b
    return divide(torch.log1p(ratio), ratio, torch.ones_like(ratio)) / b


def log_exp_quotient(a: Tensor, b: Tensor) -> Tensor:
    """``log((e^a - e^b) / (a - b))``, without overflow; ``-inf`` where both are ``-inf``."""
    distance = torch.where(a == b, torch.zeros_like(a), (a - b).abs())
    share = divide(-torch.expm1(-distance), distance, torch.ones_like(distance))
    return torch.maximum(a, b) + share.log()


def exp_quotient(a: Tensor, b: Tensor) -> Tensor:
    """``(e^a - e^b) / (a - b)``."""
    return log_exp_quotient(a, b).exp()


def power(call: Call) -> Multipliers:
    """``z ** n`` for a constant n."""
    exponent = call.step.args[1]
    forms = {
        2: lambda a, b: a + b,
        1: lambda a, _b: torch.ones_like(a),
        0.5: sqrt_quotient,
        -0.5: rsqrt_quotient,
        -1: reciprocal_quotient,
        3: lambda a, b: a * a + a * b + b * b,
    }
    if not isinstance(exponent, Tensor) and exponent in forms:
        return closed(forms[exponent])(call)
    return smooth()(call)


def larger(call: Call) -> Multipliers:
    """``maximum(a, b) = b + relu(a - b)``, Rescale on the relu."""
    return _choose(call, keep_larger=True)


def smaller(call: Call) -> Multipliers:
    """``minimum(a, b) = b - relu(b - a)``."""
    return _choose(call, keep_larger=False)


def _choose(call: Call, *, keep_larger: bool) -> Multipliers:
    a, b = call.step.args[:2]
    value, reference = _gap(call, a, b)
    if not keep_larger:
        value, reference = -value, -reference
    rise = value.clamp_min(0) - reference.clamp_min(0)
    share = divide(rise, value - reference, (value > 0).to(value.dtype))
    found = []
    if type(a) is Ref:
        found.append((a, fold_to(call.grad * share, call.meta(a).shape)))
    if type(b) is Ref:
        found.append((b, fold_to(call.grad * (1 - share), call.meta(b).shape)))
    return found


def compare(call: Call) -> Multipliers:
    """``a > b`` and its kin: a step function of ``a - b``, flat where nothing changes."""
    a, b = call.step.args[:2]
    value, reference = _gap(call, a, b)
    zero = torch.zeros_like(value)
    relation: Callable[..., Tensor] = getattr(torch, call.step.name)
    rise = relation(value, 0).to(value.dtype) - relation(reference, 0).to(value.dtype)
    grad = call.grad * divide(rise, value - reference, zero)
    found = []
    if type(a) is Ref:
        found.append((a, fold_to(grad, call.meta(a).shape)))
    if type(b) is Ref:
        found.append((b, fold_to(-grad, call.meta(b).shape)))
    return found


def _gap(call: Call, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Return ``a - b`` for the image and for the baseline."""
    first = call.pair(a) if type(a) is Ref else (a, a)
    second = call.pair(b) if type(b) is Ref else (b, b)
    return first[0] - second[0], first[1] - second[1]


def select(call: Call) -> Multipliers:
    """``where(c, a, b) = c a + (1 - c) b`` as products, also if c depends on the image."""
    condition, a, b = call.step.args
    weight = call.middle(condition)
    found = []
    if type(a) is Ref:
        found.append((a, fold_to(call.grad * weight, call.meta(a).shape)))
    if type(b) is Ref:
        found.append((b, fold_to(call.grad * (1 - weight), call.meta(b).shape)))
    if type(condition) is Ref:
        grad = call.grad * (call.middle(a) - call.middle(b))
        found.append((condition, fold_to(grad, call.meta(condition).shape)))
    return found
