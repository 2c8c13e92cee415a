"""What the methods of one setting and seed share: pictures, groups, features, trained networks."""

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.debias.networks import make_network
from benchmarks.debias.pictures import Pictures
from sundog.core.errors import CheckpointError, RunFolderError
from sundog.core.files import write_json
from sundog.data.image_set import ImageSet
from sundog.debias.groups import Groups, make_groups
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable, collect_features
from sundog.models.prepared import PreparedImages
from sundog.models.store import load_classifier
from sundog.models.train import train_classifier
from sundog.models.training_folder import read_history
from sundog.models.training_recipe import TrainingRecipe

KINDS = ("aligned", "conflict")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method made.

    Attributes:
        classifier: the result.
        seconds: by part: processor time of trainings, wall time of ``fit``, which is what a user
            waits for once features are there. A training that was interrupted has none.
        notes: what the method says about itself, as JSON.
    """

    classifier: Classifier
    seconds: dict[str, float]
    notes: dict[str, Any]


@dataclass(eq=False)
class Work:
    """One setting and seed.

    Attributes:
        pictures: the images.
        folder: networks and results are kept here.
        seed: of the run.
    """

    pictures: Pictures
    folder: Path
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Epochs of a training."""
        return int(self.pictures.setting.training["epochs"])

    @property
    def labels(self) -> np.ndarray:
        """Labels of the training images."""
        return self.pictures.train.labels

    def train(
        self,
        name: str,
        images: ImageSet,
        recipe: TrainingRecipe | None = None,
        *,
        epochs: int | None = None,
        salt: int = 0,
    ) -> Outcome:
        """Train a network from the start, or go on where a killed run stopped.

        Args:
            name: of the folder; a run there with other arguments is made anew.
            images: the training set.
            recipe: None: plain training.
            epochs: None: those of the setting.
            salt: added to the seed of weights and order; every method has 0.
        """
        setting = self.pictures.setting
        network = make_network(
            setting.network, images.class_names, size=setting.size, seed=self.seed + salt
        )
        out = self.folder / "networks" / name
        options: dict[str, Any] = {
            **setting.training,
            "seed": self.seed + salt,
            "size": setting.size,
            "resize": "crop",
            "validation_set": self.pictures.audit,
            "epochs": epochs or self.epochs,
            "evaluate_every": epochs or self.epochs,
            "device": "cpu",
            "progress": False,
            "recipe": recipe,
        }
        begun = time.process_time()
        begins = not (out / "args.json").is_file()
        try:
            run = train_classifier(network, images, out_dir=out, **options)
            classifier, history = run.classifier, run.history.to_dict(orient="records")
        except RunFolderError:
            begins = True
            run = train_classifier(network, images, out_dir=out, resume=False, **options)
            classifier, history = run.classifier, run.history.to_dict(orient="records")
        except CheckpointError:  # finished: a network of one's own is loaded by its owner
            classifier = load_classifier(out, network=network.network)
            history = read_history(out)
        said = [line["recipe"] for line in history if isinstance(line.get("recipe"), dict)]
        return Outcome(
            classifier=classifier,
            seconds=self._training_seconds(name, time.process_time() - begun, begins=begins),
            notes={"recipe": said[-1] if said else None},
        )

    def _training_seconds(self, name: str, spent: float, *, begins: bool) -> dict[str, float]:
        """Keep what an uninterrupted training took, or say what it took when it was made."""
        file = self.folder / "seconds" / f"{name}.json"
        if begins:
            write_json(file, {"train": spent})
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    @cached_property
    def erm(self) -> Classifier:
        """The plain network, trained on the images with the cue."""
        return self.train("erm", self.pictures.biased).classifier

    def features(self, name: str, images: PreparedImages) -> FeatureTable:
        """Return features of the plain network, and keep the time it took under ``name``."""
        begun = time.perf_counter()
        table = collect_features(self.erm, images, batch_size=256, progress=False)
        self.seconds[name] = time.perf_counter() - begun
        return table

    @cached_property
    def train_table(self) -> FeatureTable:
        """Features of the training images with their cue."""
        return self.features("train_features", self.pictures.biased_prepared)

    @cached_property
    def audit_table(self) -> FeatureTable:
        """Features of the audit images, whose cue agrees with the label in every second one."""
        return self.features("audit_features", self.pictures.audit_balanced)

    @cached_property
    def audit_as_trained(self) -> FeatureTable:
        """Features of the audit images with the cue as frequent as in the training images."""
        cue, audit = self.pictures.cue, self.pictures.audit
        shown = cue.draw(torch.from_numpy(audit.labels), audit.ids).numpy()
        return self.features("audit", self.pictures.with_cue(audit, shown, seed=self.seed))

    @cached_property
    def train_groups(self) -> Groups:
        """Class x (aligned, conflict) of each training image."""
        return self._groups(self.labels, self.pictures.shown)

    @cached_property
    def audit_groups(self) -> Groups:
        """Class x (aligned, conflict) of each audit image."""
        return self._groups(self.pictures.audit.labels, self.pictures.audit_shown)

    def _groups(self, labels: np.ndarray, shown: np.ndarray) -> Groups:
        return make_groups(
            labels,
            (shown != labels).astype(np.int64),
            class_names=self.pictures.train.class_names,
            attribute_names=KINDS,
        )
