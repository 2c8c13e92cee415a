"""Steps ``y = g(z)`` on each element: Rescale, the multiplier ``(y - y') / (z - z')``.

Where z and z' are so near that the quotient would be rounding noise, the slope of g halfway
between them stands in; its error is of third order. For functions made of straight pieces the
slope is exact whenever both values lie on the same piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sundog.explain.deeplift.call import Call, Multipliers, Rule, divide, fold_to
from sundog.explain.deeplift.tape import Ref

Kinks = Callable[[Call], tuple[float, ...]]


def relu(call: Call) -> Multipliers:
    """``max(z, 0)``: the quotient itself is exact, and 0 / 0 becomes the slope."""
    (ref,) = call.refs
    value, reference = call.image.values[ref.value], call.base.values[ref.value]
    difference = value - reference
    slope = value.clamp_min(0).sub_(reference.clamp_min(0)).div_(difference)
    if bool(slope.sum().isnan()):
        slope = torch.where(difference == 0, (reference > 0).to(slope.dtype), slope)
    return [(ref, slope.mul_(call.grad))]


def smooth(*kinks: float) -> Rule:
    """Return the rule of a function that is smooth except at ``kinks``."""
    return lambda call: _rescale(call, kinks, straight=False)


def straight(kinks: Kinks) -> Rule:
    """Return the rule of a function that is straight between kinks, which may be arguments."""
    return lambda call: _rescale(call, kinks(call), straight=True)


def at(*kinks: float) -> Kinks:
    """Kinks at fixed places."""
    return lambda _call: kinks


def bounds(low: float | None, high: float | None) -> Kinks:
    """Kinks at the bounds of ``clamp`` and ``hardtanh``, with the operation's defaults."""

    def read(call: Call) -> tuple[float, ...]:
        found = (call.argument(1, "min", low), call.argument(2, "max", high))
        return tuple(float(bound) for bound in found if bound is not None)

    return read


def one_bound(call: Call) -> tuple[float, ...]:
    """The kink of an operation with one bound."""
    return (float(call.step.args[1]),)


def _rescale(call: Call, kinks: tuple[float, ...], *, straight: bool) -> Multipliers:
    call.only(0)
    (ref,) = call.refs
    value, reference = call.pair(ref)

    def function(z: Tensor) -> Tensor:
        return call.step.op(z, *call.step.args[1:], **call.step.kwargs)

    with torch.enable_grad():
        middle = ((value + reference) / 2).requires_grad_()
        (slope,) = torch.autograd.grad(function(middle).sum(), middle)
    difference = value - reference
    use_slope = torch.ones_like(difference, dtype=torch.bool)
    if not straight:
        use_slope = difference.abs() < torch.finfo(difference.dtype).eps ** (1 / 3)
    for kink in kinks:
        use_slope &= (value > kink) == (reference > kink)
    use_slope |= difference == 0
    quotient = (function(value) - function(reference)) / difference.masked_fill(use_slope, 1)
    return [(ref, call.grad * torch.where(use_slope, slope, quotient))]


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
    rise = call.step.op(value, zero).to(value.dtype) - call.step.op(reference, zero)
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
