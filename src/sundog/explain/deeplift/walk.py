"""Backwards along two tapes: from the scalar to the multiplier of every pixel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sundog.core.errors import ModelStateError
from sundog.explain.deeplift.call import Call
from sundog.explain.deeplift.rules import expand, find_rule, ignores, keeps
from sundog.explain.deeplift.tape import Recorder, Tape, record


def make_tape(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tape:
    """Run ``function`` on ``rows`` and keep what the rules will need."""
    recorder = Recorder(Tape(rows=len(rows)), keeps=keeps, expand=expand, ignores=ignores)
    return record(function, rows, recorder)


def same_path(image: Tape, base: Tape) -> bool:
    """Tell whether both passes ran the same operations on the same values."""
    ran = [[(s.op, s.inputs, s.outputs) for s in tape.steps] for tape in (image, base)]
    return ran[0] == ran[1]


def stands_for_all(image: Tape, base: Tape) -> bool:
    """Tell whether each value of a one-row baseline broadcasts to the image's rows.

    It does not where a network merges the images with another axis (windows, heads).
    """
    return same_path(image, base) and all(
        tensor.ndim == base.values[value].ndim
        and all(b in (1, a) for a, b in zip(tensor.shape, base.values[value].shape, strict=True))
        for value, tensor in image.values.items()
    )


def check_same_path(image: Tape, base: Tape) -> None:
    """Refuse a network that ran other operations on the image than on the baseline."""
    if not same_path(image, base):
        raise ModelStateError(
            "DeepLIFT",
            expected="used with a network that takes the same steps for every image",
            got="a network that branched differently for the image and for the baseline",
            hint="Use integrated_gradients.",
        )


@torch.no_grad()
def multipliers(image: Tape, base: Tape, grad: Tensor) -> Tensor:
    """Return the multiplier of every input element, given that of the output.

    Args:
        image: tape of the images, n rows.
        base: tape of the baseline, n rows or one row that stands for all.
        grad: ``float`` in the shape of the images' result.

    Returns:
        In the shape of the images' input: ``scalar difference per unit of input difference``.

    Raises:
        ModelStateError: an operation without a rule, named.
    """
    pending: dict[int, Tensor] = {}
    if image.output is not None:
        pending[image.output] = grad
    for step in reversed(image.steps):
        grads = [pending.pop(value, None) for value in step.outputs]
        if all(g is None for g in grads):
            continue
        call = Call(step=step, image=image, base=base, grads=grads)
        entry = find_rule(step.op)
        if entry is None:
            raise call.unsupported("it is not in the table of rules")
        with torch.autocast(grad.device.type, enabled=False):
            found = entry.rule(call)
        for ref, multiplier in found:
            if ref.value in pending:
                pending[ref.value] = pending[ref.value] + multiplier
            else:
                pending[ref.value] = multiplier
    start = image.metas[0]
    if 0 not in pending:
        return torch.zeros(start.shape, dtype=start.dtype, device=start.device)
    return pending[0].to(start.dtype)
