"""One forward and one backward pass per image: logits, pixel gradients and layers' gradients.

Gradient norm, gradient x input and the class activation maps are reductions of what this pass
yields, so that all of them together cost as much as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.shapes import Images
from sundog.explain.budget import DEFAULT_BUDGET, rows_per_pass
from sundog.explain.objective import (
    Objective,
    OutputKind,
    Target,
    check_images,
    check_output,
    objective_from_logits,
)
from sundog.explain.passes import gradients_of, gradients_on, make_leaf
from sundog.models.checks import class_indices
from sundog.models.classifier import Classifier
from sundog.models.layers import capture


@dataclass(frozen=True, eq=False)
class SinglePass:
    """What one pass over a few images gave.

    Attributes:
        images: ``[rows, 3, height, width]``.
        objective: the explained scalar of these rows, with their logits.
        gradient: of the scalar by the images; empty if it was not asked for.
        activations: output of each asked layer.
        activation_gradients: of the scalar by each asked layer's output.
    """

    images: Images
    objective: Objective
    gradient: Images
    activations: tuple[Tensor, ...]
    activation_gradients: tuple[Tensor, ...]


def single_passes(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    output: OutputKind = "logit",
    pixels: bool = True,
    layers: Sequence[str | nn.Module] = (),
    budget: int = DEFAULT_BUDGET,
) -> Iterator[SinglePass]:
    """Yield one forward and one backward pass over the images, a bounded number at a time.

    Without ``pixels`` and with one layer the backward pass stops at the layer, and what lies
    before the layer runs without gradients.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        output: logit, probability or log_probability.
        pixels: whether the gradient by the images is wanted.
        layers: names or modules whose output and gradient are wanted.
        budget: bytes of activations held at once.

    Raises:
        InputError: bad images, target, output or layer.
        ModelStateError: train mode, or no gradient reaches the images or a layer.
    """
    check_output(output)
    classifier.require_eval()
    if not isinstance(target, Objective):
        check_images(images)
    count = len(images)
    chunk = rows_per_pass(classifier, images, gradient=True, budget=budget, wanted=count)
    cut = len(layers) == 1 and not pixels
    for start in range(0, count, chunk):
        part = slice(start, start + chunk)
        rows = images[part]
        with ExitStack() as stack:
            stack.enter_context(gradients_on())
            leaf = make_leaf(classifier, rows).requires_grad_(pixels)
            records = [stack.enter_context(capture(classifier, n, cut=cut)) for n in layers]
            with torch.set_grad_enabled(not cut):
                logits = classifier(leaf)
            objective = objective_from_logits(
                logits.detach(), rows, take_target(target, part, count), output=output
            )
            activations = [record.one(name) for record, name in zip(records, layers, strict=True)]
            wanted = [leaf, *activations] if pixels else activations
            gradients = gradients_of(objective(logits), wanted)
        yield SinglePass(
            images=rows,
            objective=objective,
            gradient=gradients[0].contiguous() if pixels else rows.new_empty(0),
            activations=tuple(a.detach() for a in activations),
            activation_gradients=tuple(gradients[1:] if pixels else gradients),
        )


def take_target(target: Target, part: slice, count: int) -> Target:
    """Return the target of a part of ``count`` images, refusing a wrong number of classes."""
    if isinstance(target, Objective):
        return target.take(part)
    if target is None or (callable(target) and not isinstance(target, Tensor)):
        return target
    index = class_indices(target)
    if index.ndim == 0:
        return index
    if index.shape != (count,):
        raise InputError(
            "target", expected=f"one class per image, shape ({count},)", got=str(tuple(index.shape))
        )
    return index[part]
