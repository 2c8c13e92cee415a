"""What the sorter needs from a CLIP, whichever library reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.data.content import Pixels

Features = Float[Tensor, "batch width"]


@dataclass(frozen=True, eq=False)
class ClipModel:
    """An image encoder and a text encoder with one space of vectors.

    Attributes:
        label: where it came from, for people.
        network: in eval mode; holds all weights.
        width: of the common space.
        prepare: one decoded image -> ``float32[3, height, width]``, by the library itself.
        preparation: what ``prepare`` does, as JSON values.
        encode_images: prepared images -> features, not normalised.
        encode_texts: texts -> features, not normalised; refuses texts that are too long.
    """

    label: str
    network: nn.Module
    width: int
    prepare: Callable[[Pixels], Tensor]
    preparation: Mapping[str, Any]
    encode_images: Callable[[Tensor], Features]
    encode_texts: Callable[[Sequence[str]], Features]

    def fingerprint(self) -> str:
        """Return 32 hex digits of all weights and of the network's structure."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.network.state_dict().items()):
            held = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {held.dtype} {tuple(held.shape)} ".encode())
            digest.update(held.flatten().view(torch.uint8).numpy().tobytes())
        digest.update(repr(self.network).encode())
        return digest.hexdigest()
