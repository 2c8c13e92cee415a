"""The tagger around a RAM network: pictures in, one probability per tag out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from torch import Tensor

from sundog.concepts.ram.architecture import RamArchitecture
from sundog.concepts.ram.network import RamNetwork
from sundog.concepts.tag_scores import Scores, Thresholds
from sundog.concepts.tagger import Rows, Tagger
from sundog.core.errors import InputError
from sundog.data.content import Pixels
from sundog.data.transforms import to_tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet, per channel in [0, 1] units."""
NEVER = np.nextafter(np.float32(1), np.float32(2))
"""The published comparison is strict, so that a threshold of 1 switches a tag off."""


class RamTagger(Tagger):
    """Recognize Anything: thousands of everyday tags, each with a probability of its own.

    The score is sigmoid(logit), in [0, 1]; a tag is present where it reaches the tag's threshold.

    Args:
        network: with its weights.
        sizes: of the network.
        tag_names: one per output.
        thresholds: ``float32[tags]``, in [0, 1]; 1 = never present.
        fingerprint: of the weights.
        notes: what the loader left out or changed.
        batch_size: images in the network at once.

    Source:
        RAM: Zhang et al., 2023, arXiv 2306.03514. RAM++: Huang et al., 2023, arXiv 2310.15200.
    """

    def __init__(
        self,
        network: RamNetwork,
        *,
        sizes: RamArchitecture,
        tag_names: tuple[str, ...],
        thresholds: Thresholds,
        fingerprint: str,
        notes: tuple[str, ...] = (),
        batch_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise InputError("batch_size", expected=">= 1", got=str(batch_size))
        off = thresholds >= 1
        if off.any():
            names = ", ".join(tag_names[i] for i in np.flatnonzero(off)[:3])
            more = ", ..." if off.sum() > 3 else ""
            notes = (*notes, f"Never present, their threshold is 1: {names}{more} ({off.sum()})")
        self.name = network.kind
        self.network = network.eval()
        self.sizes = sizes
        self.tag_names = tag_names
        self.thresholds = np.where(off, NEVER, thresholds)
        self.fingerprint = fingerprint
        self.notes = notes
        self.batch_size = batch_size

    def identity(self) -> dict[str, Any]:
        """Return the name, the sizes, and the hash of the weights; thresholds are no part."""
        return {
            "name": self.name,
            "version": self.version,
            "weights": self.fingerprint,
            "sizes": asdict(self.sizes),
            "tags": list(self.tag_names),
        }

    @torch.no_grad()
    def score(self, rows: Rows) -> Scores:
        """Return ``float32[batch, tags]``, probabilities in [0, 1].

        Images are stretched to a square, as published.

        Args:
            rows: with decoded images.

        Raises:
            InputError: rows without images.
        """
        if len(rows.images) != len(rows):
            raise InputError(
                "rows", expected=f"with {len(rows)} decoded images", got=str(len(rows.images))
            )
        scores = np.empty((len(rows), len(self.tag_names)), dtype=np.float32)
        device = self.network.fc.weight.device
        for start in range(0, len(rows), self.batch_size):
            chosen = slice(start, start + self.batch_size)
            batch = torch.stack([prepare(p, self.sizes.image_size) for p in rows.images[chosen]])
            scores[chosen] = self.network(batch.to(device)).sigmoid().cpu().numpy()
        return scores


def prepare(pixels: Pixels, side: int) -> Float[Tensor, "3 side side"]:
    """Stretch to a square with Pillow's bilinear filter, in 8 bits, and normalise.

    Equal bit for bit to torchvision's ``Resize((side, side))``, ``ToTensor``, ``Normalize``.

    Args:
        pixels: ``uint8[height, width, 3]``, RGB.
        side: in pixels.

    Returns:
        ``float32[3, side, side]``, mean about 0 and deviation about 1.
    """
    picture = Pillow.fromarray(pixels).resize((side, side), Pillow.Resampling.BILINEAR)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (to_tensor(np.asarray(picture)) - mean) / std
