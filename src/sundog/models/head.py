"""The last linear layer of a classifier: read it, and replace it in a copy."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.core.errors import InputError, LayerError
from sundog.core.seeds import generator
from sundog.models.classifier import Classifier
from sundog.models.discover import PROBE_SIZES
from sundog.models.feature_table import forward_features
from sundog.models.layers import INPUT, find_layer

TOLERANCE = 1e-3
"""Largest difference between the logits and ``W f + b`` on a probe, relative to their size."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head: ``logits = features @ weight.T + bias``, of the chosen classes.

    Attributes:
        layer: dotted name of the linear layer.
        weight: ``float32[classes, features]`` on the CPU. A network with one logit z for two
            classes has the rows (0, w).
        bias: ``float32[classes]``; zeros if the layer has none.
    """

    layer: str
    weight: Float[Tensor, "classes features"]
    bias: Float[Tensor, "classes"]


def read_head(classifier: Classifier) -> Head:
    """Return the linear head of a classifier, checked on a random probe image.

    Args:
        classifier: in eval mode.

    Raises:
        LayerError: no linear layer makes the logits from the features.
        ModelStateError: a classifier in train mode.
    """
    name, module = _head_module(classifier)
    weight = _tensor(module, "weight").detach().to("cpu", torch.float32).flatten(1).clone()
    made: Tensor | None = getattr(module, "bias", None)
    bias = torch.zeros(len(weight)) if made is None else made.detach().to("cpu", torch.float32)
    if classifier.output == "binary_logit":
        weight = torch.cat([torch.zeros_like(weight), weight])
        bias = torch.cat([torch.zeros_like(bias), bias])
    if classifier.class_indices is not None:
        rows = list(classifier.class_indices)
        weight, bias = weight[rows], bias[rows]
    head = Head(layer=name, weight=weight, bias=bias.clone())
    _check_on_probe(classifier, head)
    return head


def with_head(
    classifier: Classifier,
    *,
    weight: Float[Tensor, "classes features"],
    bias: Float[Tensor, "classes"],
) -> Classifier:
    """Return a deep copy of a classifier with another linear head; the original stays as it was.

    A network with one logit z for two classes gets the difference of the two rows, which has the
    same probabilities. Rows of classes that are not chosen keep their weights.

    Args:
        classifier: in eval mode, with a linear head.
        weight: of the chosen classes.
        bias: of the chosen classes.

    Raises:
        InputError: shapes that are not those of the head, or values that are not finite.
        LayerError: no linear head.
    """
    head = read_head(classifier)
    if weight.shape != head.weight.shape or bias.shape != head.bias.shape:
        raise InputError(
            "The new head",
            expected=f"weight {tuple(head.weight.shape)} and bias {tuple(head.bias.shape)}",
            got=f"weight {tuple(weight.shape)} and bias {tuple(bias.shape)}",
            hint="Fit it on features of this classifier.",
        )
    if not (bool(torch.isfinite(weight).all()) and bool(torch.isfinite(bias).all())):
        raise InputError("The new head", expected="finite", got="NaN or infinity")
    changed = copy.deepcopy(classifier)
    module = find_layer(changed, head.layer)
    rows = list(classifier.class_indices or range(len(weight)))
    if classifier.output == "binary_logit":
        order = sorted(range(2), key=lambda position: rows[position])
        low, high = order
        weight, bias = (weight[high] - weight[low])[None], (bias[high] - bias[low])[None]
        rows = [0]
    with torch.no_grad():
        target = _tensor(module, "weight")
        target[rows] = weight.to(target).reshape(len(rows), *target.shape[1:])
        if getattr(module, "bias", None) is None:
            module.bias = nn.Parameter(target.new_zeros(len(target)))
        shift = _tensor(module, "bias")
        shift[rows] = bias.to(shift)
    changed.weights = f"{classifier.weights}, new head"
    return changed


def _tensor(module: nn.Module, name: str) -> Tensor:
    value: Tensor = getattr(module, name)
    return value


def _head_module(classifier: Classifier) -> tuple[str, nn.Module]:
    layer = classifier.feature_layer
    if layer is None or not layer.endswith(INPUT):
        raise LayerError(
            f"Classifier {classifier.name!r}",
            expected="one whose features are the input of its last linear layer",
            got="no such layer" if layer is None else f"the feature layer {layer!r}",
            hint="Set feature_layer to 'NAME:input', NAME being the last linear layer; networks "
            "frozen in a file have none.",
        )
    if classifier.output == "probabilities":
        raise LayerError(
            f"Classifier {classifier.name!r}",
            expected="one that returns logits",
            got="probabilities, from which the logits cannot be had back",
            hint="Build the network without its softmax.",
        )
    name = layer.removesuffix(INPUT)
    module = find_layer(classifier, name)
    weight = getattr(module, "weight", None)
    pointwise = isinstance(weight, Tensor) and weight.ndim == 4 and weight.shape[2:] == (1, 1)
    if not isinstance(weight, Tensor) or not (weight.ndim == 2 or pointwise):
        raise LayerError(f"Layer {name!r}", expected="a linear layer", got=type(module).__name__)
    return name, module


def _check_on_probe(classifier: Classifier, head: Head) -> None:
    size = classifier.input_size or PROBE_SIZES[0]
    probe = torch.rand((2, 3, *size), generator=generator(0, "head probe"))
    with torch.no_grad():
        features, logits = forward_features(classifier, probe.to(classifier.device))
    features, logits = features.cpu().float(), logits.cpu().float()
    if features.shape[1] != head.weight.shape[1] or logits.shape[1] != len(head.weight):
        shapes = f"{tuple(features.shape)} features, {tuple(logits.shape)} logits"
        raise LayerError(f"The head {head.layer!r}", expected="linear in the features", got=shapes)
    made = features @ head.weight.T + head.bias
    # Equal up to a constant per image: softmax does not see it.
    off = float(
        ((made - made.mean(1, keepdim=True)) - (logits - logits.mean(1, keepdim=True))).abs().max()
    )
    if off > TOLERANCE * max(1.0, float(logits.abs().max())):
        raise LayerError(
            f"The head {head.layer!r}",
            expected="logits = W features + b",
            got=f"logits that differ by {off:.3g} on a probe image",
            hint="Something follows the last linear layer; return its output from the network.",
        )
