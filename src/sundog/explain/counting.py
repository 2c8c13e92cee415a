"""Counting the rows that go forward and backward through a classifier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sundog.models.classifier import Classifier


@dataclass
class Rows:
    """How many rows went through the classifier so far."""

    forward: int = 0
    backward: int = 0


_WATCHED: ContextVar[tuple[tuple[Classifier, Rows], ...]] = ContextVar("watched", default=())


def count_backward(classifier: Classifier, rows: int) -> None:
    """Count rows that went backward without autograd, which alone calls the hook."""
    for watched, count in _WATCHED.get():
        if watched is classifier:
            count.backward += rows


@contextmanager
def count_rows(classifier: Classifier) -> Iterator[Rows]:
    """Count the rows that go through the classifier in the block; the hook is gone afterwards."""
    rows = Rows()

    def seen_backward(gradient: Tensor) -> None:
        rows.backward += len(gradient)

    def seen_forward(_module: Any, _inputs: Any, logits: Tensor) -> None:
        rows.forward += len(logits)
        if logits.requires_grad:
            logits.register_hook(seen_backward)  # type: ignore[no-untyped-call]

    handle = classifier.register_forward_hook(seen_forward)
    token = _WATCHED.set((*_WATCHED.get(), (classifier, rows)))
    try:
        yield rows
    finally:
        _WATCHED.reset(token)
        handle.remove()
