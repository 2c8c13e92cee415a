"""One epoch of training on Lightning Fabric, the same whatever happened before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.nn import functional as F

from sundog.core.errors import ModelStateError
from sundog.core.seeds import derive_seed, generator
from sundog.data.planting import Cue
from sundog.models.augment import augment_images, augmentation_draws
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions


class TrainingLoop:
    """The moving parts of a run: wrapped classifier, optimizer, images.

    Args:
        classifier: trained in place; in eval mode between the steps.
        options: hyper-parameters.
        images: the training images.
        cue: planted in each image, after augmentation; None for none.
        place: device, which this machine must have.
    """

    def __init__(
        self,
        classifier: Classifier,
        options: TrainingOptions,
        images: PreparedImages,
        cue: Cue | None,
        place: torch.device,
    ) -> None:
        self.classifier = classifier
        self.options = options
        self.images = images
        self.cue = cue
        devices: Any = 1 if place.index is None else [place.index]
        self.fabric = Fabric(accelerator=place.type, devices=devices, precision=options.precision)
        self.optimizer = options.make_optimizer(classifier)
        self.wrapped, self.step = self.fabric.setup(classifier, self.optimizer)

    def epoch(self, epoch: int) -> Iterator[tuple[float, int]]:
        """Train one epoch; yield (mean loss so far, images seen) after each step."""
        options, count = self.options, len(self.images)
        order = torch.randperm(count, generator=generator(options.seed, "order", epoch))
        draws = augmentation_draws(count, seed=options.seed, epoch=epoch)
        total, seen = 0.0, 0
        for step, batch in enumerate(self.images.batches(order, batch_size=options.batch_size)):
            if len(batch) == 1 and seen:
                continue  # batch norm has no variance of one image; it comes again next epoch
            images = augment_images(batch.images, batch.indices, draws, augment=options.augment)
            if self.cue is not None:
                images = self.cue.plant(images, batch.labels, batch.ids).images
            rate = options.learning_rate_at((epoch + seen / count) / options.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            with self._training(derive_seed(options.seed, "dropout", epoch, step)):
                logits = self.wrapped(images.to(self.fabric.device))
                loss = F.cross_entropy(logits, batch.labels.to(self.fabric.device))
                self.step.zero_grad()
                self.fabric.backward(loss)
                self.step.step()
            value = float(loss.detach())
            if not math.isfinite(value):
                raise ModelStateError(
                    f"The training loss in epoch {epoch + 1}",
                    expected="finite",
                    got=str(value),
                    hint=f"Lower learning_rate (now {options.learning_rate:g}).",
                )
            total += value * len(batch)
            seen += len(batch)
            yield total / seen, seen

    @contextmanager
    def _training(self, seed: int) -> Iterator[None]:
        """Train mode and seeded dropout for one step; both as before afterwards."""
        device = self.fabric.device
        devices = [device] if device.type == "cuda" else []
        self.classifier.train()
        try:
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(seed)
                yield
        finally:
            self.classifier.eval()
