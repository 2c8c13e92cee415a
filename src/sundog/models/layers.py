"""Finding a layer by name and reading or cutting its output, with hooks that never stay behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sundog.core.errors import LayerError, UnknownNameError

INPUT = ":input"
"""Suffix of a layer name: what goes into the layer, not what comes out (``fc:input``)."""


def find_layer(classifier: nn.Module, layer: str | nn.Module) -> nn.Module:
    """Return the module called ``layer`` (dotted name, with or without the ``network.`` prefix).

    A name that ends in ``:input`` finds the layer before the suffix.

    Raises:
        UnknownNameError: no such layer; suggests the nearest names.
        LayerError: a module that is not part of the classifier.
    """
    modules = dict(classifier.named_modules())
    if isinstance(layer, nn.Module):
        if not any(layer is module for module in modules.values()):
            raise LayerError(
                "layer",
                expected="a module of the classifier",
                got=f"a {type(layer).__name__} that is not part of it",
                hint="Take it from classifier.network, not from a copy.",
            )
        return layer
    layer = layer.removesuffix(INPUT)
    for name in (f"network.{layer}", layer):
        if name in modules and name:
            return modules[name]
    names = [n.removeprefix("network.") for n in modules if n not in ("", "network")]
    raise UnknownNameError("layer", layer, names)


@dataclass
class Captured:
    """What one layer returned during the passes inside :func:`capture`."""

    outputs: list[Tensor] = field(default_factory=list)

    def one(self, layer: object) -> Tensor:
        """Return the output of the only call.

        Raises:
            LayerError: the layer did not run, or ran more than once in the pass.
        """
        if not self.outputs:
            raise LayerError(
                f"Layer {layer!r}",
                expected="one that runs in the forward pass",
                got="a layer that was not called",
                hint="Name another layer.",
            )
        if len(self.outputs) > 1:
            raise LayerError(
                f"Layer {layer!r}",
                expected="called once per forward pass",
                got=f"{len(self.outputs)} calls",
                hint="A reused module has no single output; name the block around one of its uses.",
            )
        return self.outputs[0]


@contextmanager
def capture(
    classifier: nn.Module, layer: str | nn.Module, *, cut: bool = False
) -> Iterator[Captured]:
    """Record what ``layer`` returns; the hook is gone afterwards, also after an error.

    The network goes on with a copy, so that an in-place activation after the layer does not
    change what was recorded and gradients with respect to the record are right.

    Args:
        classifier: the network to listen to.
        layer: name or module; a name that ends in ``:input`` records the layer's first input.
        cut: detach the record from what came before and make it a leaf that requires a gradient,
            so that a backward pass stops there. Gradients are turned on from the layer onwards,
            so the pass may begin in ``torch.no_grad()``, which saves the memory of what is before.
    """
    captured = Captured()

    def keep(value: Any) -> Any:
        first = value[0] if isinstance(value, (tuple, list)) and value else value
        if not isinstance(first, Tensor):
            raise LayerError(
                f"Layer {layer!r}",
                expected="one with a tensor to record",
                got=type(value).__name__,
                hint="Name another layer.",
            )
        if cut:
            torch.set_grad_enabled(True)
            first = first.detach().requires_grad_()
        captured.outputs.append(first)
        if isinstance(value, (tuple, list)):
            return type(value)([first.clone(), *value[1:]])
        return first.clone()

    module = find_layer(classifier, layer)
    if isinstance(layer, str) and layer.endswith(INPUT):
        handle = module.register_forward_pre_hook(lambda _module, inputs: keep(inputs))
    else:
        handle = module.register_forward_hook(lambda _module, _inputs, output: keep(output))
    try:
        yield captured
    finally:
        handle.remove()
