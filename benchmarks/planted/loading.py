"""A setting opened for use: classifier, twin, audit images, labels and the truth."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.planted.data_sets import Data, open_data
from benchmarks.planted.planted_images import Shown, audit_images
from benchmarks.planted.settings import Setting
from benchmarks.planted.training import trained_classifier
from sundog.core.files import write_json
from sundog.data.image_set import ImageSet
from sundog.data.sampling import balanced_sample
from sundog.models.classifier import Classifier

AUDIT_LIMIT = 600
"""Most images that a finder is given, class-balanced."""
PLAN = "settings.json"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A setting, ready to be searched and scored.

    Attributes:
        setting: the setting.
        data: its images without the cue.
        classifier: the one that is judged.
        twin: the same network, images and seed, trained without the cue; for a control it is the
            classifier itself.
        images: ``float32[images, 3, height, width]``, what the finder is given.
        labels: ``int64[images]``.
        cue_class: ``int64[images]``, the class that the planted cue speaks for; -1 = none.
        positions: ``int64[images]``, places of these images among the held-out ones.
    """

    setting: Setting
    data: Data
    classifier: Classifier
    twin: Classifier
    images: Tensor
    labels: Tensor
    cue_class: np.ndarray
    positions: np.ndarray
    shown: Shown

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.data.held_out.class_names

    @cached_property
    def masks(self) -> np.ndarray:
        """``bool[images, height, width]``: where the planted cue is in each image."""
        if self.shown.masks is None:
            return np.zeros((len(self.images), *self.images.shape[2:]), dtype=bool)
        return self.shown.masks(self.positions).numpy()


def write_plan(folder: Path, settings: Sequence[Setting], imagenette: Path | None) -> None:
    """Remember the settings of a folder, so that each can be opened by its name alone."""
    plan = {
        "imagenette": None if imagenette is None else str(imagenette.resolve()),
        "settings": [setting.to_dict() for setting in settings],
    }
    write_json(folder / PLAN, plan)


def read_plan(folder: Path) -> tuple[dict[str, Setting], Path | None]:
    """Return the settings of a folder by name, and the folder of Imagenette."""
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    derived = ("id", "control", "held_out")
    settings = {
        given["id"]: Setting(**{key: value for key, value in given.items() if key not in derived})
        for given in plan["settings"]
    }
    return settings, None if plan["imagenette"] is None else Path(plan["imagenette"])


def load_setting(folder: str | Path, name: str, *, limit: int | None = AUDIT_LIMIT) -> Loaded:
    """Open a setting by its name; classifiers that are not there yet are trained.

    Args:
        folder: that :mod:`benchmarks.planted.run` wrote (``--out``).
        name: of the setting, see ``settings.json`` there.
        limit: most images, class-balanced; None: all held-out images.
    """
    settings, imagenette = read_plan(Path(folder))
    return open_setting(settings[name], Path(folder), imagenette, limit=limit)


def open_setting(
    setting: Setting, folder: Path, imagenette: Path | None, *, limit: int | None = AUDIT_LIMIT
) -> Loaded:
    """Open a setting; as :func:`load_setting`."""
    data = open_data(setting.data, setting.model_seed, imagenette)
    models = folder / "models"
    classifier = trained_classifier(setting, data, models)
    twin = classifier if setting.control else trained_classifier(setting.twin(), data, models)
    shown = audit_images(setting, data)
    positions = balanced_sample(shown.images.labels, shown.images.ids, limit=limit)
    return Loaded(
        setting=setting,
        data=data,
        classifier=classifier,
        twin=twin,
        images=read_images(shown.images.subset(positions), data),
        labels=torch.from_numpy(shown.images.labels[positions]),
        cue_class=shown.cue_class[positions],
        positions=positions,
        shown=shown,
    )


def read_images(images: ImageSet, data: Data) -> Tensor:
    """Return the images as the classifier sees them, ``float32[images, 3, size, size]``."""
    batches = images.batches(size=data.size, resize=data.resize, batch_size=256)
    pixels = torch.cat([batch.images for batch in batches])
    return (pixels * 255).round().div(255)  # 8 bits, as in training
