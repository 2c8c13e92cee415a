"""Maxima: the difference of two maxima goes to the place where the larger one was found.

With y = max z and y' = max z' the cross-maximum rule splits ``y - y'`` into
``max(y, y') - y'`` for the place of y and ``y - max(y, y')`` for the place of y'. One of the two
is always 0, so all of it goes to one place. Windows that overlap **add** their shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sundog.explain.deeplift.call import Call, Multipliers, divide


def max_pool(call: Call) -> Multipliers:
    """Max pooling of any dimension, with the places that it reports."""
    return _pool(call, call.result(1)[1])


def max_pool_2d(call: Call) -> Multipliers:
    """Max pooling over rectangles; the baseline's near-ties are broken as exact ties are."""
    (ref,) = call.refs
    base = call.base.values[ref.value]
    peak = call.base.values[call.step.outputs[0]]
    strict = call.base.values[call.step.outputs[1]]
    margin = peak.abs() * (64 * torch.finfo(peak.dtype).eps)
    first = _first_within(call, base, peak - margin, strict)
    # Where the maxima of image and baseline are as near as the ties, only the strict place will do.
    image_peak, base_peak = call.result(0)
    clear = (base_peak - image_peak) > 2 * margin
    return _pool(call, torch.where(clear, first, strict))


def _pool(call: Call, base_place: Tensor) -> Multipliers:
    call.only(0)
    (ref,) = call.refs
    value, reference = call.pair(ref)
    peak, base_peak = call.result(0)
    place = call.result(1)[0]
    axes = value.ndim - 2

    def flat(tensor: Tensor) -> Tensor:
        return tensor.flatten(-axes)

    base = _Peaks(flat(base_peak), flat(base_place.expand_as(place)))
    moved = _to_places(
        flat(call.grad), flat(value), flat(reference), _Peaks(flat(peak), flat(place)), base
    )
    return [(ref, moved.reshape(value.shape))]


def _first_within(call: Call, base: Tensor, level: Tensor, strict: Tensor) -> Tensor:
    """Return the first place of each window whose value reaches ``level``.

    A constant baseline makes whole windows equal up to rounding; the place of their maximum must
    not hang on that rounding.
    """
    window = pair(call.argument(1, "kernel_size"))
    stride = pair(call.argument(2, "stride") or window)
    padding = pair(call.argument(3, "padding", 0))
    dilation = pair(call.argument(4, "dilation", 1))
    height, width = base.shape[-2:]
    rows = torch.arange(level.shape[-2], device=base.device) * stride[0] - padding[0]
    columns = torch.arange(level.shape[-1], device=base.device) * stride[1] - padding[1]
    place, found = strict.clone(), torch.zeros_like(strict, dtype=torch.bool)
    for down in range(window[0]):
        for across in range(window[1]):
            row, column = rows + down * dilation[0], columns + across * dilation[1]
            inside = ((row >= 0) & (row < height))[:, None] & (column >= 0) & (column < width)
            row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
            hit = (base[..., row[:, None], column] >= level) & inside & ~found
            place = torch.where(hit, row[:, None] * width + column, place)
            found |= hit
    return place


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Return (vertical, horizontal) from one number, or a list of one or two."""
    both = [value] if isinstance(value, int) else list(value)
    return both[0], both[-1]


def maximum_over(call: Call) -> Multipliers:
    """``amax`` and ``max`` over one axis or all."""
    call.only(0)
    (ref,) = call.refs
    value, reference = call.pair(ref)
    axis = call.argument(1, "dim")
    axes = [axis] if isinstance(axis, int) else list(axis or range(value.ndim))
    axes = [a % value.ndim for a in axes]
    if 0 in axes and value.ndim > 1:
        raise call.unsupported("it takes the maximum over several images")
    rest = [a for a in range(value.ndim) if a not in axes]
    order = rest + axes
    shape = value.permute(order).shape
    line, base_line = (t.permute(order).flatten(len(rest)) for t in (value, reference))
    peaks, base_peaks = (_Peaks(*t.max(dim=-1, keepdim=True)) for t in (line, base_line))
    grad = call.grad.reshape(peaks.value.shape)
    moved = _to_places(grad, line, base_line, peaks, base_peaks).reshape(shape)
    return [(ref, moved.permute([order.index(a) for a in range(value.ndim)]))]


class _Peaks(NamedTuple):
    """Maxima and where along the last axis they are."""

    value: Tensor
    place: Tensor


def _to_places(
    grad: Tensor, value: Tensor, reference: Tensor, peaks: _Peaks, base_peaks: _Peaks
) -> Tensor:
    """Scatter each maximum's multiplier to one place of the last axis and add them up."""
    place = torch.where(peaks.value >= base_peaks.value, peaks.place, base_peaks.place)
    distance = value.gather(-1, place) - reference.gather(-1, place)
    # Equal maxima with equal values there: the plain derivative, 1.
    share = divide(peaks.value - base_peaks.value, distance, torch.ones_like(distance))
    return torch.zeros_like(value).scatter_add_(-1, place, grad * share)
