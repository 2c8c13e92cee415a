"""How well a classifier does on an image set, with a cue planted or without."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch.nn import functional as F

from sundog.core.errors import DataError, InputError
from sundog.core.statistics import Estimate, wilson_interval
from sundog.data.image_set import ImageSet
from sundog.data.planting import Cue
from sundog.data.transforms import Resize
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Accuracy and loss on one image set, cue on or off.

    Attributes:
        accuracy: share of images whose predicted class is the label, with its 95 % Wilson
            interval; higher is better.
        loss: mean cross-entropy in nats; lower is better.
        predictions: a row per image: id, label, cue_on, cue_class (-1 without a cue), prediction,
            probability (of the label, softmax over the classifier's classes).
    """

    accuracy: Estimate
    loss: float
    predictions: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers for JSON; a loss that is not finite becomes None."""
        return {
            "n": self.accuracy.n,
            "accuracy": self.accuracy.value,
            "accuracy_low": self.accuracy.low,
            "accuracy_high": self.accuracy.high,
            "loss": self.loss if math.isfinite(self.loss) else None,
        }


def evaluate_classifier(
    classifier: Classifier,
    image_set: ImageSet | PreparedImages,
    *,
    cue: Cue | None = None,
    size: int | tuple[int, int] | None = None,
    resize: Resize = "pad",
    batch_size: int = 64,
) -> Evaluation:
    """Predict every image once and compare with its label.

    Args:
        classifier: in eval mode.
        image_set: labelled; prepared images keep their own size and resize rule.
        cue: planted in every image first; None leaves the images as they are.
        size: (height, width) or side in pixels; ``classifier.input_size`` if None.
        resize: ``pad``, ``crop`` or ``stretch``.
        batch_size: images per forward pass.

    Raises:
        DataError: unlabelled images, or other classes than the classifier's.
        ModelStateError: a classifier in train mode.
    """
    classifier.require_eval()
    images = image_set
    if isinstance(images, ImageSet):
        images = PreparedImages(
            images, size=size or classifier.input_size, resize=resize, cache_bytes=0
        )
    check_labels(images.image_set)
    names = images.image_set.class_names
    if cue is not None and cue.class_count != len(names):
        raise InputError(
            "cue", expected=f"made for {len(names)} classes", got=f"{cue.class_count} classes"
        )
    rows: list[pd.DataFrame] = []
    loss = 0.0
    for batch in images.batches(batch_size=batch_size):
        shown, cue_class = batch.images, torch.full_like(batch.labels, -1)
        if cue is not None:
            planted = cue.plant(batch.images, batch.labels, batch.ids)
            shown, cue_class = planted.images, planted.cue_class
        logits = classifier.predict(shown.to(classifier.device), batch_size=batch_size)
        logits = logits.cpu().double()
        if logits.shape[1] != len(names):
            raise DataError(
                f"Image set {images.image_set.name!r}",
                expected=f"of the classifier's {logits.shape[1]} classes",
                got=f"{len(names)} classes",
            )
        chosen = logits.softmax(dim=1).gather(1, batch.labels[:, None])[:, 0]
        loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
        rows.append(
            pd.DataFrame(
                {
                    "id": list(batch.ids),
                    "label": batch.labels.numpy(),
                    "cue_on": cue is not None,
                    "cue_class": cue_class.numpy(),
                    "prediction": logits.argmax(dim=1).numpy(),
                    "probability": chosen.numpy(),
                }
            )
        )
    table = pd.concat(rows, ignore_index=True)
    correct = int((table["prediction"] == table["label"]).sum())
    return Evaluation(
        accuracy=wilson_interval(correct, len(table)), loss=loss / len(table), predictions=table
    )


def check_labels(image_set: ImageSet) -> None:
    """Refuse a set with unlabelled images.

    Raises:
        DataError: says how many.
    """
    unlabelled = int((image_set.labels < 0).sum())
    if unlabelled or len(image_set) == 0:
        raise DataError(
            f"Image set {image_set.name!r}",
            expected="non-empty and labelled",
            got=f"{unlabelled} unlabelled of {len(image_set)} images",
            hint="Keep the labelled ones with image_set.subset(...).",
        )
