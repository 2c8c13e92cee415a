"""One epoch of training on Lightning Fabric, the same whatever happened before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from sundog.core.errors import ModelStateError
from sundog.core.seeds import derive_seed
from sundog.data.planting import Cue
from sundog.models.augment import augment_images, augmentation_draws, augmentation_moves
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step, TrainingRecipe


class TrainingLoop:
    """The moving parts of a run: wrapped classifier, optimizer, images.

    Args:
        classifier: trained in place; in eval mode between the steps.
        options: hyper-parameters.
        images: the training images.
        cue: planted in each image, after augmentation; None for none.
        place: device, which this machine must have.
        recipe: what is done differently; None trains plainly.
    """

    def __init__(
        self,
        classifier: Classifier,
        options: TrainingOptions,
        images: PreparedImages,
        cue: Cue | None,
        place: torch.device,
        recipe: TrainingRecipe | None = None,
    ) -> None:
        self.classifier = classifier
        self.options = options
        self.images = images
        self.cue = cue
        devices: Any = 1 if place.index is None else [place.index]
        self.fabric = Fabric(accelerator=place.type, devices=devices, precision=options.precision)
        self.recipe = recipe if recipe is not None else TrainingRecipe()
        self.recipe.begin(classifier.to(place), images, options)
        self.extra = self.recipe.module()
        # Alone, the classifier keeps its parameters' names in the optimizer and the checkpoint.
        self.trained: nn.Module = (
            classifier
            if self.extra is None
            else nn.ModuleDict({"classifier": classifier, "recipe": self.extra.to(place)})
        )
        self.optimizer = options.make_optimizer(self.trained)
        self.wrapped, self.step = self.fabric.setup(classifier, self.optimizer)

    def epoch(self, epoch: int) -> Iterator[tuple[float, int]]:
        """Train one epoch; yield (mean loss so far, images seen) after each step."""
        options, count = self.options, len(self.images)
        self.recipe.begin_epoch(epoch)
        order = self.recipe.order(epoch, count, options.seed)
        draws = augmentation_draws(count, seed=options.seed, epoch=epoch)
        total, seen = 0.0, 0
        for number, batch in enumerate(self.images.batches(order, batch_size=options.batch_size)):
            if len(batch) == 1 and seen:
                continue  # batch norm has no variance of one image; it comes again next epoch
            images = augment_images(batch.images, batch.indices, draws, augment=options.augment)
            if self.cue is not None:
                images = self.cue.plant(images, batch.labels, batch.ids).images
            flipped, shifts = augmentation_moves(
                batch.indices, draws, augment=options.augment, image_size=self.images.image_size
            )
            seed = derive_seed(options.seed, "dropout", epoch, number)
            step = Step(
                images=images.to(self.fabric.device),
                labels=batch.labels.to(self.fabric.device),
                indices=batch.indices,
                ids=batch.ids,
                epoch=epoch,
                seed=seed,
                flipped=flipped,
                shifts=shifts,
            )
            rate = options.learning_rate_at((epoch + seen / len(order)) / options.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            step = self.recipe.change(step)
            with self._training(seed):
                loss = self.recipe.loss(self.wrapped, step)
                self.step.zero_grad()
                self.fabric.backward(loss)
                self.step.step()
            self.recipe.after_step(step)
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
        self.trained.train()
        try:
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(seed)
                yield
        finally:
            self.trained.eval()
