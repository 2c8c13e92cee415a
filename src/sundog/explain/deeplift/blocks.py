"""Elementwise work in pieces that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 1 << 16
"""Elements per piece on the CPU. A rule makes about eight passes over each piece."""


def in_blocks(
    kernel: Callable[..., Tensor],
    value: Tensor,
    reference: Tensor,
    grad: Tensor,
    *parallel: Tensor,
) -> Tensor:
    """Return ``kernel(value, reference, grad, *parallel)``, computed a piece at a time.

    Args:
        kernel: elementwise function of the pieces.
        value: ``[rows, ...]``.
        reference: in the same shape, or with one row that stands for all.
        grad: in the shape of ``value``.
        parallel: more tensors that broadcast to ``value``.
    """
    rows = value.shape[0]
    width = value.numel() // rows
    if value.device.type != "cpu" or rows * width <= BLOCK:
        return kernel(value, reference, grad, *(t.expand_as(value) for t in parallel))
    if reference.shape != (1, *value.shape[1:]):
        reference = reference.expand_as(value)
    flat = [t.reshape(t.shape[0], width) for t in (value, reference, grad)]
    flat += [t.expand_as(value).reshape(rows, width) for t in parallel]
    out = torch.empty_like(flat[2])
    down, across = max(1, BLOCK // width), min(width, BLOCK)
    for top in range(0, rows, down):
        for left in range(0, width, across):
            piece = [
                t[slice(top, top + down) if len(t) == rows else slice(None), left : left + across]
                for t in flat
            ]
            out[top : top + down, left : left + across] = kernel(*piece)
    return out.reshape(value.shape)
