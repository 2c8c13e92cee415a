"""One step seen from both passes: what a rule is given when it runs backwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sundog.core.errors import ModelStateError
from sundog.explain.deeplift.tape import Meta, Ref, Step, Tape, leaves

Multipliers = Sequence[tuple[Ref, Tensor]]
"""For each argument that depends on the image: difference of the scalar per unit of difference."""


@dataclass(frozen=True, eq=False)
class Call:
    """A step of the image's pass beside the same step of the baseline's pass.

    Attributes:
        step: as recorded for the image.
        image: the image's tape.
        base: the baseline's tape; its values have the image's shape, or one row that stands for
            all rows.
        grads: the multiplier of each output of the step; None where nothing depends on it.
    """

    step: Step
    image: Tape
    base: Tape
    grads: Sequence[Tensor | None]

    @property
    def grad(self) -> Tensor:
        """The multiplier of the first output, in the precision in which rules compute."""
        first = self.grads[0]
        if first is None:
            raise self.unsupported("only a secondary output is used")
        return wide(first)

    @property
    def refs(self) -> list[Ref]:
        """The arguments that depend on the image."""
        return [leaf for leaf in leaves((self.step.args, self.step.kwargs)) if type(leaf) is Ref]

    def meta(self, ref: Ref) -> Meta:
        """Return the layout of an argument in the image's pass."""
        return self.image.metas[ref.value]

    def rows(self, ref: Ref) -> tuple[Tensor, Tensor]:
        """Return the argument's value for the image and for the baseline, as they are held."""
        return wide(self.image.values[ref.value]), wide(self.base.values[ref.value])

    def pair(self, ref: Ref) -> tuple[Tensor, Tensor]:
        """Return the argument's value for the image and for the baseline, in one shape."""
        value, reference = self.rows(ref)
        return value, reference.expand_as(value)

    def result(self, output: int) -> tuple[Tensor, Tensor]:
        """Return an output of the step for the image and for the baseline, in one shape."""
        value = self.image.values[self.step.outputs[output]]
        reference = self.base.values[self.step.outputs[output]]
        return value, reference.expand_as(value)

    def middle(self, argument: Any) -> Any:
        """Return (z + z') / 2 for an argument that depends on the image, else the argument."""
        if type(argument) is Ref:
            value, reference = self.pair(argument)
            return (value + reference) / 2
        return wide(argument) if isinstance(argument, Tensor) else argument

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument of the image's pass, given by position or by name, or its default."""
        if position < len(self.step.args):
            return self.step.args[position]
        return self.step.kwargs.get(name, default)

    def only(self, *positions: int) -> None:
        """Refuse the step unless just the arguments at these positions depend on the image."""
        for position, argument in enumerate(self.step.args):
            if position not in positions and any(type(leaf) is Ref for leaf in leaves(argument)):
                raise self.unsupported(f"its argument {position} depends on the image")
        if any(type(leaf) is Ref for leaf in leaves(self.step.kwargs)):
            raise self.unsupported("a keyword argument depends on the image")

    def unsupported(self, why: str) -> ModelStateError:
        """Return the error that names this operation."""
        return ModelStateError(
            f"DeepLIFT has no rule for the operation {self.step.name!r} of this network ({why})",
            hint="Use integrated_gradients, which needs only gradients.",
        )


Rule = Callable[[Call], Multipliers]


def wide(tensor: Tensor) -> Tensor:
    """Return the tensor in float32 if its type is narrower; differences need the digits."""
    if tensor.dtype in (torch.float16, torch.bfloat16, torch.bool):
        return tensor.float()
    return tensor


def fold_to(grad: Tensor, shape: torch.Size) -> Tensor:
    """Sum over the axes along which an argument was broadcast."""
    return grad.sum_to_size(shape) if grad.shape != shape else grad


def divide(numerator: Tensor, denominator: Tensor, otherwise: Tensor) -> Tensor:
    """Return numerator / denominator, and ``otherwise`` where the denominator is 0."""
    zero = denominator == 0
    return torch.where(zero, otherwise, numerator / denominator.masked_fill(zero, 1))
