"""Linear and bilinear steps: multipliers pass through the weights, products at the midpoint.

A linear step sends its multiplier backwards as a gradient. A product of two values that both
depend on the image is split symmetrically,
``ab - a'b' = (a - a')(b + b') / 2 + (b - b')(a + a') / 2``,
which is the Shapley value of the two factors and the gradient at the midpoint.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sundog.explain.deeplift.call import Call, Multipliers, fold_to, wide
from sundog.explain.deeplift.tape import Ref, leaves, replace


def linear(call: Call) -> Multipliers:
    """Any operation that is linear in all its arguments that depend on the image."""
    if not all(call.meta(ref).dtype.is_floating_point for ref in call.refs):
        raise call.unsupported("it reads whole or complex numbers made from the image")
    leaf = {ref.value: call.meta(ref).empty().requires_grad_() for ref in call.refs}

    def fill(argument: Any) -> Any:
        return leaf[argument.value] if type(argument) is Ref else argument

    args, kwargs = replace((call.step.args, call.step.kwargs), fill)
    with torch.enable_grad():
        out = call.step.op(*args, **kwargs)
    return _pull(call, [t for t in leaves(out) if isinstance(t, Tensor)], leaf)


def at_midpoint(call: Call) -> Multipliers:
    """Any operation that is linear in each argument by itself: its gradient at the midpoint."""
    if len(call.refs) == 1:
        return linear(call)
    leaf = {ref.value: call.middle(ref).detach().requires_grad_() for ref in call.refs}

    def fill(argument: Any) -> Any:
        if type(argument) is Ref:
            return leaf[argument.value]
        return wide(argument) if isinstance(argument, Tensor) else argument

    args, kwargs = replace((call.step.args, call.step.kwargs), fill)
    with torch.enable_grad():
        out = call.step.op(*args, **kwargs)
    return _pull(call, [t for t in leaves(out) if isinstance(t, Tensor)], leaf)


def _pull(call: Call, outputs: list[Tensor], leaf: dict[int, Tensor]) -> Multipliers:
    used = [(o, g) for o, g in zip(outputs, call.grads, strict=True) if g is not None]
    pulled = torch.autograd.grad(
        [o for o, _ in used],
        list(leaf.values()),
        [g.to(o.dtype) for o, g in used],
        allow_unused=True,
    )
    return [
        (Ref(value), grad) for value, grad in zip(leaf, pulled, strict=True) if grad is not None
    ]


def reshape(call: Call) -> Multipliers:
    """Another shape for the same numbers in the same order."""
    (ref,) = call.refs
    return [(ref, call.grad.reshape(call.meta(ref).shape))]


def same(call: Call) -> Multipliers:
    """The same numbers in the same shape."""
    (ref,) = call.refs
    return [(ref, call.grad)]


def restride(call: Call) -> Multipliers:
    """Another memory layout of the same numbers in the same shape."""
    (ref,) = call.refs
    if list(call.step.args[1]) != list(call.meta(ref).shape):
        raise call.unsupported("it reads memory in another shape")
    return [(ref, call.grad)]


def add(call: Call) -> Multipliers:
    """``a + alpha b``; either may be constant, either may be broadcast."""
    return _sum(call, float(call.step.kwargs.get("alpha", 1)))


def subtract(call: Call) -> Multipliers:
    """``a - alpha b``."""
    return _sum(call, -float(call.step.kwargs.get("alpha", 1)))


def _sum(call: Call, factor: float) -> Multipliers:
    found = []
    for position, argument in enumerate(call.step.args[:2]):
        if type(argument) is Ref:
            grad = fold_to(call.grad, call.meta(argument).shape)
            found.append((argument, grad * factor if position and factor != 1 else grad))
    return found


def multiply(call: Call) -> Multipliers:
    """``a b``, elementwise."""
    a, b = call.step.args[:2]
    found = []
    for argument, other in ((a, b), (b, a)):
        if type(argument) is Ref:
            grad = call.grad * call.middle(other)
            found.append((argument, fold_to(grad, call.meta(argument).shape)))
    return found


def divide_by(call: Call) -> Multipliers:
    """``a / b`` as the product of a and 1 / b."""
    if call.step.kwargs.get("rounding_mode") is not None:
        raise call.unsupported("it rounds")
    a, b = call.step.args[:2]
    if type(b) is not Ref:
        return [(a, fold_to(call.grad / b, call.meta(a).shape))]
    value, reference = call.pair(b)
    found = []
    if type(a) is Ref:
        grad = call.grad * (1 / value + 1 / reference) / 2
        found.append((a, fold_to(grad, call.meta(a).shape)))
    grad = call.grad * call.middle(a) * (-1 / (value * reference))
    return [*found, (b, fold_to(grad, call.meta(b).shape))]


def matrix_product(call: Call) -> Multipliers:
    """``mm``, ``bmm``, and with a summand ``addmm``, ``baddbmm``."""
    args = call.step.args
    a, b = args[-2:]
    found = []
    grad = call.grad
    if len(args) == 3:
        if type(args[0]) is Ref:
            beta = call.step.kwargs.get("beta", 1)
            found.append((args[0], fold_to(grad * beta, call.meta(args[0]).shape)))
        grad = grad * alpha if (alpha := call.step.kwargs.get("alpha", 1)) != 1 else grad
    if type(a) is Ref:
        found.append((a, grad @ call.middle(b).transpose(-1, -2)))
    if type(b) is Ref:
        found.append((b, call.middle(a).transpose(-1, -2) @ grad))
    return found


def convolution(call: Call) -> Multipliers:
    """Convolution and transposed convolution with constant weights."""
    image, weight, _bias, *rest = call.step.args
    if type(image) is not Ref or any(type(leaf) is Ref for leaf in call.step.args[1:3]):
        return at_midpoint(call)
    # The input's content is not needed for the gradient with respect to the input.
    shape_only = weight.new_empty(call.meta(image).shape)
    grad, _, _ = torch.ops.aten.convolution_backward(
        call.grad.to(weight.dtype), shape_only, weight, None, *rest[:6], [True, False, False]
    )
    return [(image, grad)]


def batch_norm(call: Call) -> Multipliers:
    """Batch normalisation with running statistics: a constant factor per channel."""
    image, weight, _bias, _mean, variance = call.step.args[:5]
    call.only(0)
    epsilon = call.step.args[-1]
    factor = (wide(variance) + epsilon).rsqrt()
    if weight is not None:
        factor = factor * wide(weight)
    shape = [1, -1] + [1] * (len(call.meta(image).shape) - 2)
    return [(image, call.grad * factor.reshape(shape))]


def concatenate(call: Call) -> Multipliers:
    """``cat``: each part gets its slice."""
    axis = call.argument(1, "dim", 0)
    start, found = 0, []
    for part in call.step.args[0]:
        shape = call.meta(part).shape if type(part) is Ref else part.shape
        if type(part) is Ref:
            found.append((part, call.grad.narrow(axis, start, shape[axis])))
        start += shape[axis]
    return found
