"""Feature maps: where in the image one feature of the last layer is active.

Source: Singla & Feizi, 2021, arXiv 2110.04301 (neural activation maps of penultimate features).
"""

from __future__ import annotations

import torch

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Maps
from sundog.explain.budget import DEFAULT_BUDGET, rows_per_pass
from sundog.explain.cam_layer import Layer, resolve_layer
from sundog.explain.objective import check_images
from sundog.explain.passes import gradients_off
from sundog.explain.reduction import resize_maps
from sundog.models.classifier import Classifier
from sundog.models.layers import capture
from sundog.models.tokens import to_feature_map


@gradients_off()
def feature_map(
    classifier: Classifier,
    images: Images,
    feature_index: int,
    *,
    layer: Layer = None,
    resized: bool = True,
    budget: int = DEFAULT_BUDGET,
) -> Maps:
    """Return where one channel of a layer is active.

    Operator: ``R = resize(A_k)``, bilinear. For a network whose features are the spatial mean of
    its last feature map, the mean of the raw map is feature k of the image.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        feature_index: channel k of the layer, >= 0.
        layer: name or module; None: the classifier's ``cam_layer``, else its last feature map.
        resized: False returns the map at the layer's own size.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, raw activation; high = the feature is present there.

    Raises:
        InputError: bad images or a feature outside the layer. LayerError: no map.

    Source: Singla & Feizi, 2021, arXiv 2110.04301.
    """
    check_images(images)
    classifier.require_eval()
    chosen = resolve_layer(classifier, images, layer)
    size = (images.shape[2], images.shape[3])
    rows = rows_per_pass(classifier, images, gradient=False, budget=budget, wanted=len(images))
    maps = []
    for part in torch.split(images, rows):
        with capture(classifier, chosen) as captured:
            classifier(part)
        activation = to_feature_map(captured.one(chosen), size)
        if isinstance(feature_index, bool) or not 0 <= feature_index < activation.shape[1]:
            raise InputError(
                "feature_idx",
                expected=f"in 0..{activation.shape[1] - 1}, a channel of {chosen!r}"
                if isinstance(chosen, str)
                else f"in 0..{activation.shape[1] - 1}",
                got=repr(feature_index),
            )
        found = activation[:, feature_index].clone()
        maps.append(resize_maps(found, size) if resized else found)
    return torch.cat(maps)
