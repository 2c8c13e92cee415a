"""Layer conductance: how much of ``f(x) - f(x')`` flows through each unit of a layer.

Source: Dhamdhere, Sundararajan & Yan, 2018, arXiv 1805.12233; Shrikumar, Su & Kundaje, 2018,
arXiv 1807.09946 (as a difference of the unit along the path).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Labels
from sundog.explain.baselines import Baselines, make_baselines
from sundog.explain.budget import DEFAULT_BUDGET, rows_per_pass
from sundog.explain.cam_layer import Layer, resolve_layer
from sundog.explain.objective import Objective, OutputKind, Target, make_objective
from sundog.explain.passes import gradients_of, gradients_off, gradients_on
from sundog.explain.reduction import Reduction, reduce_channels, resize_maps
from sundog.models.classifier import Classifier
from sundog.models.layers import capture
from sundog.models.layout import fast_layout
from sundog.models.tokens import to_feature_map


@gradients_off()
def layer_conductance(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    layer: Layer = None,
    baseline: Baselines = "black",
    n_steps: int = 50,
    reduction: Reduction = "sum",
    resized: bool = True,
    output: OutputKind = "logit",
    seed: int = 0,
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return what flows through each unit of a layer on the path from a baseline to the image.

    Operator: ``C_y = integral over a of df/dy (dy/da) da`` as ``sum_k (g_k + g_k+1) / 2 *
    (y_k+1 - y_k)`` over ``a_k = k / n``, both ends included. The differences of y telescope, so
    that no part of the path is lost: with whatever nonlinearity before the layer the sum over
    units is ``f(x) - f(x')`` exactly where f is affine or quadratic in y, and tends to it as n
    grows otherwise, for a layer that all of the decision passes through.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        layer: name or module; None: the classifier's ``cam_layer``, else its last feature map.
        baseline: in pixel space; a list is averaged over.
        n_steps: intervals of the path, >= 1; n_steps + 1 passes per image and baseline.
        reduction: over the layer's channels: ``sum`` (signed), ``l2``, ``abs_sum``; ``none``
            returns the conductance of every unit in the layer's own shape, not resized.
        resized: False returns the map at the layer's own size.
        output: logit, probability or log_probability.
        seed: for the ``uniform`` baseline.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``; with ``sum`` positive = what flows through the region
        speaks for the class. For ``none`` the sum over units is ``f(x) - mean f(x')``.

    Raises:
        InputError: bad images, target, baseline or n_steps. LayerError: the layer does not run,
            runs more than once, or is no map. ModelStateError: train mode or no gradient.

    Source: Dhamdhere et al., 2018, arXiv 1805.12233.
    """
    classifier.require_gradient("layer_conductance")
    if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
        raise InputError("n_steps", expected="an integer >= 1", got=repr(n_steps))
    objective = make_objective(classifier, images, target, output=output, clean_logits=False)
    chosen = resolve_layer(classifier, images, layer)
    baselines = make_baselines(images, baseline, seed=seed)
    rows = rows_per_pass(classifier, images, gradient=True, budget=budget)
    parts = []
    for owners in torch.split(torch.arange(len(images), device=images.device), rows):
        flows = [
            _flow(classifier, images, objective, chosen, start, owners, n_steps, rows)
            for start in baselines
        ]
        parts.append(torch.stack(flows).mean(dim=0))
    units = torch.cat(parts)
    size = (images.shape[2], images.shape[3])
    return conductance_map(units, size, reduction=reduction, resized=resized)


def conductance_map(
    units: Tensor, size: tuple[int, int], *, reduction: Reduction, resized: bool
) -> Tensor:
    """Return the map, given the conductance of every unit; ``none`` returns the units."""
    if reduction == "none":
        return units
    maps = reduce_channels(to_feature_map(units, size), reduction)
    return resize_maps(maps, size) if resized else maps


def _flow(
    classifier: Classifier,
    images: Images,
    objective: Objective,
    layer: str | nn.Module,
    start: Images,
    owners: Labels,
    n_steps: int,
    rows: int,
) -> Tensor:
    """Return the conductance of every unit for a few images, ``[len(owners), *layer shape]``."""
    count = len(owners)
    begin, difference = start[owners], images[owners] - start[owners]
    alphas = torch.arange(n_steps + 1, device=images.device)
    total = images.new_zeros(())
    last: tuple[Tensor, Tensor] | None = None
    for block in torch.split(alphas, max(1, rows // count)):
        alpha = (block.to(images.dtype) / n_steps).view(-1, 1, 1, 1, 1)
        points = (begin + alpha * difference).flatten(0, 1)
        unit, gradient = _layer_gradient(
            classifier, points, objective, layer, owners.repeat(len(block))
        )
        unit = unit.reshape(len(block), count, *unit.shape[1:])
        gradient = gradient.reshape(len(block), count, *gradient.shape[1:])
        if last is not None:
            unit, gradient = torch.cat([last[0], unit]), torch.cat([last[1], gradient])
        moved = ((gradient[1:] + gradient[:-1]) / 2 * (unit[1:] - unit[:-1])).sum(dim=0)
        total = total + moved
        last = (unit[-1:], gradient[-1:])
    return total


def _layer_gradient(
    classifier: Classifier,
    rows: Images,
    objective: Objective,
    layer: str | nn.Module,
    owner: Labels,
) -> tuple[Tensor, Tensor]:
    """Return the layer's output and the gradient of the scalar by it; backward stops there."""
    rows = rows.contiguous(memory_format=fast_layout(classifier, rows))
    with capture(classifier, layer, cut=True) as captured, gradients_on():
        with torch.no_grad():
            logits = classifier(rows)
        unit = captured.one(layer)
        (gradient,) = gradients_of(objective(logits, owner), [unit])
    return unit.detach(), gradient
