"""Normalisation by the image's own statistics, taken apart into mean, square, root and product.

``y = c / sqrt(mean(c^2) + eps)`` with ``c = z - mean z``: the product is split at the midpoint, the
square and the inverse root have closed quotients, the mean is linear.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.explain.deeplift.call import Call, Multipliers, divide
from sundog.explain.deeplift.elementwise import rsqrt_quotient
from sundog.explain.deeplift.linear import batch_norm
from sundog.explain.deeplift.tape import Step


def layer_norm(call: Call) -> Multipliers:
    """``native_layer_norm(z, normalised_shape, weight, bias, eps)``."""
    ref, shape, weight, _bias, epsilon = call.step.args
    call.only(0)
    grad = call.grad if weight is None else call.grad * weight
    axes = list(range(-len(shape), 0))
    value, reference = call.pair(ref)
    return [(ref, _standardise(grad, value, reference, axes, epsilon))]


def group_norm(call: Call) -> Multipliers:
    """``native_group_norm(z, weight, bias, images, channels, pixels, groups, eps)``."""
    ref, weight, _bias, images, channels, _pixels, groups, epsilon = call.step.args
    call.only(0)
    value, reference = call.pair(ref)
    grad = call.grad
    if weight is not None:
        grad = grad * weight.reshape([1, channels] + [1] * (value.ndim - 2))
    grouped = [t.reshape(images, groups, -1) for t in (grad, value, reference)]
    out = _standardise(grouped[0], grouped[1], grouped[2], [2], epsilon)
    return [(ref, out.reshape(value.shape))]


def by_statistics(step: Step) -> bool:
    """Tell whether a batch normalisation uses the statistics of what it is given."""
    return bool(step.args[-3])


def any_batch_norm(call: Call) -> Multipliers:
    """``native_batch_norm(z, ..., training, momentum, eps)`` in either form."""
    return statistics_norm(call) if by_statistics(call.step) else batch_norm(call)


def statistics_norm(call: Call) -> Multipliers:
    """``native_batch_norm`` with statistics of the data: right for one row (instance norm)."""
    ref, weight = call.step.args[:2]
    call.only(0)
    value, reference = call.pair(ref)
    if value.shape[0] != 1:
        raise call.unsupported("it normalises by statistics of the batch, not of the image")
    grad = call.grad
    if weight is not None:
        grad = grad * weight.reshape([1, -1] + [1] * (value.ndim - 2))
    axes = list(range(2, value.ndim))
    return [(ref, _standardise(grad, value, reference, axes, call.step.args[-1]))]


def vector_norm(call: Call) -> Multipliers:
    """``sqrt(sum z^2)`` over some axes."""
    ref = call.step.args[0]
    call.only(0)
    if call.argument(1, "ord", 2) != 2:
        raise call.unsupported("only the Euclidean norm has one")
    value, reference = call.pair(ref)
    axes = call.argument(2, "dim")
    axes = list(range(value.ndim)) if axes is None else axes
    norms = value.norm(dim=axes, keepdim=True) + reference.norm(dim=axes, keepdim=True)
    grad = call.grad.reshape(norms.shape)
    share = divide(value + reference, norms.expand_as(value), torch.zeros_like(value))
    return [(ref, grad * share)]


def variance(call: Call) -> Multipliers:
    """``var`` over some axes: the mean of the squared deviations."""
    ref = call.step.args[0]
    call.only(0)
    value, reference = call.pair(ref)
    axes = call.argument(1, "dim")
    axes = list(range(value.ndim)) if axes is None else axes
    correction = call.step.kwargs.get("correction")
    count = value.numel() // max(1, value.mean(dim=axes).numel())
    freedom = count - (1 if correction is None else correction)
    deviation = sum(t - t.mean(dim=axes, keepdim=True) for t in (value, reference))
    grad = call.grad.reshape(value.mean(dim=axes, keepdim=True).shape)
    return [(ref, grad * deviation / freedom)]


def _standardise(
    grad: Tensor, value: Tensor, reference: Tensor, axes: list[int], epsilon: float
) -> Tensor:
    deviation = value - value.mean(dim=axes, keepdim=True)
    base_deviation = reference - reference.mean(dim=axes, keepdim=True)
    spread = deviation.square().mean(dim=axes, keepdim=True) + epsilon
    base_spread = base_deviation.square().mean(dim=axes, keepdim=True) + epsilon
    both = deviation + base_deviation
    to_scale = (grad * both).sum(dim=axes, keepdim=True) / 2
    to_spread = to_scale * rsqrt_quotient(spread, base_spread)
    count = value.numel() // spread.numel()
    out = grad * ((spread.rsqrt() + base_spread.rsqrt()) / 2) + to_spread * both / count
    return out - out.mean(dim=axes, keepdim=True)
