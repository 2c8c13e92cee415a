"""Dropout by hooks on a network in eval mode: one mask per layer, the same for every image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError, LayerError
from sundog.core.seeds import generator
from sundog.core.shapes import Images
from sundog.models.classifier import Classifier
from sundog.models.layers import INPUT, capture

ELEMENTWISE = (nn.Dropout, nn.AlphaDropout)
CHANNELWISE = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)
ALPHA = (nn.AlphaDropout, nn.FeatureAlphaDropout)
SELU_FLOOR = -1.7580993408473766
"""What SELU tends to for very negative inputs; alpha dropout puts it in place of a dropped unit."""
PROBES = (2, 3)
"""Images of the two probe passes: the axis that grows from 2 to 3 is that of the images."""


@dataclass(frozen=True, eq=False)
class DropoutCall:
    """One run of a dropout layer within a pass.

    Attributes:
        layer: dotted name.
        index: 0 for the first run of the layer in the pass, and so on.
        module: the layer.
        rate: share that is dropped, in (0, 1].
        axis: of its output along which images lie; None if it does not depend on their number.
    """

    layer: str
    index: int
    module: nn.Module
    rate: float
    axis: int | None


def dropout_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the dropout layers with a rate above 0, by dotted name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, ELEMENTWISE + CHANNELWISE) and module.p > 0
    }


def dropout_calls(classifier: Classifier, image: Images) -> tuple[DropoutCall, ...]:
    """Return the runs of dropout layers in one pass, with the axis of the images of each.

    Args:
        classifier: in eval mode.
        image: ``float[1, 3, height, width]``; shown two and three times.

    Raises:
        InputError: a layer that sees the images along several axes, or another number of runs for
            another number of images.
    """
    layers = dropout_layers(classifier)
    shapes: list[dict[tuple[str, int], tuple[int, ...]]] = []
    for count in PROBES:
        seen: dict[tuple[str, int], tuple[int, ...]] = {}

        def note(
            name: str,
            call: int,
            output: Tensor,
            seen: dict[tuple[str, int], tuple[int, ...]] = seen,
        ) -> None:
            seen[name, call] = tuple(output.shape)

        with _hooked(layers, note), torch.no_grad():
            classifier(image.expand(count, -1, -1, -1))
        shapes.append(seen)
    few, more = shapes
    if list(few) != list(more):
        raise InputError(
            "Dropout layers",
            expected="run as often for 3 images as for 2",
            got=f"{len(few)} and {len(more)} runs",
            hint="The network treats images one by one; give it rate=..., or use 'laplace'.",
        )
    found = []
    for name, call in few:
        axis = _image_axis(name, few[name, call], more[name, call])
        module = layers[name]
        found.append(DropoutCall(name, call, module, rate=_rate(module), axis=axis))
    return tuple(found)


def _rate(module: nn.Module) -> float:
    return float(module.p)  # type: ignore[arg-type]


def _image_axis(name: str, few: Sequence[int], more: Sequence[int]) -> int | None:
    changed = [i for i, (a, b) in enumerate(zip(few, more, strict=False)) if a != b]
    if not changed and len(few) == len(more):
        return None
    exact = len(few) == len(more) and len(changed) == 1
    if not exact or few[changed[0]] * PROBES[1] != more[changed[0]] * PROBES[0]:
        raise InputError(
            f"Dropout layer {name!r}",
            expected="with the images along one axis of its output",
            got=f"{tuple(few)} for 2 images and {tuple(more)} for 3",
            hint="One mask for all images cannot be drawn; give rate=..., or use 'laplace'.",
        )
    return changed[0]


def affine_noise(
    call: DropoutCall, shape: Sequence[int], *, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return (scale, shift) of one drawn mask: the layer's output is ``scale * x + shift``.

    Plain dropout: ``scale = kept / (1 - p)``, ``shift = 0``. Alpha dropout, with
    ``a = ((1 - p) (1 + p c^2))^(-1/2)`` and c = -1.758...: ``scale = a kept``,
    ``shift = a c (1 - kept) - a c p``. Layers for channels draw one number for each channel (the
    axis after the first).

    Args:
        call: run of a dropout layer.
        shape: of the mask, 1 along the images.
        draw: CPU generator.

    Source:
        Srivastava et al., 2014, JMLR 15; Klambauer et al., 2017, arXiv 1706.02515.
    """
    module, rate = call.module, call.rate
    size = list(shape)
    if isinstance(module, CHANNELWISE):
        size = [length if axis < 2 else 1 for axis, length in enumerate(size)]
    kept = (torch.rand(size, generator=draw) >= rate).float()
    if isinstance(module, ALPHA):
        if rate == 1:
            return torch.zeros(size), torch.zeros(size)
        a = 1 / math.sqrt((1 - rate) * (1 + rate * SELU_FLOOR**2))
        return a * kept, a * SELU_FLOOR * (1 - kept) - a * SELU_FLOOR * rate
    return (kept / (1 - rate) if rate < 1 else torch.zeros(size)), torch.zeros(size)


