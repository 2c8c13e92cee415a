"""Gradient norm (sensitivity, saliency): ``|| d f_c(x) / d x ||`` over the channels of each pixel.

Source: Simonyan, Vedaldi & Zisserman, 2013, arXiv 1312.6034. The seed takes the L2 norm over the
channels where the paper takes the maximum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.shapes import Images
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.objective import OutputKind, Target
from sundog.explain.passes import gradients_off
from sundog.explain.reduction import Reduction, reduce_channels
from sundog.explain.single_pass import single_passes
from sundog.models.classifier import Classifier


@gradients_off()
def gradient_norm(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    reduction: Reduction = "l2",
    output: OutputKind = "logit",
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return the size of the gradient of the explained scalar at each pixel.

    Operator: ``R = reduce_channels(d f_c(x) / d x)``, x in [0, 1] before normalisation.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        reduction: ``l2`` (the seed's), ``sum`` (signed), ``abs_sum``, or ``none``.
        output: logit (the seed's), probability or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, >= 0 for ``l2``; high = the scalar is sensitive there.
        ``[batch, 3, height, width]`` for ``reduction="none"``. Units: scalar per unit of [0, 1].

    Raises:
        InputError: bad images, target or output. ModelStateError: train mode or no gradient.

    Source: Simonyan et al., 2013, arXiv 1312.6034.
    """
    classifier.require_gradient("gradient_norm")
    passes = single_passes(classifier, images, target, output=output, budget=budget)
    return torch.cat([gradient_norm_map(p.gradient, reduction=reduction) for p in passes])


def gradient_norm_map(gradient: Images, *, reduction: Reduction = "l2") -> Tensor:
    """Return the map, given the gradient."""
    return reduce_channels(gradient, reduction)
