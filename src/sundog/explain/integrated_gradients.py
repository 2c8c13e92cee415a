"""Integrated gradients: ``(x - x') * integral over a in [0, 1] of d f(x' + a (x - x')) / d x``.

Source: Sundararajan, Taly & Yan, 2017, arXiv 1703.01365. Averaging over several baselines:
Erion, Janizek, Sturmfels, Lundberg & Lee, 2019, arXiv 1906.10670.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.shapes import Images, Labels
from sundog.explain.baselines import Baselines, make_baselines
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.objective import Objective, OutputKind, Target, make_objective
from sundog.explain.passes import gradients_off, weighted_gradients
from sundog.explain.quadrature import Rule, quadrature
from sundog.explain.reduction import Reduction, reduce_channels
from sundog.models.classifier import Classifier


@gradients_off()
def integrated_gradients(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    baseline: Baselines = "black",
    n_steps: int = 50,
    rule: Rule = "gauss_legendre",
    reduction: Reduction = "l2",
    output: OutputKind = "logit",
    seed: int = 0,
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return what each pixel contributes along the straight path from a baseline to the image.

    Operator: ``R = reduce_channels((x - x') * sum_k w_k grad f(x' + a_k (x - x')))``; for several
    baselines the mean of their attributions. ``rule="riemann"`` with ``n_steps=20`` and the black
    baseline is the seed's: a = linspace(1, 0, n) with both ends, plain mean. The class is fixed on
    the clean image.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        baseline: in pixel space, before normalisation: a name, number, tensor that broadcasts to
            the images, or a list of these, whose attributions are averaged.
        n_steps: gradients per image and baseline, >= 1 (>= 2 for riemann and trapezoid).
        rule: gauss_legendre, trapezoid, midpoint, right, left, or riemann (the seed's).
        reduction: ``l2`` (the seed's), ``sum`` (signed, complete), ``abs_sum``, or ``none``.
        output: logit (the seed's), probability or log_probability.
        seed: for the ``uniform`` baseline.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``; high = the pixel matters, with ``sum`` positive = speaks
        for the class. ``[batch, 3, height, width]`` for ``none``; then the sum over channels and
        pixels tends to ``f(x) - mean f(x')`` as n_steps grows (completeness).

    Raises:
        InputError: bad images, target, baseline, rule or n_steps.
        ModelStateError: train mode or no gradient.

    Source: Sundararajan et al., 2017, arXiv 1703.01365.
    """
    classifier.require_gradient("integrated_gradients")
    nodes, weights = quadrature(rule, n_steps)
    objective = make_objective(classifier, images, target, output=output, clean_logits=False)
    baselines = make_baselines(images, baseline, seed=seed)
    total = torch.zeros_like(images)
    for start in baselines:
        total += path_attribution(
            classifier,
            images,
            objective,
            start=start,
            nodes=nodes,
            weights=weights,
            budget=budget,
        )
    return reduce_channels(total / len(baselines), reduction)


def path_attribution(
    classifier: Classifier,
    images: Images,
    objective: Objective,
    *,
    start: Images,
    nodes: Tensor,
    weights: Tensor,
    budget: int,
) -> Images:
    """Return the path integral from ``start`` to the images, ``[batch, 3, height, width]``."""
    difference = images - start
    alpha = nodes.to(images.dtype).to(images.device).view(-1, 1, 1, 1)
    weight = weights.to(images.dtype).to(images.device).view(-1, 1, 1, 1)

    def make_rows(owner: Labels, point: Labels) -> Images:
        return difference[owner].mul_(alpha[point]).add_(start[owner])

    average = weighted_gradients(
        classifier,
        images,
        objective,
        points=len(nodes),
        make_rows=make_rows,
        combine=lambda gradient, _owner, point: gradient * weight[point],
        budget=budget,
    )
    return difference * average
