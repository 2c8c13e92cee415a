"""Run a network on batches of one fixed size, so that an image's result is the same in any batch.

Convolutions choose their kernel by the batch size and round differently: the same image alone and
among others differs in the last bits. Here the last batch is filled up with blank images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images
from sundog.data.transforms import Image


@torch.no_grad()
def run_fixed(
    run: Callable[[Images], Float[Tensor, "batch width"]],
    images: Sequence[Image],
    *,
    batch_size: int,
    device: torch.device,
) -> Float[Tensor, "images width"]:
    """Return ``run`` of all images, ``batch_size`` at a time, on the CPU.

    Args:
        run: a network in eval mode.
        images: of one size, at least one.
        batch_size: >= 1; part of what the last bits depend on.
        device: where the network lives.

    Raises:
        InputError: no image or a bad batch size.
    """
    if batch_size < 1 or not images:
        raise InputError("images and batch_size", expected="at least one image, >= 1")
    parts = []
    for start in range(0, len(images), batch_size):
        part = torch.stack(list(images[start : start + batch_size]))
        count = len(part)
        if count < batch_size:
            part = torch.cat([part, part.new_zeros(batch_size - count, *part.shape[1:])])
        # Channels last: the same numbers up to rounding, 1.5 times as fast on the CPU.
        part = part.to(device).contiguous(memory_format=torch.channels_last)
        parts.append(run(part)[:count].cpu())
    return torch.cat(parts)
