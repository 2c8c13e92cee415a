"""Which layer a class activation map reads when the user names none."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn

from sundog.core.errors import LayerError
from sundog.core.shapes import Images
from sundog.explain.passes import gradients_on
from sundog.models.classifier import Classifier
from sundog.models.discover import discover

Layer = str | nn.Module | None
"""A dotted name, a module of the classifier, or None: the classifier's last feature map."""
_FOUND: WeakKeyDictionary[nn.Module, dict[tuple[int, int], str | None]] = WeakKeyDictionary()


def resolve_layer(classifier: Classifier, images: Images, layer: Layer = None) -> str | nn.Module:
    """Return the named layer, the classifier's ``cam_layer``, or the discovered last feature map.

    Raises:
        LayerError: none was named, and the network has no feature map.
    """
    chosen = layer if layer is not None else classifier.cam_layer
    if chosen is not None:
        return chosen
    size = (int(images.shape[2]), int(images.shape[3]))
    known = _FOUND.setdefault(classifier.network, {})
    if size not in known:
        with gradients_on():
            known[size] = discover(classifier, image_size=size).cam_layer
    found = known[size]
    if found is None:
        raise LayerError(
            "layer",
            expected="given for a network without a feature map",
            got="None",
            hint="Name the layer whose output is a map of the image, or use a pixel method.",
        )
    return found
