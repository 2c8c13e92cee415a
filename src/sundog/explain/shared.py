"""Several methods from one pass: gradient norm, gradient x input and class activation maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sundog.core.shapes import Images
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.cam_layer import resolve_layer
from sundog.explain.grad_cam import grad_cam_map
from sundog.explain.grad_cam_plus_plus import grad_cam_plus_plus_map
from sundog.explain.gradient_norm import gradient_norm_map
from sundog.explain.gradient_x_input import gradient_x_input_map
from sundog.explain.objective import Objective, OutputKind, Target, join_objectives
from sundog.explain.single_pass import SinglePass, single_passes
from sundog.models.classifier import Classifier

PIXEL_METHODS: dict[str, Callable[..., Tensor]] = {
    "gradient_norm": lambda p, **given: gradient_norm_map(p.gradient, **given),
    "gradient_x_input": lambda p, **given: gradient_x_input_map(p.images, p.gradient, **given),
}
CAM_METHODS: dict[str, Callable[..., Tensor]] = {
    "grad_cam": grad_cam_map,
    "grad_cam_plus_plus": grad_cam_plus_plus_map,
    "layer_grad_cam": lambda activation, gradient, size, *, relu=False, **given: grad_cam_map(
        activation, gradient, size, relu=relu, **given
    ),
}


def can_share(name: str) -> bool:
    """Return whether a method's maps come from the one pass."""
    return name in PIXEL_METHODS or name in CAM_METHODS


def shared_pass(
    classifier: Classifier,
    images: Images,
    methods: Mapping[str, tuple[str, Mapping[str, Any]]],
    target: Target = None,
    *,
    output: OutputKind = "logit",
    budget: int = DEFAULT_BUDGET,
) -> tuple[dict[str, Tensor], Objective]:
    """Return the maps of several methods, the logits and the classes from one pass per image.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        methods: label -> (method, its parameters), methods of :func:`can_share` only.
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        output: logit, probability or log_probability.
        budget: bytes of activations held at once.

    Returns:
        The maps by label, each equal to what the method alone returns, and the objective with the
        explained classes and the logits of the images. Cost: 1 forward and 1 backward per image,
        whatever the number of methods.

    Raises:
        InputError: bad images, target, output or layer. ModelStateError: train mode, no gradient.
    """
    layers = {
        label: resolve_layer(classifier, images, parameters.get("layer"))
        for label, (name, parameters) in methods.items()
        if name in CAM_METHODS
    }
    order = list(dict.fromkeys(layers.values()))
    pixels = any(name in PIXEL_METHODS for name, _ in methods.values())
    parts: dict[str, list[Tensor]] = {label: [] for label in methods}
    objectives: list[Objective] = []
    for one in single_passes(
        classifier, images, target, output=output, pixels=pixels, layers=order, budget=budget
    ):
        objectives.append(one.objective)
        for label, (name, parameters) in methods.items():
            at = order.index(layers[label]) if label in layers else None
            parts[label].append(_finish(one, name, at, parameters))
    maps = {label: torch.cat(found) for label, found in parts.items()}
    return maps, join_objectives(objectives, images)


def _finish(one: SinglePass, name: str, at: int | None, parameters: Mapping[str, Any]) -> Tensor:
    given = {key: value for key, value in parameters.items() if key != "layer"}
    if at is None:
        return PIXEL_METHODS[name](one, **given)
    size = (one.images.shape[2], one.images.shape[3])
    return CAM_METHODS[name](one.activations[at], one.activation_gradients[at], size, **given)
