"""Which layers of a classifier hold weights, in forward order, and how to make them random."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import nn

from sundog.core.errors import ModelStateError, UnknownNameError
from sundog.core.seeds import generator
from sundog.core.shapes import Images
from sundog.models.classifier import Classifier

How = Literal["normal", "permute"]
"""``normal``: N(mean, std) of the trained tensor. ``permute``: the trained values shuffled."""


@torch.no_grad()
def weight_stages(classifier: Classifier, image: Images) -> list[tuple[str, ...]]:
    """Return the layers with weights in forward order, each with the norms that follow it.

    A layer is a module with parameters of its own; one whose parameters are all one-dimensional
    (batch norm, layer norm) joins the layer before it. A module that is not called itself
    (attention projections) stands where the module around it is called.

    Args:
        classifier: in eval mode.
        image: ``float[1, 3, height, width]``, to see the order of calls.

    Returns:
        Dotted module names per stage, input side first.

    Raises:
        ModelStateError: the network has no weights that can be seen (ONNX).
    """
    called: dict[str, int] = {}
    modules = dict(classifier.named_modules())

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any) -> None:
            called.setdefault(name, len(called))

        return hook

    handles = [m.register_forward_pre_hook(note(name)) for name, m in modules.items()]
    try:
        classifier(image[:1])
    finally:
        for handle in handles:
            handle.remove()

    def place(name: str) -> int:
        while name not in called and name:
            name = name.rpartition(".")[0]
        return called.get(name, 0)

    owners = [n for n, m in modules.items() if list(m.parameters(recurse=False))]
    stages: list[list[str]] = []
    for name in sorted(owners, key=place):
        flat = all(p.ndim < 2 for p in modules[name].parameters(recurse=False))
        if flat and stages:
            stages[-1].append(name)
        else:
            stages.append([name])
    if not stages:
        raise ModelStateError(
            f"Classifier {classifier.name!r}",
            expected="a network with weights to randomise",
            got="none that can be seen",
            hint="An ONNX network hides its weights; use the original one.",
        )
    return [tuple(stage) for stage in stages]


@torch.no_grad()
def randomise(
    classifier: Classifier, layers: tuple[str, ...], *, how: How = "normal", seed: int = 0
) -> None:
    """Replace the parameters of some layers by random ones, in place; buffers stay.

    The random values of a parameter depend on the seed and its name alone.

    Args:
        classifier: it is changed: give a copy.
        layers: dotted module names.
        how: ``normal`` keeps each tensor's mean and standard deviation, ``permute`` its values.
        seed: same seed, same weights.

    Raises:
        UnknownNameError: unknown ``how`` or layer.
    """
    if how not in get_args(How):
        raise UnknownNameError("how", how, get_args(How))
    modules = dict(classifier.named_modules())
    for layer in layers:
        if layer not in modules:
            raise UnknownNameError("layer", layer, modules)
        for name, parameter in modules[layer].named_parameters(recurse=False):
            if not parameter.is_floating_point():
                continue
            rng = generator(seed, "randomise", layer, name)
            values = parameter.detach().cpu().double().flatten()
            if how == "permute":
                fresh = values[torch.randperm(values.numel(), generator=rng)]
            else:
                drawn = torch.randn(values.numel(), generator=rng, dtype=torch.float64)
                fresh = values.mean() + values.std(correction=0) * drawn
            parameter.copy_(fresh.view(parameter.shape))
