"""Finding the feature layer and the Grad-CAM layer of any network with one probe image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError, LayerError, first_line
from sundog.core.seeds import generator
from sundog.models.classifier import Classifier
from sundog.models.layers import INPUT
from sundog.models.tokens import to_feature_map

PROBE_SIZES = ((224, 224), (64, 64), (32, 32), (28, 28))
"""Tried in this order for a network that does not say its input size."""
NO_MAP = ("pool", "dropout", "droppath", "identity", "softmax", "flatten", "embedding")
"""A module whose class name contains one of these is never the Grad-CAM layer."""


@dataclass(frozen=True)
class Discovered:
    """What one probe image showed.

    Attributes:
        classes: number of columns of the network's output (before a subset is taken).
        head: the last linear layer, or ``None``.
        feature_layer: ``"<head>:input"``, or ``None``.
        cam_layer: the last layer that returns a map on which the decision depends, or ``None``.
    """

    classes: int
    head: str | None
    feature_layer: str | None
    cam_layer: str | None


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    inputs: Tensor | None
    output: Tensor


def discover(classifier: Classifier, *, image_size: tuple[int, int] | None = None) -> Discovered:
    """Run one probe image and find head, feature layer and Grad-CAM layer.

    The head is the last linear layer (or 1 x 1 convolution) with as many outputs as the network
    has classes; features are its input. The Grad-CAM layer is the last module,
    called once, that returns a map of the image (:func:`to_feature_map`) larger than 1 x 1 on
    which the features depend: a gradient with respect to the map must not vanish. So pooling
    drops out, and in a transformer with a class token so does everything after the last
    attention, where no gradient reaches the patches; among tokens the last norm or whole block
    is taken, which is the norm before the last attention.

    Args:
        classifier: in eval mode; left as it was.
        image_size: (height, width) of the probe; ``classifier.input_size`` if None.

    Raises:
        InputError: the network does not run on the probe image.
    """
    classifier.require_eval()
    size = image_size or classifier.input_size
    sizes = (size,) if size is not None else PROBE_SIZES
    reasons: list[str] = []
    for side in sizes:
        try:
            return _probe(classifier, side)
        except (RuntimeError, ValueError, AssertionError) as error:
            if isinstance(error, LayerError):
                raise
            reasons.append(f"{side[0]} x {side[1]}: {first_line(error, 120)}")
    raise InputError(
        "The network",
        expected="one that runs on an image batch [1, 3, height, width]",
        got="; ".join(reasons),
        hint="Pass input_size=(height, width), or channels=1 for a grey network.",
    )


def _probe(classifier: Classifier, size: tuple[int, int]) -> Discovered:
    draw = generator(0, "probe", *size)
    image = torch.rand((1, 3, *size), generator=draw).to(classifier.device)
    # The layers of a TorchScript network run outside Python: they have no hooks.
    names = {
        module: name
        for name, module in classifier.network.named_modules()
        if name and not isinstance(module, torch.jit.ScriptModule)
    }
    calls: list[_Call] = []
    counts: dict[nn.Module, int] = {}

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        counts[module] = counts.get(module, 0) + 1
        # Only what :func:`capture` can record: a module that returns an object is no candidate.
        first = output[0] if type(output) in (tuple, list) and output else output
        given = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        if isinstance(first, Tensor):
            calls.append(_Call(names[module], module, given, first))

    handles = [module.register_forward_hook(hook) for module in names]
    leaf = image.requires_grad_(classifier.differentiable)
    try:
        with torch.enable_grad():
            out = classifier.raw_output(leaf)
    finally:
        for handle in handles:
            handle.remove()
    classes = out.shape[1]
    once = [call for call in calls if counts[call.module] == 1]
    head = _find_head(once, classes)
    feature = out if head is None or head.inputs is None else head.inputs
    cam = _find_cam_layer(once, feature, size) if classifier.differentiable else None
    name = head.name if head is not None else None
    return Discovered(
        classes=classes,
        head=name,
        feature_layer=f"{name}{INPUT}" if name is not None else None,
        cam_layer=cam,
    )


def _find_head(calls: list[_Call], classes: int) -> _Call | None:
    for call in reversed(calls):
        # By shape, not by type: the layers of an exported program have types of their own.
        weight = getattr(call.module, "weight", None)
        if not isinstance(weight, Tensor) or weight.shape[:1] != (classes,):
            continue
        linear = weight.ndim == 2 and call.output.ndim == 2
        pointwise = weight.ndim == 4 and weight.shape[2:] == (1, 1)
        if (linear or pointwise) and call.output.shape[1] == classes:
            return call
    return None


def _is_pooling(call: _Call) -> bool:
    """Return whether a layer is pooling: by name, or a layer without weights that shrinks maps."""
    if "pool" in type(call.module).__name__.lower():
        return True
    if any(True for _ in call.module.children()) or any(True for _ in call.module.parameters()):
        return False
    given = call.inputs
    if given is None or given.ndim != 4 or call.output.ndim != 4:
        return False
    return call.output.numel() < given.numel()


def _find_cam_layer(calls: list[_Call], feature: Tensor, size: tuple[int, int]) -> str | None:
    """Return the name of the last map on which a random sum of the features depends."""
    pooled = {id(call.output) for call in calls if _is_pooling(call)}
    candidates = [
        call
        for call in calls
        if call.output.requires_grad
        and id(call.output) not in pooled
        and not any(word in type(call.module).__name__.lower() for word in NO_MAP)
        and _map_of(call.output, size) is not None
    ]
    if not candidates or not feature.requires_grad:
        return None
    weights = torch.randn(feature.shape, generator=generator(0, "features")).to(feature)
    gradients = torch.autograd.grad(
        (feature * weights).sum(), [call.output for call in candidates], allow_unused=True
    )
    live = [
        call
        for call, gradient in zip(candidates, gradients, strict=True)
        if gradient is not None and bool((to_feature_map(gradient, size) != 0).any())
    ]
    if not live:
        return None
    if live[-1].output.ndim == 3:
        # Among tokens: not the query or the hidden layer of a block, but a norm or a whole block.
        live = [call for call in live if _is_norm_or_block(call.module)] or live
    return live[-1].name


def _is_norm_or_block(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() or any(True for _ in module.children())


def _map_of(output: Tensor, size: tuple[int, int]) -> Tensor | None:
    if output.shape[0] != 1 or not output.is_floating_point():
        return None
    try:
        found = to_feature_map(output, size)
    except LayerError:
        return None
    rows, columns = found.shape[2:]
    inside = rows <= size[0] and columns <= size[1]
    return found if inside and rows * columns > 1 else None
