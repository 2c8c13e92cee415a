"""The vector that the last layer decides from, one per image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sundog.core.errors import LayerError
from sundog.core.shapes import Images
from sundog.models.classifier import Classifier
from sundog.models.layers import capture


@torch.no_grad()
def extract_features(
    classifier: Classifier, images: Images, *, layer: str | None = None, batch_size: int = 32
) -> Float[Tensor, "batch features"]:
    """Return the features of each image; maps and tokens are averaged over their places.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        layer: dotted name (``:input`` for what goes in); ``classifier.feature_layer`` if None.
        batch_size: images per forward pass.

    Raises:
        LayerError: the classifier has no feature layer.
        ModelStateError: a classifier in train mode.
    """
    classifier.require_eval()
    name = layer or classifier.feature_layer
    if name is None:
        raise LayerError(
            f"Classifier {classifier.name!r}",
            expected="one with a feature layer",
            got="none (no linear layer was found)",
            hint="Name one with layer=...; files such as ONNX have no layers to listen to.",
        )
    parts = []
    for part in torch.split(images, batch_size):
        with capture(classifier, name) as captured:
            classifier(part)
        found = captured.one(name)
        if found.ndim == 3:
            found = found.mean(dim=1)
        elif found.ndim > 3:
            found = found.flatten(2).mean(dim=2)
        parts.append(found)
    return torch.cat(parts)
