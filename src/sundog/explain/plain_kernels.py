"""Attention in plain matrix products and softmax, instead of fused kernels that hide them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Run attention unfused inside the block: every step is an operation that can be seen.

    ``scaled_dot_product_attention`` takes its mathematical form, the fused inference path of
    ``nn.MultiheadAttention`` and ``nn.TransformerEncoderLayer`` is off, and gradients are not
    recorded. What was set before holds again afterwards, also after an error.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel([SDPBackend.MATH]):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
