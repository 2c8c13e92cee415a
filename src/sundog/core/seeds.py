"""Explicit random generators: the same seed gives the same numbers, whatever the batch size."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def derive_seed(seed: int, *parts: str | int | bytes) -> int:
    """Return a 63-bit seed from ``seed`` and any number of parts (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(str(seed).encode())
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return int.from_bytes(digest.digest(), "little") >> 1


def generator(seed: int, *parts: str | int | bytes) -> torch.Generator:
    """Return a CPU generator seeded with :func:`derive_seed`; draw on the CPU, then move."""
    return torch.Generator("cpu").manual_seed(derive_seed(seed, *parts))


def image_generator(image: Tensor, seed: int, *parts: str | int | bytes) -> torch.Generator:
    """Return a generator that depends on the seed and on the content of one image alone.

    A method that draws noise per image uses this, so that an image gets the same noise alone, in
    a batch, or in another order.
    """
    raw = image.detach().to("cpu").contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return generator(seed, raw, *parts)
