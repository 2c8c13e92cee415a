"""What a training does differently from plain cross-entropy: one object with a hook per decision.

The base class is plain training (ERM, empirical risk minimisation). A debiasing method changes the
order in which images are visited, the images, or the loss; a risk wrapper adds trained parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional as F

from sundog.core.seeds import generator
from sundog.core.shapes import Images, Labels, Logits
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions


@dataclass(frozen=True, eq=False)
class Step:
    """One batch on its way through the network.

    Attributes:
        images: ``float32[batch, 3, height, width]``, augmented, the cue planted, on the device.
        labels: ``int64[batch]``, on the device.
        indices: ``int64[batch]``, positions in the training set, on the CPU.
        ids: content hash of each image.
        epoch: 0-based.
        seed: depends on (seed of the run, epoch, step) alone: draw with
            ``generator(step.seed, "what for")``, so that a resumed run equals an uninterrupted one.
        flipped: ``bool[batch]``, whether the augmentation mirrored the image, on the CPU.
        shifts: ``int64[batch, 2]``, rows and columns of the shifted window, on the CPU: pixel
            (y, x) of the (mirrored) image is now at ``(y - shifts[0], x - shifts[1])``.
    """

    images: Images
    labels: Labels
    indices: Labels
    ids: tuple[str, ...]
    epoch: int
    seed: int
    flipped: Tensor
    shifts: Tensor

    def __len__(self) -> int:
        return len(self.ids)


class TrainingRecipe:
    """Plain training; a subclass overrides what it changes."""

    name = "erm"

    def describe(self) -> dict[str, Any]:
        """Return name and every parameter as JSON: part of the run's identity."""
        return {"name": self.name}

    def module(self) -> nn.Module | None:
        """Return trained parts beside the classifier; they join optimizer and checkpoint."""
        return None

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Take what the run is made of; called once, before the first epoch of this process.

        Args:
            classifier: the one that is trained, on its device, in eval mode.
            images: the training images, without the planted cue.
            options: hyper-parameters.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Prepare an epoch; the classifier is in eval mode and may be asked."""

    def order(self, epoch: int, count: int, seed: int) -> Int64[Tensor, "visited"]:
        """Return the positions to visit in this epoch, in order; here a permutation."""
        return torch.randperm(count, generator=generator(seed, "order", epoch))

    def change(self, step: Step) -> Step:
        """Return the batch that is trained on."""
        return step

    def loss(self, network: Callable[[Images], Logits], step: Step) -> Tensor:
        """Return the loss of a batch, a scalar; here the mean cross-entropy in nats.

        Args:
            network: the classifier in train mode.
            step: the batch.
        """
        return F.cross_entropy(network(step.images), step.labels)

    def after_step(self, step: Step) -> None:
        """Take note of a finished step."""

    def state(self) -> dict[str, Tensor]:
        """Return what must be remembered between epochs beside :meth:`module`, for a resume."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""

    def notes(self) -> dict[str, Any]:
        """Return JSON values about the last epoch, kept in the history."""
        return {}
