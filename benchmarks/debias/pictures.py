"""The images of a setting: training part, audit part, test part, with and without the cue."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from benchmarks.debias.settings import Setting
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.planted_view import PlantedMasks, planted_view
from sundog.models.prepared import PreparedImages

TEST_SEED = 0
"""Of the cue in the test images: they are the same for every run."""
ABSENT = -1


def open_setting(setting: Setting, folder: Path | None) -> tuple[ImageSet, ImageSet]:
    """Return the training and the test images without any cue."""
    if setting.data == "digits":
        return load_image_set("digits", split="train"), load_image_set("digits", split="validation")
    if folder is None:
        raise SystemExit(
            f"{setting.name} needs --imagenette FOLDER (train/CLASS, validation/CLASS)"
        )
    return tuple(
        choose_classes(load_image_set(folder, split=split), setting.classes)
        for split in ("train", "validation")
    )


def choose_classes(images: ImageSet, names: tuple[str, ...] | None) -> ImageSet:
    """Return the images of some classes, renumbered."""
    if names is None:
        return images
    number = {images.class_names.index(name): place for place, name in enumerate(names)}
    part = images.subset(np.flatnonzero(np.isin(images.labels, list(number))))
    return ImageSet(
        name=images.name,
        class_names=names,
        labels=np.array([number[label] for label in part.labels.tolist()]),
        ids=part.ids,
        sources=part.sources,
        read=part.image,
    )


def split_audit(images: ImageSet, share: float) -> tuple[ImageSet, ImageSet]:
    """Return (training part, audit part), the same share of each class, whatever the run's seed."""
    rng = np.random.default_rng(0)
    kept, apart = [], []
    for label in range(len(images.class_names)):
        order = rng.permutation(np.flatnonzero(images.labels == label))
        cut = round(share * len(order))
        apart.append(order[:cut])
        kept.append(order[cut:])
    return (images.subset(np.sort(np.concatenate(part))) for part in (kept, apart))  # type: ignore[return-value]


@dataclass(frozen=True)
class Pictures:
    """Views of the images of one setting and seed; each is read once.

    Attributes:
        setting: the setting.
        train: training images without the cue.
        audit: audit images without the cue.
        test: test images without the cue.
        seed: of the cue's draws in training and audit images.
    """

    setting: Setting
    train: ImageSet
    audit: ImageSet
    test: ImageSet
    seed: int

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.train.class_names)

    @cached_property
    def cue(self) -> object:
        """The cue of the training images."""
        return self.setting.make_cue(self.classes, seed=self.seed)

    @cached_property
    def biased(self) -> ImageSet:
        """The training images with the cue in their pixels."""
        return planted_view(self.train, self.cue, size=self.setting.size, resize="crop")

    @cached_property
    def shown(self) -> np.ndarray:
        """The class that the cue of each training image speaks for."""
        return self.cue.draw(torch.from_numpy(self.train.labels), self.train.ids).numpy()

    @cached_property
    def conflicting(self) -> np.ndarray:
        """Whether the cue of a training image speaks for another class."""
        return self.shown != self.train.labels

    @cached_property
    def clean_prepared(self) -> PreparedImages:
        """The training images without the cue, at the size of the training."""
        return self.prepare(self.train)

    @cached_property
    def biased_prepared(self) -> PreparedImages:
        """The training images with the cue."""
        return PreparedImages(self.biased, size=None)

    @cached_property
    def masks(self) -> PlantedMasks:
        """Where the cue is in the training images."""
        return PlantedMasks(self.train, self.cue, size=self.setting.size, resize="crop")

    def prepare(self, images: ImageSet) -> PreparedImages:
        """Return images at the size of the training."""
        return PreparedImages(images, size=self.setting.size, resize="crop")

    def with_cue(self, images: ImageSet, classes: np.ndarray, *, seed: int) -> PreparedImages:
        """Return images with the cue of given classes (-1: none)."""
        cue = self.setting.make_cue(self.classes, seed=seed)
        view = planted_view(images, cue, size=self.setting.size, resize="crop", cue_class=classes)
        return PreparedImages(view, size=None)

    @cached_property
    def audit_shown(self) -> np.ndarray:
        """A cue for each audit image that agrees with its label in every second one."""
        cue = self.setting.make_cue(self.classes, seed=self.seed, strength=0.5)
        return cue.draw(torch.from_numpy(self.audit.labels), self.audit.ids).numpy()

    @cached_property
    def audit_balanced(self) -> PreparedImages:
        """The audit images, half with the cue of their own class and half with another's."""
        return self.with_cue(self.audit, self.audit_shown, seed=self.seed)

    @cached_property
    def audit_clean(self) -> PreparedImages:
        """The audit images without the cue."""
        return self.prepare(self.audit)
