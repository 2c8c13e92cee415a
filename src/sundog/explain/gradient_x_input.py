"""Gradient x input: ``x * d f_c(x) / d x``, the first-order part of what each pixel contributes.

Source: Shrikumar, Greenside, Shcherbina & Kundaje, 2016, arXiv 1605.01713. As in the seed, x is the
image in [0, 1] before normalisation, and the map is the L2 norm over the channels.
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
def gradient_x_input(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    reduction: Reduction = "l2",
    output: OutputKind = "logit",
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return image times gradient of the explained scalar at each pixel.

    Operator: ``R = reduce_channels(x * d f_c(x) / d x)``, x in [0, 1] before normalisation, so
    that a black pixel gets 0.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        reduction: ``l2`` (the seed's), ``sum`` (signed), ``abs_sum``, or ``none``.
        output: logit (the seed's), probability or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, >= 0 for ``l2``; high = the pixel matters. With ``sum``,
        positive = speaks for the class. ``[batch, 3, height, width]`` for ``none``.

    Raises:
        InputError: bad images, target or output. ModelStateError: train mode or no gradient.

    Source: Shrikumar et al., 2016, arXiv 1605.01713.
    """
    classifier.require_gradient("gradient_x_input")
    passes = single_passes(classifier, images, target, output=output, budget=budget)
    return torch.cat(
        [gradient_x_input_map(p.images, p.gradient, reduction=reduction) for p in passes]
    )


def gradient_x_input_map(
    images: Images, gradient: Images, *, reduction: Reduction = "l2"
) -> Tensor:
    """Return the map, given the images and the gradient."""
    return reduce_channels(images * gradient, reduction)
