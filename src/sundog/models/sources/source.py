"""What a source hands over: a network and everything needed to feed, name and rebuild it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sundog.core.seeds import derive_seed

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Source:
    """A network as its source made it.

    Attributes:
        network: takes normalised images.
        weights: where the weights came from, for people: ``"random"``, ``"ImageNet-1k"``, a path.
        mean: per channel in [0, 1] units; ``None`` if the source does not say.
        std: per channel in [0, 1] units; ``None`` if the source does not say.
        input_size: (height, width) in pixels, ``None`` for any.
        class_names: one per output, ``None`` if the source does not say.
        channels: 3, or 1 for a grey network.
        differentiable: False for ONNX.
        recipe: JSON from which :func:`sundog.models.sources.table.build_source` makes the same
            architecture; ``None`` for a network that only its owner can make.
    """

    network: nn.Module
    weights: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    input_size: tuple[int, int] | None = None
    class_names: tuple[str, ...] | None = None
    channels: int = 3
    differentiable: bool = True
    recipe: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Request:
    """What a source is asked for.

    Attributes:
        name: as typed, without the source's prefix.
        outputs: number of classes; ``None`` for the source's own number.
        pretrained: True = the source's weights, False = random ones, ``None`` = the source's
            weights where they need no download.
        download: whether weights may be fetched.
        seed: of random weights.
        arguments: what a recipe kept beside the name.
    """

    name: str
    outputs: int | None = None
    pretrained: bool | None = None
    download: bool = False
    seed: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)


Build = Callable[[Request], Source]


@contextmanager
def seeded_weights(seed: int, name: str) -> Iterator[None]:
    """Draw initial weights from (seed, name); the global generator is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights", name))
        yield
