"""The last linear layer of a classifier, checked by one probe image to be what decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from sundog.core.errors import LayerError
from sundog.core.seeds import generator
from sundog.models.classifier import Classifier
from sundog.models.features import extract_features
from sundog.models.layers import INPUT, find_layer

PROBES = 4
TOLERANCE = 1e-3
"""Largest difference between the head's output and the network's, relative to their spread."""


@dataclass(frozen=True, eq=False)
class LinearHead:
    """``logits = features @ weight.T + bias`` up to a constant per image, for the kept classes.

    Attributes:
        layer: name of the features, ``<head>:input``.
        weight: ``float64[classes, features]``; of a single logit z, the rows are -w and w.
        bias: ``float64[classes]``.
    """

    layer: str
    weight: Float64[np.ndarray, "classes features"]
    bias: Float64[np.ndarray, "classes"]

    def predict(
        self, features: Float32[np.ndarray, "images features"]
    ) -> Int64[np.ndarray, "images"]:
        """Return the predicted class of each image, -1 for rows of NaN."""
        logits = features.astype(np.float64) @ self.weight.T + self.bias
        found = logits.argmax(axis=1).astype(np.int64)
        found[np.isnan(features).any(axis=1)] = -1
        return found


@torch.no_grad()
def linear_head(
    classifier: Classifier, *, size: tuple[int, int], layer: str | None = None
) -> LinearHead:
    """Return the last layer, after probe images have shown that it is linear and the last.

    Args:
        classifier: in eval mode; left as it is.
        size: (height, width) of the probe images.
        layer: ``<head>:input``; ``classifier.feature_layer`` if None.

    Raises:
        LayerError: no such layer, no weight there, or something that is not linear after it.
        ModelStateError: a classifier in train mode.
    """
    classifier.require_eval()
    name = layer or classifier.feature_layer
    what = f"The head of classifier {classifier.name!r}"
    if name is None or not name.endswith(INPUT):
        raise LayerError(
            what,
            expected=f"a linear layer, named '<layer>{INPUT}'",
            got=repr(name),
            hint="Name it with layer=...; files such as ONNX have no layers to listen to.",
        )
    head = find_layer(classifier, name)
    weight, bias = getattr(head, "weight", None), getattr(head, "bias", None)
    if not isinstance(weight, Tensor) or weight.flatten(1).shape[1] != weight.shape[1]:
        raise LayerError(
            what,
            expected="a linear layer or a 1 x 1 convolution",
            got=f"{type(head).__name__} at {name.removesuffix(INPUT)!r}",
        )
    matrix = weight.detach().flatten(1).double().cpu()
    shift = torch.zeros(len(matrix)) if bias is None else bias.detach().cpu()
    shift = shift.double()
    images = torch.rand((PROBES, 3, *size), generator=generator(0, "linear head", *size))
    images = images.to(classifier.device)
    features = extract_features(classifier, images, layer=name).double().cpu()
    if features.shape[1] == matrix.shape[1]:
        _check(classifier, images, F.linear(features, matrix, shift), what)
    else:
        raise LayerError(
            what, expected=f"given {matrix.shape[1]} features", got=f"{features.shape[1]}"
        )
    if classifier.output == "binary_logit":
        matrix, shift = torch.cat([-matrix, matrix]), torch.cat([-shift, shift])
    if classifier.class_indices is not None:
        kept = list(classifier.class_indices)
        matrix, shift = matrix[kept], shift[kept]
    return LinearHead(layer=name, weight=matrix.numpy(), bias=shift.numpy())


def _check(classifier: Classifier, images: Tensor, ours: Tensor, what: str) -> None:
    raw = classifier.raw_output(images).double().cpu()
    if classifier.output == "probabilities":
        raw, ours = raw.clamp_min(1e-300).log(), ours.log_softmax(dim=1)
    if raw.shape == ours.shape:
        gap, spread = float((raw - ours).abs().max()), float(raw.abs().max())
        if gap <= TOLERANCE * max(spread, 1e-6):
            return
    raise LayerError(
        what,
        expected="linear: network output = features @ weight.T + bias",
        got="an output that differs from it on probe images",
        hint="Something comes after the layer; name another one with layer=....",
    )
