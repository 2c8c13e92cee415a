"""Grad-CAM++: Grad-CAM whose weights count each position that raises the class once.

Source: Chattopadhyay, Sarkar, Howlader & Balasubramanian, 2017, arXiv 1710.11063.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.shapes import Images, Maps
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.cam_layer import Layer, resolve_layer
from sundog.explain.grad_cam import finish_map
from sundog.explain.objective import OutputKind, Target
from sundog.explain.passes import gradients_off
from sundog.explain.single_pass import single_passes
from sundog.models.classifier import Classifier
from sundog.models.tokens import to_feature_map


@gradients_off()
def grad_cam_plus_plus(
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
    """Return the feature maps of a layer, weighted by their positive gradients.

    Operator, with g the gradient of the scalar by A: ``w_k = sum_hw c_khw ReLU(g_khw)``,
    ``c = g^2 / (2 g^2 + g^3 sum_hw A_k) = 1 / (2 + g sum_hw A_k)`` (the paper's, for the
    exponential of the scalar), ``R = resize(ReLU(sum_k w_k A_k))``. Where ``2 + g sum A <= 0``,
    which needs negative activations, the paper's coefficient has no meaning and is taken as 0.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        layer: name or module; None: the classifier's ``cam_layer``, else its last feature map.
        relu: False keeps the sign of the activations.
        resized: False returns the map at the layer's own size.
        output: logit, probability or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, raw; high = the region speaks for the class.

    Raises:
        InputError: bad images, target or output. LayerError: the layer does not run, runs more
            than once, or is no map. ModelStateError: train mode or no gradient.

    Source: Chattopadhyay et al., 2017, arXiv 1710.11063.
    """
    classifier.require_gradient("grad_cam_plus_plus")
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
            grad_cam_plus_plus_map(
                p.activations[0], p.activation_gradients[0], size, relu=relu, resized=resized
            )
            for p in passes
        ]
    )


def grad_cam_plus_plus_map(
    activation: Tensor,
    gradient: Tensor,
    size: tuple[int, int],
    *,
    relu: bool = True,
    resized: bool = True,
) -> Maps:
    """Return the map, given the layer's output and the gradient with respect to it."""
    activation, gradient = to_feature_map(activation, size), to_feature_map(gradient, size)
    below = 2 + gradient * activation.sum(dim=(2, 3), keepdim=True)
    coefficient = torch.where(below > 0, 1 / below.where(below > 0, 1), 0)
    weights = (coefficient * gradient.relu()).sum(dim=(2, 3))
    return finish_map(torch.einsum("bk,bkhw->bhw", weights, activation), size, relu, resized)
