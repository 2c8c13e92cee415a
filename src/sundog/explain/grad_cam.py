"""Grad-CAM: ``ReLU(sum_k a_k A_k)`` with ``a_k`` the spatial mean of ``d f_c / d A_k``.

Source: Selvaraju, Cogswell, Das, Vedantam, Parikh & Batra, 2016, arXiv 1610.02391.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.shapes import Images, Maps
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.cam_layer import Layer, resolve_layer
from sundog.explain.objective import OutputKind, Target
from sundog.explain.passes import gradients_off
from sundog.explain.reduction import resize_maps
from sundog.explain.single_pass import single_passes
from sundog.models.classifier import Classifier
from sundog.models.tokens import to_feature_map


@gradients_off()
def grad_cam(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    layer: Layer = None,
    relu: bool = True,
    resized: bool = True,
    output: OutputKind = "logit",
    budget: int = DEFAULT_BUDGET,
) -> Maps:
    """Return the feature maps of a layer, weighted by how much each raises the explained scalar.

    Operator: ``R = resize(ReLU(sum_k mean_hw(d f_c / d A_k) * A_k))``, bilinear. Tokens of a vision
    transformer are laid out as the map of patches that they are; the class token is left out.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        layer: name or module; None: the classifier's ``cam_layer``, else its last feature map.
        relu: True (the seed's) keeps what speaks for the class; False gives signed maps.
        resized: False returns the map at the layer's own size.
        output: logit (the seed's), probability or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, raw; high = the region speaks for the class. All zero if
        nothing does.

    Raises:
        InputError: bad images, target or output. LayerError: the layer does not run, runs more
            than once, or is no map. ModelStateError: train mode or no gradient.

    Source: Selvaraju et al., 2016, arXiv 1610.02391.
    """
    classifier.require_gradient("grad_cam")
    size = (images.shape[2], images.shape[3])
    passes = single_passes(
        classifier,
        images,
        target,
        output=output,
        pixels=False,
        layers=[resolve_layer(classifier, images, layer)],
        budget=budget,
    )
    return torch.cat(
        [
            grad_cam_map(
                p.activations[0], p.activation_gradients[0], size, relu=relu, resized=resized
            )
            for p in passes
        ]
    )


def grad_cam_map(
    activation: Tensor,
    gradient: Tensor,
    size: tuple[int, int],
    *,
    relu: bool = True,
    resized: bool = True,
) -> Maps:
    """Return the map, given the layer's output and the gradient with respect to it."""
    activation, gradient = to_feature_map(activation, size), to_feature_map(gradient, size)
    weights = gradient.mean(dim=(2, 3))
    return finish_map(torch.einsum("bk,bkhw->bhw", weights, activation), size, relu, resized)


def finish_map(maps: Maps, size: tuple[int, int], relu: bool, resized: bool) -> Maps:
    """Keep what is positive, if asked, and resize to the image, if asked."""
    maps = maps.relu() if relu else maps
    return resize_maps(maps, size) if resized else maps
