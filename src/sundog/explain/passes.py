"""Forward and backward passes over many rows made from a few images, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sundog.core.errors import ModelStateError
from sundog.core.shapes import Images, Labels
from sundog.explain.budget import DEFAULT_BUDGET, rows_per_pass
from sundog.explain.objective import Objective
from sundog.models.classifier import Classifier
from sundog.models.layout import fast_layout

MakeRows = Callable[[Labels, Labels], Images]
"""``(image index[rows], point index[rows]) -> images[rows, 3, height, width]``."""


@contextmanager
def gradients_on() -> Iterator[None]:
    """Turn gradients on, also inside ``torch.no_grad()`` and ``torch.inference_mode()``."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def gradients_off() -> Iterator[None]:
    """Turn gradients off, also inside ``torch.inference_mode()``: maps carry no graph.

    Used as a decorator of every method, whose passes turn gradients on where they need them.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield


def gradients_of(value: Tensor, inputs: list[Tensor], *, keep: bool = False) -> list[Tensor]:
    """Return the gradients of ``value.sum()``, refusing a value that does not depend on an input.

    One backward pass serves all rows, because in eval mode no row depends on another.

    Raises:
        ModelStateError: no gradient flows from the value to an input.
    """
    found: tuple[Tensor | None, ...] = (None,)
    if value.requires_grad:
        found = torch.autograd.grad(value.sum(), inputs, retain_graph=keep, allow_unused=True)
    gradients = [g.detach() for g in found if g is not None]
    if len(gradients) < len(inputs):
        raise ModelStateError(
            "The explained scalar does not depend on what it is to be explained by: no gradient",
            hint="Check for detach(), no_grad() or argmax in the network or in the target function,"
            " and that the layer lies between the images and the logits.",
        )
    return gradients


def make_leaf(classifier: Classifier, rows: Images) -> Images:
    """Return a copy of the rows, in the faster layout, that asks for a gradient."""
    return rows.detach().clone(memory_format=fast_layout(classifier, rows)).requires_grad_()


def input_gradient(
    classifier: Classifier, rows: Images, objective: Objective, owner: Labels | None = None
) -> tuple[Images, Tensor]:
    """Return the gradient of the explained scalar at each row, and the rows' logits."""
    with gradients_on():
        leaf = make_leaf(classifier, rows)
        logits = classifier(leaf)
        (gradient,) = gradients_of(objective(logits, owner), [leaf])
    return gradient.contiguous(), logits.detach()


def weighted_gradients(
    classifier: Classifier,
    images: Images,
    objective: Objective,
    *,
    points: int,
    make_rows: MakeRows,
    combine: Callable[[Images, Labels, Labels], Images],
    budget: int = DEFAULT_BUDGET,
) -> Images:
    """Return ``sum over points k of combine(gradient at row (i, k))`` for every image i.

    The rows (image, point) are made, used and dropped in chunks that fit the budget; the sum runs
    over k in order, so that it does not depend on how the rows were split.

    Args:
        classifier: in eval mode.
        images: ``[batch, 3, height, width]``.
        objective: the explained scalar.
        points: number of points per image.
        make_rows: makes the rows from image and point indices.
        combine: ``(gradients[rows], image index, point index) -> [rows, 3, height, width]``.
        budget: bytes of activations held at once.
    """
    total = torch.zeros_like(images)
    count = len(images) * points
    chunk = rows_per_pass(classifier, images, gradient=True, budget=budget, wanted=count)
    for start in range(0, count, chunk):
        row = torch.arange(start, min(start + chunk, count), device=images.device)
        owner, point = row // points, row % points
        gradient, _ = input_gradient(classifier, make_rows(owner, point), objective, owner)
        total.index_add_(0, owner, combine(gradient, owner, point).to(total.dtype))
    return total


@torch.no_grad()
def forward_rows(
    classifier: Classifier,
    images: Images,
    *,
    points: int,
    make_rows: MakeRows,
    read: Callable[[Tensor, Labels, Labels], None],
    budget: int = DEFAULT_BUDGET,
) -> None:
    """Give ``read`` the logits of every row (image, point), in order, a chunk at a time."""
    count = len(images) * points
    chunk = rows_per_pass(classifier, images, gradient=False, budget=budget, wanted=count)
    for start in range(0, count, chunk):
        row = torch.arange(start, min(start + chunk, count), device=images.device)
        owner, point = row // points, row % points
        rows = make_rows(owner, point)
        rows = rows.contiguous(memory_format=fast_layout(classifier, rows))
        read(classifier(rows), owner, point)
