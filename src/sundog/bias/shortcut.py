"""Find a cue that nobody named: move components between images and see who follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch

from sundog.bias.shortcut_result import ShortcutSearch
from sundog.core.shapes import Images, Labels
from sundog.models.classifier import Classifier

Attribute = Callable[[Images], torch.Tensor]
"""``float[batch, 3, height, width]`` -> ``float[batch, height, width]``: maps of the prediction."""


def find_shortcuts(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    attribute: Attribute | None = None,
    class_names: Sequence[str] | None = None,
    smallest: float = 0.1,
    alpha: float = 0.05,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool | None = None,
) -> ShortcutSearch:
    """(being built) Find components that drag the prediction with them."""
    raise NotImplementedError