@contextmanager
def thinned(
    classifier: Classifier,
    calls: Sequence[DropoutCall],
    *,
    draw: Callable[[str, int], torch.Generator],
) -> Iterator[None]:
    """Thin the network inside the block; modes, statistics and hooks are as before afterwards.

    Args:
        classifier: stays in eval mode.
        calls: from :func:`dropout_calls`.
        draw: the generator of a mask, from the layer's name and the run's index.

    Raises:
        LayerError: a layer that runs more often than in the probe.
    """
    known = {(call.layer, call.index): call for call in calls}

    def thin(name: str, index: int, output: Tensor) -> Tensor:
        call = known.get((name, index))
        if call is None:
            raise LayerError(
                f"Dropout layer {name!r}", expected="run as often in every pass", got="more often"
            )
        shape = [1 if axis == call.axis else n for axis, n in enumerate(output.shape)]
        scale, shift = affine_noise(call, shape, draw=draw(name, index))
        return output * scale.to(output) + shift.to(output)

    with _hooked({call.layer: call.module for call in calls}, thin):
        yield


@torch.no_grad()
def is_at_head(
    classifier: Classifier,
    call: DropoutCall,
    image: Images,
) -> bool:
    """Return whether the only dropout acts on the vector that goes into the linear head.

    Shown by passes in which half of it is dropped: the head's input with the mask must be the mask
    times its input without.

    Args:
        classifier: in eval mode.
        call: the only run of a dropout layer.
        image: ``float[1, 3, height, width]``.
    """
    layer = classifier.feature_layer
    if layer is None or call.axis != 0 or not layer.endswith(INPUT):
        return False
    pair = image.expand(2, -1, -1, -1)
    with capture(classifier, layer) as captured:
        classifier(pair)
    whole = captured.one(layer)
    if whole.ndim != 2:
        return False
    halved = replace(call, rate=0.5)
    for attempt in range(PROBES[1]):

        def draw(name: str, index: int, attempt: int = attempt) -> torch.Generator:
            return generator(attempt, "dropout probe", name, index)

        with thinned(classifier, (halved,), draw=draw), capture(classifier, layer) as captured:
            classifier(pair)
        found = captured.one(layer)
        scale, shift = affine_noise(halved, (1, whole.shape[1]), draw=draw(call.layer, call.index))
        if scale.shape != (1, whole.shape[1]):
            return False
        expected = whole * scale.to(whole) + shift.to(whole)
        if found.shape != whole.shape or not torch.allclose(found, expected, rtol=1e-5):
            return False
    return True


@contextmanager
def _hooked(
    layers: dict[str, nn.Module], act: Callable[[str, int, Tensor], Tensor | None]
) -> Iterator[None]:
    """Call ``act(name, run, output)`` after each run; what it returns takes the output's place."""
    runs = dict.fromkeys(layers, 0)

    def make(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor | None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
            runs[name] += 1
            return act(name, runs[name] - 1, output)

        return hook

    handles = [module.register_forward_hook(make(name)) for name, module in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
