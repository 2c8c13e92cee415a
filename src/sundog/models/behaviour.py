"""How a classifier behaves when it is asked: the same twice, alone as in a batch, with a gradient.

Everything here only asks; modes and weights are as before afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sundog.core.shapes import Images
from sundog.models.classifier import Classifier

SAME = 1e-3
"""Logits that differ by less than this share of the largest logit count as the same."""


@dataclass(frozen=True)
class Behaviour:
    """What a few images showed.

    Attributes:
        images: that were asked.
        repeat_gap: largest difference of the logits of two passes over the same batch, as a share
            of the largest logit; 0 is best.
        batch_gap: likewise between images one by one and in a batch; NaN if one of them fails.
        batch_error: why the network does not take a batch, or a single image; empty if it does.
        changed: names of weights and buffers that asking has changed.
        infinite: images whose logits are NaN or infinite.
    """

    images: int
    repeat_gap: float
    batch_gap: float
    batch_error: str
    changed: tuple[str, ...]
    infinite: int


@dataclass(frozen=True)
class GradientLook:
    """The gradient of the predicted class's logit with respect to the pixels.

    Attributes:
        images: that were asked.
        present: images with a gradient that is finite and not zero everywhere.
        infinite: images whose gradient is NaN or infinite.
        reason: why there is none at all; empty if there is one.
    """

    images: int
    present: int
    infinite: int
    reason: str


@dataclass(frozen=True)
class Holdings:
    """What a network is made of.

    Attributes:
        parameters: numbers.
        bytes: of parameters and buffers.
        dtypes: number formats of the floating-point weights, the commonest first.
        devices: on which the weights lie.
        infinite: names of weights that hold NaN or infinity.
    """

    parameters: int
    bytes: int
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    infinite: tuple[str, ...]


def training_modules(classifier: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules that are in train mode."""
    return tuple(
        name or "itself" for name, m in classifier.named_modules() if getattr(m, "training", False)
    )


@contextmanager
def in_eval_mode(classifier: nn.Module) -> Iterator[None]:
    """Put a classifier in eval mode for the block; every module's own mode comes back after it."""
    # Set one by one: a network may have a train() of its own that leaves a part as it was.
    modes = [m for m in classifier.modules() if getattr(m, "training", False)]
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module in modes:
            module.training = True


@torch.no_grad()
def observe(classifier: Classifier, images: Images) -> Behaviour:
    """Ask a batch twice, then its images one by one.

    The classifier is asked as it is, also in train mode.

    Args:
        classifier: any.
        images: ``float[n, 3, height, width]`` in [0, 1], on its device; four to eight are enough.
    """
    before = {name: value.detach().clone() for name, value in classifier.state_dict().items()}
    error = ""
    alone: Tensor | None = None
    try:
        alone = torch.cat([classifier.forward(image[None]) for image in images])
    except Exception as reason:  # networks of others raise any kind
        error = f"one image alone: {type(reason).__name__}"
    try:
        first = classifier.forward(images)
        second = classifier.forward(images)
    except Exception as reason:
        if alone is None:
            raise
        error = f"a batch of {len(images)}: {type(reason).__name__}"
        first = alone
        second = torch.cat([classifier.forward(image[None]) for image in images])
    after = classifier.state_dict()
    changed = tuple(name for name, value in before.items() if not _equal(value, after[name]))
    finite = torch.isfinite(first).all(dim=1)
    return Behaviour(
        images=len(images),
        repeat_gap=_gap(first, second),
        batch_gap=float("nan") if error or alone is None else _gap(first, alone),
        batch_error=error,
        changed=changed,
        infinite=int((~finite).sum()),
    )


def look_at_gradient(classifier: Classifier, images: Images) -> GradientLook:
    """Return whether pixels have a gradient.

    Args:
        classifier: in eval mode.
        images: ``float[n, 3, height, width]`` in [0, 1], on its device.
    """
    leaf = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = classifier.forward(leaf)
        if not logits.requires_grad:
            return GradientLook(len(images), 0, 0, "the logits do not depend on the pixels")
        top = logits.gather(1, logits.detach().argmax(dim=1, keepdim=True)).sum()
        found: tuple[Tensor | None, ...] = torch.autograd.grad(top, [leaf], allow_unused=True)
    gradient = found[0]
    if gradient is None:
        return GradientLook(len(images), 0, 0, "the logits do not depend on the pixels")
    flat = gradient.flatten(1)
    finite = torch.isfinite(flat).all(dim=1)
    present = finite & (flat != 0).any(dim=1)
    return GradientLook(len(images), int(present.sum()), int((~finite).sum()), "")


def holdings(classifier: Classifier) -> Holdings:
    """Return what the network is made of; a network that hides its weights (ONNX) holds none."""
    tensors = {**dict(classifier.network.named_parameters())}
    buffers = dict(classifier.network.named_buffers())
    kinds: dict[str, int] = {}
    bad = []
    for name, value in {**tensors, **buffers}.items():
        if value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            kinds[kind] = kinds.get(kind, 0) + value.numel()
            if not bool(torch.isfinite(value).all()):
                bad.append(name)
    return Holdings(
        parameters=sum(value.numel() for value in tensors.values()),
        bytes=sum(value.nbytes for value in (*tensors.values(), *buffers.values())),
        dtypes=tuple(sorted(kinds, key=lambda kind: -kinds[kind])),
        devices=tuple(sorted({str(v.device) for v in (*tensors.values(), *buffers.values())})),
        infinite=tuple(bad),
    )


def _equal(one: Tensor, other: Tensor) -> bool:
    # NaN is equal to itself here: broken weights are another check's.
    same = (one == other) | ((one != one) & (other != other))
    return bool(same.all())


def _gap(one: Tensor, other: Tensor) -> float:
    finite = torch.isfinite(one) & torch.isfinite(other)
    if not bool(finite.any()):
        return 0.0
    scale = float(one[finite].abs().max())
    return float((one[finite] - other[finite]).abs().max()) / max(scale, 1e-12)
