"""Taking a bare network where a classifier is expected, without touching its state."""

from __future__ import annotations

from typing import Any

from torch import nn

from sundog.models.classifier import Classifier


def as_classifier(model: nn.Module, *, fabric: Any = None) -> Classifier:
    """Return the classifier itself, or a bare network as one: no normalisation, logits.

    Args:
        model: a classifier or a network that takes ``[batch, 3, height, width]``. Modules in train
            mode stay so, to be refused when the classifier is asked.
        fabric: moves the model to the fabric's device; None leaves it where it is.
    """
    if isinstance(model, Classifier):
        classifier = model
    else:
        modes = {module: getattr(module, "training", False) for module in model.modules()}
        classifier = Classifier(model, name=type(model).__name__)
        for module, training in modes.items():
            module.training = training
        weights = next(model.parameters(), None)
        if weights is not None:
            classifier.to(weights.device)
    return classifier if fabric is None else classifier.to(fabric.device)
