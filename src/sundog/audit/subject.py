"""What is looked at: an image set and a classifier that agree on the classes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from sundog.audit.align import align_labels, match_classes
from sundog.audit.cut_already import resize_left
from sundog.core.errors import CheckpointError, DataError, InputError, SundogError, first_line
from sundog.core.shapes import Labels
from sundog.data.image_set import Batch, ImageSet
from sundog.data.load import load_image_set
from sundog.data.transforms import Resize
from sundog.models.classifier import Classifier, NetworkOutput
from sundog.models.fingerprint import model_fingerprint
from sundog.models.zoo import get_model

DEFAULT_SIZE = (224, 224)


@dataclass(frozen=True, eq=False)
class Subject:
    """An image set seen through a classifier.

    Attributes:
        image_set: the images.
        classifier: in eval mode.
        class_names: one per output column of the classifier, with spaces for underscores.
        labels: ``int64[images]``, the image set's labels as the classifier numbers them, -1 where
            there is none.
        size: (height, width) the images are brought to.
        resize: pad, crop or stretch.
        batch_size: images per batch.
        root: folder that the sources of the images are relative to, if they are files.
    """

    image_set: ImageSet
    classifier: Classifier
    class_names: tuple[str, ...]
    labels: Int64[np.ndarray, "images"]
    size: tuple[int, int]
    resize: Resize
    batch_size: int
    root: Path | None = None

    def batches(self) -> Iterator[Batch]:
        """Stream the images, with labels as the classifier numbers them, on its device."""
        device = self.classifier.device
        for batch in self.image_set.batches(
            size=self.size, batch_size=self.batch_size, resize=self.resize, workers=2
        ):
            yield Batch(
                images=batch.images.to(device),
                labels=self.labels_of(batch).to(device),
                ids=batch.ids,
                indices=batch.indices,
            )

    def labels_of(self, batch: Batch) -> Labels:
        """Return the labels of a batch as the classifier numbers them."""
        return torch.from_numpy(self.labels[batch.indices.numpy()])

    def fingerprints(self) -> dict[str, str]:
        """Return the hashes that a run folder keeps of data and model."""
        digest = hashlib.blake2b(digest_size=16)
        for image_id, label in zip(self.image_set.ids, self.labels.tolist(), strict=True):
            digest.update(f"{image_id} {label}\n".encode())
        return {
            "data_fingerprint": digest.hexdigest(),
            "model_fingerprint": model_fingerprint(self.classifier),
        }

    def notes(self) -> tuple[str, ...]:
        """Return what a person should know before trusting any number of this classifier."""
        found = []
        if self.classifier.weights == "random":
            found.append(
                f"{self.classifier.name!r} has random weights, so that its predictions and maps "
                "mean nothing; --download fetches published ones, --checkpoint loads a file."
            )
        plain = bool((self.classifier.mean == 0).all() and (self.classifier.std == 1).all())
        if plain and "file" in (self.classifier.recipe or {}):
            found.append(
                f"{self.classifier.name!r} does not say its normalisation and was given images in "
                "[0, 1]; if it was trained on normalised ones, give --mean and --std."
            )
        return tuple(found)

    def facts(self) -> dict[str, object]:
        """Return what a page says about the images and the classifier."""
        counts = self.image_set
        return {
            "images": f"{len(counts)} from {counts.name}",
            "left out": f"{len(counts.skipped)} unreadable",
            "identical images": f"{len(counts.duplicates)} groups"
            + (
                f", {len(counts.label_conflicts)} with different labels"
                if counts.label_conflicts
                else ""
            ),
            "size": f"{self.size[0]} x {self.size[1]} px, {self.resize}",
            "labelled": f"{int((self.labels >= 0).sum())} of {len(counts)}",
            "classifier": self.classifier.name,
            "weights": self.classifier.weights,
            "normalisation": f"mean {_triple(self.classifier.mean)}, "
            f"std {_triple(self.classifier.std)}",
            "classes": f"{len(self.class_names)}: "
            + ", ".join(self.class_names[:12])
            + (", ..." if len(self.class_names) > 12 else ""),
        }


def spread(total: int, count: int) -> Int64[np.ndarray, "chosen"]:
    """Return at most ``count`` positions spread evenly over ``0..total - 1``, in order.

    Image sets are often sorted by class: the first images would all be of one.
    """
    if count <= 0 or total <= 0:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))


def _triple(values: torch.Tensor) -> str:
    return " ".join(f"{value:.3g}" for value in values.flatten().tolist())


def make_subject(
    image_set: ImageSet,
    classifier: Classifier,
    *,
    size: int | None = None,
    resize: Resize = "pad",
    batch_size: int = 32,
) -> Subject:
    """Join an image set and a classifier: match the classes, choose the size.

    Args:
        image_set: labelled or not.
        classifier: in eval mode.
        size: side in pixels; None = the classifier's own, or 224.
        resize: pad, crop or stretch.
        batch_size: images per batch.

    Raises:
        DataError: labelled classes that the classifier does not have.
        InputError: a size that the network cannot take.
    """
    goal = (size, size) if size is not None else classifier.input_size or DEFAULT_SIZE
    class_count = _count_classes(classifier, goal)
    names = classifier.class_names or (
        image_set.class_names
        if len(image_set.class_names) == class_count
        else tuple(str(index) for index in range(class_count))
    )
    return Subject(
        image_set=image_set,
        classifier=classifier,
        class_names=_spoken(names),
        labels=align_labels(
            image_set.labels,
            set_names=image_set.class_names,
            classifier_names=classifier.class_names,
            class_count=class_count,
        ),
        size=goal,
        resize=resize,
        batch_size=batch_size,
    )


def _spoken(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with spaces for underscores, unless two would become one."""
    spoken = tuple(name.replace("_", " ") for name in names)
    return spoken if len(set(spoken)) == len(spoken) else tuple(names)


