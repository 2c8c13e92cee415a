"""What the classifier says of every labelled image: the outcomes that an inspection explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64

from sundog.audit.align import plain_name
from sundog.audit.subject import Subject
from sundog.bias.class_images import ClassImages, Metric
from sundog.core.errors import DataError, ModelStateError, UnknownNameError
from sundog.core.progress import track
from sundog.core.run_folder import RunFolder
from sundog.core.shapes import Labels, Logits
from sundog.data.image_set import Batch
from sundog.models.feature_table import FeatureTable


@dataclass(frozen=True, eq=False)
class Observed:
    """Predictions for the images of an image set.

    Attributes:
        frame: a row per image that could be read and is labelled: index (position in the set), id,
            source, label, prediction, correct, confidence (probability of the label).
        class_names: of the classifier.
        notes: what was left out, in sentences.
    """

    frame: pd.DataFrame
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def classes(self, names: Sequence[str]) -> tuple[ClassImages, ...]:
        """Return the images of each named class; one without images is empty."""
        found = []
        for name in names:
            rows = self.rows(name)
            found.append(
                ClassImages(
                    name=name,
                    ids=tuple(rows["id"]),
                    correct=rows["correct"].to_numpy(dtype=bool),
                    confidence=rows["confidence"].to_numpy(dtype=np.float64),
                )
            )
        return tuple(found)

    def outcome(self, name: str, metric: Metric) -> Float[np.ndarray, "images"]:
        """Return what is compared in one class: right (1) or wrong (0), or the confidence."""
        column = "correct" if metric == "accuracy" else "confidence"
        return self.rows(name)[column].to_numpy(dtype=np.float64)

    def rows(self, name: str) -> pd.DataFrame:
        """Return the rows of one class, in the order of the set."""
        return self.frame[self.frame["label"] == self.class_names.index(name)]

    def positions(self, name: str) -> Int64[np.ndarray, "images"]:
        """Return the positions in the image set of the images of one class."""
        return self.rows(name)["index"].to_numpy(dtype=np.int64)


def observe(
    subject: Subject, folder: RunFolder | None = None, *, progress: bool | None = None
) -> Observed:
    """Predict every image once; with a run folder, batches that are done are not done again.

    Images of identical content count once, since copies are not independent evidence. Copies with
    different labels are left out: one label is wrong, and nobody knows which.

    Args:
        subject: images and classifier.
        folder: keeps the predictions of each batch.
        progress: None shows it on a terminal.

    Raises:
        DataError: no labelled image that can be read.
    """
    frames = []
    total = -(-len(subject.image_set) // subject.batch_size)
    for number, batch in enumerate(
        track(subject.batches(), description="predicting", total=total, visible=progress)
    ):
        key = f"{number:06d}"
        part = folder.part("predictions", key) if folder is not None else None
        if part is None:
            part = _predict(subject, batch)
            if folder is not None:
                folder.append("predictions", key, part)
        frames.append(part)
    frame = pd.concat(frames, ignore_index=True)
    return _usable(subject, frame, len(subject.image_set.skipped))


def observed_of(subject: Subject, table: FeatureTable) -> Observed:
    """Return what :func:`observe` does, from logits that are already there.

    Args:
        subject: images and classifier.
        table: logits of its images, labelled as the classifier numbers the classes.

    Raises:
        DataError: no labelled image that can be read.
    """
    frame = _frame(
        subject,
        indices=table.indices,
        ids=table.ids,
        labels=table.labels,
        probabilities=table.logits.softmax(dim=1).double(),
    )
    return _usable(subject, frame, unread_images(subject, table))


def unread_images(subject: Subject, table: FeatureTable) -> int:
    """Return how many images could not be read: at opening, and because they have no logits."""
    known = set(subject.image_set.sources)
    before = sum(skipped.source not in known for skipped in subject.image_set.skipped)
    return before + len(subject.image_set) - len(table)


def _usable(subject: Subject, frame: pd.DataFrame, skipped: int) -> Observed:
    """Leave out unlabelled images, copies, and copies with contradicting labels."""
    notes = []
    if skipped:
        notes.append(f"{skipped} images could not be read and were left out.")
    labelled = frame[frame["label"] >= 0]
    if len(labelled) < len(frame):
        notes.append(f"{len(frame) - len(labelled)} images without a label were left out.")
    conflicts = labelled.groupby("id")["label"].nunique()
    wrong = set(conflicts[conflicts > 1].index)
    clean = labelled[~labelled["id"].isin(wrong)]
    if wrong:
        notes.append(
            f"{len(labelled) - len(clean)} copies of {len(wrong)} images with contradicting labels "
            "were left out."
        )
    kept = clean.drop_duplicates("id")
    if len(kept) < len(clean):
        notes.append(f"{len(clean) - len(kept)} copies of other images were counted once.")
    if kept.empty:
        raise DataError(
            f"Image set {subject.image_set.name!r}",
            expected="labelled: bias is looked for inside each class",
            got=f"{len(frame)} images without a usable label",
        )
    return Observed(
        frame=kept.reset_index(drop=True), class_names=subject.class_names, notes=tuple(notes)
    )


def check_classes(subject: Subject, classes: Sequence[str] | None) -> None:
    """Refuse, before anything is computed, what cannot be inspected.

    Raises:
        DataError: no labelled image, or a class without images.
        UnknownNameError: an unknown class; suggests the nearest.
    """
    if not (subject.labels >= 0).any():
        raise DataError(
            f"Image set {subject.image_set.name!r}",
            expected="labelled: bias is looked for inside each class",
            got=f"{len(subject.labels)} images without a label",
        )
    frame = pd.DataFrame({"label": subject.labels[subject.labels >= 0]})
    choose_classes(Observed(frame=frame, class_names=subject.class_names), classes)


def choose_classes(observed: Observed, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes to inspect: those asked for, or all that have images.

    Raises:
        UnknownNameError: an unknown class; suggests the nearest.
        DataError: a class that was asked for has no image.
    """
    counts = np.bincount(observed.frame["label"], minlength=len(observed.class_names))
    if classes is None:
        return tuple(n for n, c in zip(observed.class_names, counts, strict=True) if c)
    plain = {plain_name(name): index for index, name in enumerate(observed.class_names)}
    chosen = []
    for name in classes:
        if plain_name(name) not in plain:
            raise UnknownNameError("class", name, observed.class_names)
        index = plain[plain_name(name)]
        if counts[index] == 0:
            raise DataError(f"Class {name!r}", expected="with images", got="none")
        if observed.class_names[index] not in chosen:
            chosen.append(observed.class_names[index])
    if not chosen:
        raise DataError("classes", expected="at least one", got="none")
    return tuple(chosen)


