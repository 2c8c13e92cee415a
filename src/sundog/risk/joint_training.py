"""Risk methods trained together with the classifier: one pass, cross-entropy plus their losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sundog.core.errors import LayerError
from sundog.core.seeds import generator
from sundog.core.shapes import Images, Logits
from sundog.models.classifier import Classifier
from sundog.models.feature_table import forward_features
from sundog.models.head import Head, read_head
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step, TrainingRecipe
from sundog.risk.estimator import Passed, Trained


class JointTraining(TrainingRecipe):
    """``cross-entropy + sum of the methods' losses``, on the features of the same pass.

    Args:
        estimators: built at the start of the run, on features of the classifier as it is then.
    """

    name = "joint_risk"

    def __init__(self, estimators: list[Trained]) -> None:
        self.estimators = estimators
        self.parts = nn.ModuleDict()
        self._passed: Passed | None = None
        self._epochs = 1

    def describe(self) -> dict[str, Any]:
        """Return the methods and their settings."""
        methods = {e.name: e.settings() for e in self.estimators}
        return {"name": self.name, "methods": methods}

    def module(self) -> nn.Module:
        """Return the methods' trained parts."""
        return self.parts

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Build the parts."""
        self.classifier, self._epochs = classifier, options.epochs
        for estimator in self.estimators:
            estimator.check_labels(torch.from_numpy(images.image_set.labels))
            self.parts[estimator.name] = build_parts(
                estimator, classifier, image_size=images.image_size, seed=options.seed
            )

    def begin_epoch(self, epoch: int) -> None:
        """Tell the methods how far the training is."""
        for estimator in self.estimators:
            estimator.begin_epoch(epoch, self._epochs)

    def loss(self, network: Callable[[Images], Logits], step: Step) -> Tensor:
        """Return cross-entropy plus the methods' losses."""
        features, logits = forward_features(self.classifier, step.images, network=network)
        passed = Passed(
            features=features, logits=logits, images=step.images, classifier=self.classifier
        )
        total = F.cross_entropy(logits, step.labels)
        for estimator in self.estimators:
            draw = generator(step.seed, "risk", estimator.name)
            total = total + estimator.loss(passed, step.labels, draw)
        self._passed = passed
        return total

    def after_step(self, step: Step) -> None:
        """Let the methods take note of the step."""
        if self._passed is None:
            return
        for estimator in self.estimators:
            estimator.after_step(self._passed, step.labels)
        self._passed = None


def build_parts(
    estimator: Trained, classifier: Classifier, *, image_size: tuple[int, int], seed: int
) -> nn.Module:
    """Build a method's trained parts for a classifier, on its device."""
    head = head_or_none(classifier)
    probe = torch.zeros((1, 3, *image_size), device=classifier.device)
    with torch.no_grad():
        features, logits = forward_features(classifier, probe)
    parts = estimator.build(
        features=features.shape[1],
        classes=logits.shape[1],
        image_size=image_size,
        head=head,
        seed=seed,
    )
    return parts.to(classifier.device)


def head_or_none(classifier: Classifier) -> Head | None:
    """Return the linear head, or None where a network has none; methods that need it say so."""
    try:
        return read_head(classifier)
    except LayerError:
        return None
