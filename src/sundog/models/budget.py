"""How many rows fit in one pass: measured on one image, bounded by a byte budget."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.shapes import Images
from sundog.models.classifier import Classifier

DEFAULT_BUDGET = 1 << 28
"""Bytes of activations that one pass may hold (256 MiB).

More is slower on a CPU, where a pass is bound by memory: ResNet-18 at 224 pixels takes 54
milliseconds per image forward and backward in passes of 8 rows (0.2 GiB) and 68 in passes of 32."""
CPU_FORWARD_BYTES = 96 << 20
"""Bytes that a forward pass without gradient takes at most on a CPU (96 MiB).

Beyond the caches more rows cost time: EfficientNet-lite0 at 224 pixels takes 19 milliseconds per
image in passes of 4 rows, 34 in passes of 16; ResNet-18 27 in passes of 8, 35 in passes of 32."""
MAX_ROWS = 64
"""More rows than this per pass bring no speed."""
_MEASURED: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], int]] = WeakKeyDictionary()
"""Bytes per image of each living network, so that one is measured once per image size."""


def bytes_per_image(classifier: Classifier, image: Images, *, gradient: bool) -> int:
    """Return the bytes of activations that a pass over one image holds.

    With ``gradient``: every tensor that autograd saves for the backward pass, each storage once.
    Without: the largest input + output of one leaf module, times two for the allocator.

    Args:
        classifier: in eval mode.
        image: ``float[1, 3, height, width]``.
        gradient: whether a backward pass follows.
    """
    if gradient:
        saved: dict[int, int] = {}
        parameters = {p.untyped_storage().data_ptr() for p in classifier.parameters()}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in parameters:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        probe = image[:1].detach().clone().requires_grad_()
        with (
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        ):
            # Not classifier(probe): who counts passes with a hook does not count this one.
            out = classifier.forward(probe)
        total = sum(saved.values())
        del out
        return max(total, image[:1].nbytes)
    largest = image[:1].nbytes

    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal largest
        held = [t for t in (*inputs, output) if isinstance(t, Tensor)]
        largest = max(largest, sum(t.nbytes for t in held))

    handles = [
        m.register_forward_hook(hook) for m in classifier.modules() if not list(m.children())
    ]
    try:
        with torch.no_grad():
            classifier.forward(image[:1])
    finally:
        for handle in handles:
            handle.remove()
    return 2 * largest


def rows_per_pass(
    classifier: Classifier,
    images: Images,
    *,
    gradient: bool,
    budget: int = DEFAULT_BUDGET,
    wanted: int | None = None,
) -> int:
    """Return how many rows of this size one pass may take, at least 1 and at most 64.

    ``wanted`` is the number of rows there are, if known: a single row needs no measurement.
    """
    if budget <= 0:
        raise InputError("budget", expected="a positive number of bytes", got=str(budget))
    if wanted == 1:
        return 1
    known = _MEASURED.setdefault(classifier.network, {})
    key = (tuple(images.shape[1:]), images.dtype, images.device, gradient)
    if key not in known:
        known[key] = bytes_per_image(classifier, images, gradient=gradient)
    if not gradient and images.device.type == "cpu":
        budget = min(budget, CPU_FORWARD_BYTES)
    return int(max(1, min(MAX_ROWS, budget // known[key])))
