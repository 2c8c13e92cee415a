"""Gradient steps for the risk methods' own parts, on a classifier that stays as it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from sundog.core.errors import InputError, ModelStateError, RunFolderError
from sundog.core.progress import make_progress
from sundog.core.seeds import derive_seed, generator
from sundog.core.shapes import Labels
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable
from sundog.models.fingerprint import model_fingerprint
from sundog.models.prepared import PreparedImages
from sundog.models.training_state import load_state, save_state
from sundog.risk.estimator import Passed, Trained
from sundog.risk.fit_options import FitOptions
from sundog.risk.images import Source, image_batches
from sundog.risk.joint_training import build_parts
from sundog.risk.one_pass import pass_once

CHECKPOINT = "risk-checkpoint.safetensors"


class HeadTraining:
    """One run: AdamW over the methods' parts, each epoch in an order drawn from (seed, epoch).

    Args:
        classifier: in eval mode; never changed.
        trained: the methods; their parts are built here.
        data: the training images.
        table: their features and logits.
        options: hyper-parameters.
    """

    def __init__(
        self,
        classifier: Classifier,
        trained: Sequence[Trained],
        data: Source,
        table: FeatureTable,
        options: FitOptions,
    ) -> None:
        self.classifier, self.trained, self.data = classifier, trained, data
        self.table, self.options = table, options
        for estimator in trained:
            estimator.check_labels(table.labels)
        first = next(iter(image_batches(data, size=classifier.input_size, batch_size=1))).images
        size = (int(first.shape[2]), int(first.shape[3]))
        self.parts = nn.ModuleDict(
            {
                e.name: build_parts(e, classifier, image_size=size, seed=options.seed)
                for e in trained
            }
        )
        weights = [p for p in self.parts.parameters() if p.requires_grad]
        if not weights:
            raise InputError("The trained methods", expected="with parameters", got="none")
        device = classifier.device
        devices: Any = 1 if device.index is None else [device.index]
        self.fabric = Fabric(accelerator=device.type, devices=devices)
        self.optimizer = torch.optim.AdamW(
            weights, lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.stepper: Any = self.fabric.setup_optimizers(self.optimizer)

    def run(self, folder: Path | None, *, resume: bool, progress: bool | None) -> None:
        """Train; with a folder, a checkpoint per epoch from which a killed run goes on.

        Raises:
            ModelStateError: a loss that is not finite.
            RunFolderError: the checkpoint is of another run.
        """
        checkpoint = folder / CHECKPOINT if folder is not None else None
        identity = {
            "methods": {e.name: e.settings() for e in self.trained},
            "options": vars(self.options),
            "images": f"{derive_seed(0, *self.table.ids):016x}",
            "classifier": model_fingerprint(self.classifier),
        }
        start = 0
        if checkpoint is not None and resume and checkpoint.is_file():
            notes = load_state(checkpoint, self.parts, self.optimizer)
            if notes["run"] != identity:
                raise RunFolderError(
                    f"Checkpoint {str(checkpoint)!r}",
                    expected="of a fit with the same methods, options, images and classifier",
                    got="one of another fit",
                    hint="Choose another folder, or pass resume=False.",
                )
            start = int(notes["epoch"])
        epochs, count = self.options.epochs, len(self.table)
        with make_progress(visible=progress) as display:
            task = display.add_task("risk heads", total=epochs * count)
            for epoch in range(start, epochs):
                display.update(task, completed=epoch * count)
                for seen in self._epoch(epoch):
                    display.advance(task, seen)
                if checkpoint is not None:
                    notes = {"epoch": epoch + 1, "run": identity}
                    save_state(checkpoint, self.parts, self.optimizer, notes=notes)
        self.parts.eval()

    def _epoch(self, epoch: int) -> Iterator[int]:
        for estimator in self.trained:
            estimator.begin_epoch(epoch, self.options.epochs)
        for number, (passed, labels) in enumerate(self._batches(epoch)):
            seed = derive_seed(self.options.seed, "risk", epoch, number)
            self.parts.train()
            try:
                losses = [
                    e.loss(passed, labels, generator(seed, "risk", e.name)) for e in self.trained
                ]
                loss = torch.stack(losses).sum()
                self.stepper.zero_grad()
                self.fabric.backward(loss)
                self.stepper.step()
            finally:
                self.parts.eval()
            if not math.isfinite(float(loss.detach())):
                raise ModelStateError(
                    f"The risk methods' loss in epoch {epoch + 1}",
                    expected="finite",
                    got=str(float(loss.detach())),
                    hint=f"Lower learning_rate (now {self.options.learning_rate:g}).",
                )
            with torch.no_grad():
                for estimator in self.trained:
                    estimator.after_step(passed, labels)
            yield len(labels)

    def _batches(self, epoch: int) -> Iterator[tuple[Passed, Labels]]:
        """Yield the batches of one epoch: from the features that are there, or from the images."""
        device, size = self.classifier.device, self.options.batch_size
        order = torch.randperm(
            len(self.table), generator=generator(self.options.seed, "order", epoch)
        )
        if not any(estimator.needs_images for estimator in self.trained):
            for rows in torch.split(order, size):
                passed = Passed(
                    features=self.table.features[rows].to(device),
                    logits=self.table.logits[rows].to(device),
                )
                yield passed, self.table.labels[rows].to(device)
            return
        if isinstance(self.data, PreparedImages):
            stream = self.data.batches(self.table.indices[order], batch_size=size)
        else:  # a loader has an order of its own
            stream = image_batches(self.data, batch_size=size)
        for batch in stream:
            with torch.no_grad():
                passed = pass_once(self.classifier, batch.images.to(device))
            yield passed, batch.labels.to(device)
