"""What an explanation costs: rows that pass forward and backward through the network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sundog.models.classifier import Classifier


@dataclass
class PassCount:
    """Rows through the network while the counter was on.

    Attributes:
        forwards: rows that went forward.
        backwards: rows whose output received a gradient.
        seconds: wall time.
    """

    forwards: float = 0.0
    backwards: float = 0.0
    seconds: float = 0.0

    @property
    def equivalents(self) -> float:
        """Forward-equivalents: a backward pass to the input has the multiplications of one more."""
        return self.forwards + self.backwards


@contextmanager
def count_passes(classifier: Classifier) -> Iterator[PassCount]:
    """Count the rows that pass through the classifier's network; its hooks go, errors or not.

    Calls of single layers are not seen; a method that runs the network layer by layer should
    report its own counts (see :func:`~sundog.faithfulness.run.evaluate_faithfulness`).
    """
    count = PassCount()

    def backward(gradient: Tensor) -> None:
        count.backwards += len(gradient)

    def forward(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        count.forwards += len(inputs[0])
        tensor = output if isinstance(output, Tensor) else getattr(output, "logits", None)
        if isinstance(tensor, Tensor) and tensor.requires_grad:
            tensor.register_hook(backward)  # type: ignore[no-untyped-call]

    handle = classifier.network.register_forward_hook(forward)
    started = time.perf_counter()
    try:
        yield count
    finally:
        count.seconds = time.perf_counter() - started
        handle.remove()
