"""How many rows fit in one pass: measured on one image, bounded by a byte budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
    Without: the largest input + output of one step (leaf module, or operation where the modules
    are not the steps, as in TorchScript), times two for the allocator.

    Args:
        classifier: in eval mode.
        image: ``float[1, 3, height, width]``.
        gradient: whether a backward pass follows.
    """
    parameters = {p.untyped_storage().data_ptr() for p in classifier.parameters()}
    if gradient:
        saved: dict[int, int] = {}

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
    # A copy: the batch that the image was cut from shares its storage.
    probe = image[:1].detach().clone()
    seen = _by_modules(classifier, probe)
    return 2 * (_by_operations(classifier, probe, parameters) if seen is None else seen)


@torch.no_grad()
def _by_modules(classifier: Classifier, image: Images) -> int | None:
    """Return the largest input + output of one leaf module; None if modules are not the steps."""
    if any(isinstance(m, (torch.jit.ScriptModule, GraphModule)) for m in classifier.modules()):
        return None
    largest = 0

    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal largest
        held = [t for t in (*inputs, output) if isinstance(t, Tensor)]
        largest = max(largest, sum(t.nbytes for t in held))

    handles = [
        m.register_forward_hook(hook) for m in classifier.modules() if not list(m.children())
    ]
    try:
        classifier.forward(image)
    finally:
        for handle in handles:
            handle.remove()
    return max(largest, image.nbytes) if largest else None


@torch.no_grad()
def _by_operations(classifier: Classifier, image: Images, weights: set[int]) -> int:
    """Return the largest input + output of one operation, also in TorchScript and graphs."""
    with _Largest(image.nbytes, weights) as seen:
        classifier.forward(image)
    return seen.nbytes


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, also where no module's hook would be called."""

    def __init__(self, least: int, weights: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = least
        self.weights = weights

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation and note the bytes that it reads and writes, each storage once."""
        out = func(*args, **(kwargs or {}))
        held: dict[int, int] = {}
        for leaf in tree_leaves((args, kwargs, out)):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
                storage = leaf.untyped_storage()
                if storage.data_ptr() not in self.weights:
                    held[storage.data_ptr()] = storage.nbytes()
        self.nbytes = max(self.nbytes, sum(held.values()))
        return out


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
