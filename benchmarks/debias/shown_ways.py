"""Every test image shown three ways: with its class's cue, with another's, and without."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.debias.pictures import ABSENT, TEST_SEED, Pictures
from sundog.core.files import write_with
from sundog.models.classifier import Classifier
from sundog.models.feature_table import collect_features
from sundog.models.prepared import PreparedImages

WAYS = ("aligned", "conflict", "without")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a classifier answers to the test images.

    Attributes:
        probabilities: ``float64[3, images, classes]``, in the order of :data:`WAYS`.
        labels: ``int64[images]``.
        cue_class: ``int64[images]``, the class of the conflicting cue.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    cue_class: np.ndarray

    def write(self, path: Path) -> None:
        """Write atomically."""
        write_with(
            path,
            lambda stream: np.savez(
                stream,
                probabilities=self.probabilities,
                labels=self.labels,
                cue_class=self.cue_class,
            ),
        )

    @staticmethod
    def read(path: Path) -> "Answers":
        """Read what :meth:`write` wrote."""
        with np.load(path, allow_pickle=False) as held:
            return Answers(held["probabilities"], held["labels"], held["cue_class"])


@dataclass(frozen=True, eq=False)
class TestImages:
    """The test images, prepared in all three ways."""

    __test__ = False
    ways: tuple[PreparedImages, ...]
    labels: np.ndarray
    cue_class: np.ndarray

    def ask(self, classifier: Classifier) -> Answers:
        """Return the classifier's probabilities in the three ways."""
        logits = [
            collect_features(classifier, images, batch_size=256, progress=False).logits
            for images in self.ways
        ]
        probabilities = torch.stack(logits).double().softmax(dim=2).numpy()
        return Answers(probabilities, self.labels, self.cue_class)


def test_images(pictures: Pictures) -> TestImages:
    """Show the test images in the three ways; the cue's draws do not depend on the run's seed."""
    test = pictures.test
    against = pictures.setting.make_cue(pictures.classes, seed=TEST_SEED, strength=0.0)
    conflict = against.draw(torch.from_numpy(test.labels), test.ids).numpy()
    nothing = np.full(len(test), ABSENT)
    return TestImages(
        ways=tuple(
            pictures.with_cue(test, shown, seed=TEST_SEED)
            for shown in (test.labels, conflict, nothing)
        ),
        labels=test.labels,
        cue_class=conflict,
    )


test_images.__test__ = False  # type: ignore[attr-defined]
