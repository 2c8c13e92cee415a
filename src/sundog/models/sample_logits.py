"""Logits of a sample that is held in memory, in passes of the fastest size and layout."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sundog.core.shapes import Images, Logits
from sundog.models.budget import rows_per_pass
from sundog.models.classifier import Classifier
from sundog.models.layout import fast_layout


@torch.no_grad()
def sample_logits(
    classifier: Classifier,
    images: Images,
    *,
    change: Callable[[Images], Images] | None = None,
) -> Logits:
    """Return the logits of every image, on the CPU in float64.

    Args:
        classifier: in eval mode.
        images: ``float[n, 3, height, width]`` in [0, 1], n >= 1.
        change: what is done to a few images before they are shown.

    Raises:
        ModelStateError: a classifier in train mode.
    """
    classifier.require_eval()
    rows = rows_per_pass(classifier, images, gradient=False, wanted=len(images))
    found = []
    for part in torch.split(images, rows):
        shown = part.to(classifier.device)
        shown = shown if change is None else change(shown)
        shown = shown.contiguous(memory_format=fast_layout(classifier, shown))
        found.append(classifier(shown).to("cpu", torch.float64))
    return torch.cat(found)