def _count_classes(classifier: Classifier, size: tuple[int, int]) -> int:
    """Run one black probe image; refuse a size that the network cannot take."""
    try:
        probe = torch.zeros(1, 3, *size, device=classifier.device)
        return classifier.predict(probe).shape[1]
    except SundogError:
        raise
    except Exception as error:  # torch, onnxruntime and networks of others raise any kind
        made = classifier.input_size
        raise InputError(
            "size",
            expected=f"one that {classifier.name!r} runs on",
            got=f"{size[0]} x {size[1]} px ({first_line(error)})",
            hint=f"It was made for {made[0]} x {made[1]} px." if made else "Name it with --size.",
        ) from error


def open_subject(
    source: str | Path,
    *,
    model: str | Path,
    checkpoint: Path | None = None,
    classes: str | Sequence[int] | Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    split: str | None = None,
    limit: int | None = None,
    size: int | None = None,
    resize: Resize = "pad",
    batch_size: int = 32,
    device: str = "cpu",
    seed: int = 0,
    download: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    output: NetworkOutput = "logits",
    path_column: str | None = None,
    label_column: str | None = None,
) -> Subject:
    """Open images and classifier by name; see :func:`load_image_set` and :func:`get_model`.

    ``classes="auto"`` keeps those of the classifier's classes that the image set has, by name.
    Copies that ``sundog plant`` cut to the classifier's size are not cut again
    (:func:`sundog.audit.cut_already.resize_left`).

    Raises:
        InputError: a training run's folder with another ``resize`` than it was trained with.
    """
    check_resize(model, resize)
    image_set = load_image_set(
        source,
        split=split,
        limit=limit,
        seed=seed,
        download=download,
        path_column=path_column,
        label_column=label_column,
    )
    arguments: dict[str, Any] = {
        "class_names": class_names,
        "device": device,
        "download": download,
        "seed": seed,
        "mean": mean,
        "std": std,
        "output": output,
    }
    if classes == "auto":
        whole = get_model(model, checkpoint, **arguments)
        classes = _shared_classes(image_set, whole)
    classifier = get_model(model, checkpoint, classes, **arguments)
    resize = resize_left(
        [source], resize=resize, size=classifier.input_size if size is None else (size, size)
    )
    subject = make_subject(image_set, classifier, size=size, resize=resize, batch_size=batch_size)
    return replace(subject, root=_root(source))


def _root(source: str | Path) -> Path | None:
    """Return the folder of a folder or manifest, None for other sources."""
    place = Path(source)
    if place.is_dir():
        return place
    return place.parent if place.is_file() else None


def check_resize(model: str | Path, resize: Resize) -> None:
    """Refuse another resizing than a training run's: its network has not seen such images."""
    file = Path(model) / "args.json"
    if not file.is_file():
        return
    try:
        trained = json.loads(file.read_text(encoding="utf-8")).get("resize", resize)
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"File {str(file)!r}", expected="JSON", got="other") from error
    if trained != resize:
        raise InputError(
            "resize",
            expected=f"{trained!r}, with which {str(model)!r} was trained",
            got=repr(resize),
            hint=f"Try --resize {trained}.",
        )


def _shared_classes(image_set: ImageSet, classifier: Classifier) -> list[int]:
    matched = match_classes(image_set.class_names, classifier.class_names or ())
    if not matched:
        raise DataError(
            "classes='auto'",
            expected="at least one class name that image set and classifier share",
            got=f"none of {len(image_set.class_names)}",
            hint="Name the classes with --classes.",
        )
    return sorted(matched.values())
