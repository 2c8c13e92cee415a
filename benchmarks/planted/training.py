"""Training of the classifiers, each once: a folder per classifier, resumed after a kill."""

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.planted.data_sets import Data
from benchmarks.planted.planted_images import training_images
from benchmarks.planted.settings import Setting
from sundog.core.errors import CheckpointError, RunFolderError
from sundog.core.locks import FolderLock
from sundog.models.classifier import Classifier
from sundog.models.train import train_classifier

BUDGETS: dict[tuple[str, str], dict[str, Any]] = {
    ("digits", "small-cnn"): {"epochs": 3, "learning_rate": 2e-3},
    ("digits", "cnn5"): {"epochs": 3, "learning_rate": 2e-3},
    ("digits", "resnet18"): {"epochs": 2, "learning_rate": 1e-3},
    ("digits", "small-vit"): {"epochs": 5, "learning_rate": 2e-3},
    ("faces", "small-cnn"): {"epochs": 25, "learning_rate": 2e-3, "batch_size": 16},
    ("faces", "cnn5"): {"epochs": 25, "learning_rate": 1e-3, "batch_size": 16},
    ("faces", "resnet18"): {"epochs": 12, "learning_rate": 1e-3, "batch_size": 16},
    ("faces", "small-vit"): {"epochs": 25, "learning_rate": 1e-3, "batch_size": 16},
    ("photographs", "small-cnn"): {"epochs": 8, "learning_rate": 2e-3},
    ("photographs", "cnn5"): {"epochs": 8, "learning_rate": 2e-3},
    ("photographs", "resnet18"): {"epochs": 6, "learning_rate": 1e-3},
    ("photographs", "small-vit"): {"epochs": 9, "learning_rate": 2e-3},
    ("imagenette", "small-cnn"): {"epochs": 8, "learning_rate": 2e-3},
    ("imagenette", "cnn5"): {"epochs": 7, "learning_rate": 2e-3},
    ("imagenette", "resnet18"): {"epochs": 6, "learning_rate": 1e-3},
    ("imagenette", "small-vit"): {"epochs": 12, "learning_rate": 2e-3},
    ("digits-56", "small-cnn"): {"epochs": 3, "learning_rate": 2e-3},
}
"""Budget of each network on each data set, fixed before any cue was looked at."""
PATIENCE = 900.0
"""Seconds to wait for another process that trains the same classifier."""
UNFLIPPED = ("digits", "digits-56")
"""The images of the other data sets are flipped, image and cue alike, as in real data."""


def trained_classifier(
    setting: Setting, data: Data, folder: Path, *, epochs: int | None = None
) -> Classifier:
    """Return the setting's classifier from its folder; train it if it is not there.

    Args:
        setting: which classifier.
        data: its images.
        folder: of all classifiers; each has one of its own, which controls share.
        epochs: None: those of its budget.
    """
    budget = dict(BUDGETS[data.name, setting.network])
    if epochs is not None:
        budget["epochs"] = epochs
    lock = folder / ".locks" / setting.model_id
    lock.mkdir(parents=True, exist_ok=True)
    held = FolderLock(lock, wait=PATIENCE)  # a twin may be wanted twice at a time
    train = partial(
        train_classifier,
        setting.network,
        training_images(setting, data).images,
        validation_set=data.held_out,
        size=data.size,
        resize=data.resize,
        seed=setting.model_seed,
        augment="none" if data.name in UNFLIPPED else "flip",
        evaluate_every=budget["epochs"],
        out_dir=folder / setting.model_id,
        device="cpu",
        progress=False,
        **budget,
    )
    try:
        return train().classifier
    except (RunFolderError, CheckpointError):  # of another version of the benchmark
        return train(resume=False).classifier
    finally:
        held.release()