def check_finite(name: str, output: Logits) -> None:
    """Refuse a classifier that answers NaN or infinity: it has no prediction.

    Args:
        name: of the classifier.
        output: ``float[images, classes]``.

    Raises:
        ModelStateError: how many images it happens for.
    """
    bad = int((~torch.isfinite(output).all(dim=1)).sum())
    if bad:
        raise ModelStateError(
            f"The output of {name!r}",
            expected="finite",
            got=f"NaN or infinity for {bad} of {len(output)} images",
            hint="Check its weights and its normalisation (--mean, --std).",
        )


@torch.no_grad()
def _predict(subject: Subject, batch: Batch) -> pd.DataFrame:
    # One image alone takes other sums (a matrix times a vector), and other last digits.
    images = batch.images.repeat(2, 1, 1, 1) if len(batch) == 1 else batch.images
    output = subject.classifier.predict(images)[: len(batch)]
    probabilities = output.softmax(1).double().cpu()
    check_finite(subject.classifier.name, probabilities)
    return _frame(
        subject,
        indices=batch.indices,
        ids=batch.ids,
        labels=batch.labels.cpu(),
        probabilities=probabilities,
    )


def _frame(
    subject: Subject,
    *,
    indices: Labels,
    ids: Sequence[str],
    labels: Labels,
    probabilities: Logits,
) -> pd.DataFrame:
    prediction = probabilities.argmax(dim=1)
    of_label = probabilities.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    return pd.DataFrame(
        {
            "index": indices.numpy(),
            "id": list(ids),
            "source": [subject.image_set.sources[i] for i in indices.tolist()],
            "label": labels.numpy(),
            "prediction": prediction.numpy(),
            "correct": (prediction == labels).numpy(),
            "confidence": of_label.numpy(),
        }
    )
