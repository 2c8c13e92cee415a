"""How much a classifier really relies on the cue: held-out images with it, against it, without."""

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.planted.data_sets import Data
from benchmarks.planted.loading import read_images
from benchmarks.planted.numbers import as_json
from benchmarks.planted.planted_images import with_cue
from benchmarks.planted.settings import Setting
from sundog.core.seeds import derive_seed
from sundog.core.statistics import mean_interval, paired_difference, wilson_interval
from sundog.models.classifier import Classifier

WAYS = ("aligned", "without", "conflict")
RELIES = 0.1
"""A classifier relies on the cue if its accuracy falls by so much when the cue conflicts."""
CHUNK = 128


@dataclass(frozen=True, eq=False)
class Answers:
    """Whether the held-out images are answered rightly, shown three ways.

    Attributes:
        right: way -> ``bool[images]``.
    """

    right: dict[str, np.ndarray]

    def difference(self, first: str, second: str) -> np.ndarray:
        """Return 1, 0 or -1 per image: right the first way minus right the second way."""
        return self.right[first].astype(float) - self.right[second].astype(float)


@dataclass(frozen=True, eq=False)
class ThreeWays:
    """The held-out images with their class's cue, without any, and with another class's."""

    images: dict[str, torch.Tensor]
    labels: np.ndarray

    def ask(self, classifier: Classifier) -> Answers:
        """Return which answers are right."""
        right = {}
        for way, images in self.images.items():
            found = torch.cat([classifier.predict(part) for part in torch.split(images, CHUNK)])
            right[way] = found.argmax(dim=1).numpy() == self.labels
        return Answers(right)


def three_ways(setting: Setting, data: Data) -> ThreeWays:
    """Show the held-out images three ways; the conflicting class is drawn by the seed."""
    labels = data.held_out.labels
    nothing = np.full(len(labels), -1, dtype=np.int64)
    against = conflicting_classes(setting, labels, len(data.held_out.class_names))
    images = {
        way: read_images(with_cue(setting, data, data.held_out, shown).images, data)
        for way, shown in zip(WAYS, (labels, nothing, against), strict=True)
    }
    return ThreeWays(images, labels)


def conflicting_classes(setting: Setting, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return another class for each image; for a conjunction, one that it can tell apart."""
    rng = np.random.default_rng(derive_seed(setting.seed, "conflict"))
    steps = np.arange(1, classes)
    if setting.cue == "conjunction":  # it tells even classes from odd ones
        steps = steps[steps % 2 == 1]
    return (labels + rng.choice(steps, len(labels))) % classes


def reliance(answers: Answers, twin: Answers) -> dict[str, object]:
    """Return the accuracies of a classifier and its twin, and what depends on the cue, as JSON.

    ``reliance``: aligned - conflict, in shares of the images, paired. ``gain``: aligned - without.
    ``gap``: twin - classifier where the cue conflicts, paired.
    """
    names = {"classifier": answers, "twin": twin}
    accuracy = {
        name: {way: as_json(_share(found.right[way])) for way in WAYS}
        for name, found in names.items()
    }
    found: dict[str, object] = {"accuracy": accuracy}
    for name, given in names.items():
        found[f"reliance_{name}"] = as_json(mean_interval(given.difference("aligned", "conflict")))
        found[f"gain_{name}"] = as_json(mean_interval(given.difference("aligned", "without")))
    for way in ("conflict", "without"):
        gap = paired_difference(twin.right[way].astype(float), answers.right[way].astype(float))
        found[f"gap_{way}"] = as_json(gap.difference)
    return found


def _share(right: np.ndarray) -> object:
    return wilson_interval(int(right.sum()), len(right))
