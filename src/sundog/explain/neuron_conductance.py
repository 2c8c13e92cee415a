"""Neuron conductance: which pixels act on the class through one unit of a layer.

Source: Dhamdhere, Sundararajan & Yan, 2018, arXiv 1805.12233.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Labels
from sundog.explain.baselines import Baselines, make_baselines
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.cam_layer import Layer, resolve_layer
from sundog.explain.objective import Objective, OutputKind, Target, make_objective
from sundog.explain.passes import gradients_of, gradients_off, gradients_on, make_leaf
from sundog.explain.quadrature import Rule, quadrature
from sundog.explain.reduction import Reduction, reduce_channels
from sundog.explain.sampling import row_chunks
from sundog.models.classifier import Classifier
from sundog.models.layers import capture

NeuronIndex = int | tuple[int, ...]
"""A channel (all its positions), or the position of one unit such as (channel, row, column)."""


@gradients_off()
def neuron_conductance(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    neuron_index: NeuronIndex = 0,
    layer: Layer = None,
    baseline: Baselines = "black",
    n_steps: int = 50,
    rule: Rule = "gauss_legendre",
    reduction: Reduction = "sum",
    output: OutputKind = "logit",
    seed: int = 0,
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return what each pixel contributes to the explained scalar through one unit or channel.

    Operator: ``R_i = (x_i - x'_i) * sum_k w_k sum_y df/dy(a_k) dy/dx_i(a_k)`` over the units y that
    ``neuron_index`` names, on the straight path from the baseline.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        neuron_index: a channel, with all its positions, or a tuple for one unit; indices of the
            layer's output without the batch axis, >= 0.
        layer: name or module; None: the classifier's ``cam_layer``, else its last feature map.
        baseline: in pixel space; a list is averaged over.
        n_steps: points per image and baseline; each costs one forward and one full backward.
        rule: see :func:`sundog.explain.quadrature.quadrature`.
        reduction: ``sum`` (signed), ``l2``, ``abs_sum``, or ``none``.
        output: logit, probability or log_probability.
        seed: for the ``uniform`` baseline.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``; with ``sum`` positive = the pixel speaks for the class by
        way of the unit. The sum over pixels is the layer conductance of the unit; over all units
        of a layer that separates image and class, the maps add up to integrated gradients.

    Raises:
        InputError: bad images, target, baseline, n_steps or an index outside the layer.
        LayerError: the layer does not run or runs more than once. ModelStateError: train mode.

    Source: Dhamdhere et al., 2018, arXiv 1805.12233.
    """
    classifier.require_gradient("neuron_conductance")
    nodes, weights = (t.to(images.dtype).to(images.device) for t in quadrature(rule, n_steps))
    objective = make_objective(classifier, images, target, output=output, clean_logits=False)
    chosen = resolve_layer(classifier, images, layer)
    baselines = make_baselines(images, baseline, seed=seed)
    total = torch.zeros_like(images)
    for start in baselines:
        difference = images - start
        for owner, point in row_chunks(
            classifier, images, points=n_steps, gradient=True, budget=budget
        ):
            rows = start[owner] + nodes[point].view(-1, 1, 1, 1) * difference[owner]
            gradient = _gradient_through(classifier, rows, objective, chosen, neuron_index, owner)
            total.index_add_(
                0, owner, gradient * weights[point].view(-1, 1, 1, 1) * difference[owner]
            )
    return reduce_channels(total / len(baselines), reduction)


def _gradient_through(
    classifier: Classifier,
    rows: Images,
    objective: Objective,
    layer: str | nn.Module,
    neuron_index: NeuronIndex,
    owner: Labels,
) -> Images:
    """Return ``sum_y df/dy dy/dx`` over the named units y, ``[rows, 3, height, width]``."""
    leaf = make_leaf(classifier, rows)
    with capture(classifier, layer) as captured, gradients_on():
        logits = classifier(leaf)
        unit = captured.one(layer)
        where = _check_index(neuron_index, tuple(unit.shape[1:]))
        (upstream,) = gradients_of(objective(logits, owner), [unit], keep=True)
        (gradient,) = gradients_of(unit[where] * upstream[where], [leaf])
    return gradient.contiguous()


def _check_index(neuron_index: NeuronIndex, shape: tuple[int, ...]) -> tuple[slice | int, ...]:
    index = (neuron_index,) if isinstance(neuron_index, int) else tuple(neuron_index)
    inside = len(index) <= len(shape) and all(
        0 <= i < n for i, n in zip(index, shape, strict=False)
    )
    if not index or not inside:
        raise InputError(
            "neuron_index",
            expected=f"an index into the layer's output {shape}",
            got=repr(neuron_index),
        )
    return (slice(None), *index)
