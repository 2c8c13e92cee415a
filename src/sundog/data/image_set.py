"""An image set: images with labels, class names, metadata and a stable id for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64

from sundog.core.errors import DataError, InputError
from sundog.core.notebook import Card, InNotebook
from sundog.core.shapes import Images, Labels
from sundog.data.content import Pixels, conflicting_groups, identical_groups
from sundog.data.streaming import ordered_map
from sundog.data.transforms import Image, Resize, check_size, resize_image, to_tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images of a set, in order.

    Attributes:
        images: ``float32[batch, 3, height, width]`` in [0, 1].
        labels: ``int64[batch]``, -1 = unlabelled.
        ids: content hash of each image.
        indices: ``int64[batch]``, positions in the image set. Images that cannot be decoded are
            left out, so positions may jump.
    """

    images: Images
    labels: Labels
    ids: tuple[str, ...]
    indices: Labels

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Skipped:
    """An image (or an empty class folder) that was left out, and why."""

    source: str
    reason: str


class ImageSet(InNotebook):
    """Images that are read when needed; labels, ids and metadata are held in memory.

    Readers make it (:func:`sundog.data.load.load_image_set`); nobody else needs the constructor.

    Args:
        name: shown in results.
        class_names: one per class; empty for an unlabelled set.
        labels: class of each image, -1 = unlabelled.
        ids: content hash of each image, the same whatever its path.
        sources: where each image came from, for people.
        read: decodes image number i to uint8 RGB; raises DataError if it cannot.
        metadata: one row per image, or None for no columns.
        skipped: what was left out when the set was opened.

    Raises:
        DataError: lengths that differ, or a label outside the class names.
    """

    def __init__(
        self,
        *,
        name: str,
        class_names: Sequence[str],
        labels: Int64[np.ndarray, "images"],
        ids: Sequence[str],
        sources: Sequence[str],
        read: Callable[[int], Pixels],
        metadata: pd.DataFrame | None = None,
        skipped: Sequence[Skipped] = (),
    ) -> None:
        self.name = name
        self.class_names = tuple(class_names)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.ids = tuple(ids)
        self.sources = tuple(sources)
        count = len(self.ids)
        table = pd.DataFrame(index=range(count)) if metadata is None else metadata
        self.metadata = table.reset_index(drop=True)
        lengths = {len(self.labels), len(self.sources), len(self.metadata), count}
        if len(lengths) > 1:
            raise DataError("labels, ids, sources and metadata", expected="of one length")
        if len(set(self.class_names)) != len(self.class_names):
            raise DataError("class_names", expected="distinct", got=f"{len(class_names)} names")
        if count and not (self.labels.min() >= -1 and self.labels.max() < len(self.class_names)):
            raise DataError(
                "labels",
                expected=f"in 0..{len(self.class_names) - 1}, or -1 for unlabelled",
                got=f"{self.labels.min()}..{self.labels.max()}",
            )
        self._read = read
        self._rows = np.arange(count)
        self._skipped_at_opening = tuple(skipped)
        self._failures: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        parts = [f"{len(self)} images", f"{len(self.class_names)} classes"]
        for what, found in (
            ("skipped", self.skipped),
            ("groups of duplicates", self.duplicates),
            ("groups of duplicates with different labels", self.label_conflicts),
            ("empty classes", self.empty_classes),
        ):
            if found:
                parts.append(f"{len(found)} {what}")
        return f"ImageSet({self.name!r}: {', '.join(parts)})"

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was left out: when opened, and (so far) because it could not be decoded."""
        failed = [
            Skipped(source=self.sources[i], reason=self._failures[int(row)])
            for i, row in enumerate(self._rows)
            if int(row) in self._failures
        ]
        return self._skipped_at_opening + tuple(failed)

    @property
    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        """Groups of sources with identical content (equal ids)."""
        return tuple(tuple(self.sources[i] for i in g) for g in identical_groups(self.ids))

    @property
    def label_conflicts(self) -> tuple[tuple[str, ...], ...]:
        """Groups of sources with identical content and different labels: one label is wrong."""
        groups = conflicting_groups(self.ids, self.labels)
        return tuple(tuple(self.sources[i] for i in g) for g in groups)

    @property
    def class_counts(self) -> Int64[np.ndarray, "classes"]:
        """Number of images of each class, unlabelled ones left out."""
        known = self.labels[self.labels >= 0]
        return np.bincount(known, minlength=len(self.class_names)).astype(np.int64)

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """Names of classes without an image."""
        return tuple(n for n, c in zip(self.class_names, self.class_counts, strict=True) if c == 0)

    def require_classes(self, minimum: int = 2) -> None:
        """Refuse a set with fewer than ``minimum`` classes that have images.

        Raises:
            DataError: too few, with what the set holds.
        """
        present = int((self.class_counts > 0).sum())
        if present < minimum:
            hint = "Every image is unlabelled." if present == 0 else ""
            if self.empty_classes:
                hint = f"Classes without an image: {', '.join(self.empty_classes[:5])}."
            raise DataError(
                f"Image set {self.name!r}",
                expected=f"labelled with at least {minimum} classes that have images",
                got=str(present),
                hint=hint,
            )

    def image(self, index: int) -> Pixels:
        """Decode image ``index`` (0-based) to ``uint8[height, width, 3]``, RGB.

        Raises:
            InputError: no such image.
            DataError: it cannot be decoded; it is then listed in ``skipped``.
        """
        if not 0 <= index < len(self):
            raise InputError("index", expected=f"in 0..{len(self) - 1}", got=str(index))
        row = int(self._rows[index])
        try:
            return self._read(row)
        except DataError as error:
            self._failures[row] = error.message
            raise

    def subset(self, indices: Sequence[int] | Int64[np.ndarray, "images"]) -> ImageSet:
        """Return the images at ``indices``, in that order; what is skipped stays shared.

        Raises:
            InputError: an index out of range.
        """
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise InputError(
                "indices",
                expected=f"in 0..{len(self) - 1}",
                got=f"{chosen.min()}..{chosen.max()}",
            )
        part = ImageSet(
            name=self.name,
            class_names=self.class_names,
            labels=self.labels[chosen],
            ids=[self.ids[i] for i in chosen],
            sources=[self.sources[i] for i in chosen],
            read=self._read,
            metadata=self.metadata.iloc[chosen],
            skipped=self._skipped_at_opening,
        )
        part._rows = self._rows[chosen]
        part._failures = self._failures
        return part

    def relabelled(
        self, labels: Int64[np.ndarray, "images"], class_names: Sequence[str]
    ) -> ImageSet:
        """Return the same images with other labels and class names; what is skipped stays shared.

        Raises:
            DataError: another number of labels, or one outside the class names.
        """
        changed = self.subset(np.arange(len(self)))
        other = ImageSet(
            name=self.name,
            class_names=class_names,
            labels=labels,
            ids=self.ids,
            sources=self.sources,
            read=self._read,
            metadata=self.metadata,
            skipped=self._skipped_at_opening,
        )
        other._rows, other._failures = changed._rows, self._failures
        return other

    def batches(
        self,
        *,
        size: int | tuple[int, int] | None,
        batch_size: int = 32,
        resize: Resize = "pad",
        antialias: bool = True,
        crop_fraction: float = 0.875,
        workers: int = 0,
    ) -> Iterator[Batch]:
        """Stream the images in order; at most a batch and four images per worker are held.

        Args:
            size: (height, width) or side in pixels; None keeps each image's own size.
            batch_size: images per batch, >= 1; the last batch may be smaller.
            resize: ``pad``, ``crop`` or ``stretch``, see :func:`resize_image`.
            antialias: False = TensorFlow 2's bilinear without antialiasing.
            crop_fraction: for ``crop``.
            workers: threads that decode and resize; the result does not depend on it.

        Raises:
            InputError: a bad argument.
            DataError: an empty set, images of different size with ``size=None``, or not one image
                that can be decoded. Single images that cannot are left out and listed.
        """
        if batch_size < 1:
            raise InputError("batch_size", expected=">= 1", got=str(batch_size))
        if workers < 0:
            raise InputError("workers", expected=">= 0", got=str(workers))
        if len(self) == 0:
            raise DataError(f"Image set {self.name!r}", expected="non-empty", got="no image")
        goal = None if size is None else check_size(size)

        def prepare(index: int) -> Image | None:
            try:
                pixels = self.image(index)
            except DataError:  # recorded by image()
                return None
            if goal is None:
                return to_tensor(pixels)
            return resize_image(
                pixels, goal, resize=resize, antialias=antialias, crop_fraction=crop_fraction
            )

        return self._stream(prepare, batch_size, workers)

    def _stream(
        self, prepare: Callable[[int], Image | None], batch_size: int, workers: int
    ) -> Iterator[Batch]:
        held: list[tuple[int, Image]] = []
        yielded = False
        prepared = ordered_map(prepare, range(len(self)), workers=workers)
        for index, image in enumerate(prepared):
            if image is not None:
                held.append((index, image))
            if len(held) == batch_size:
                yield self._batch(held)
                held, yielded = [], True
        if held:
            yield self._batch(held)
        elif not yielded:
            raise DataError(
                f"Image set {self.name!r}",
                expected="readable",
                got=f"{len(self)} images of which not one can be decoded",
                hint=f"First reason: {self.skipped[-len(self)].reason}",
            )

    def _batch(self, held: list[tuple[int, Image]]) -> Batch:
        shapes = {tuple(image.shape[1:]) for _, image in held}
        if len(shapes) > 1:
            raise DataError(
                "Images of one batch",
                expected="of one size",
                got=", ".join(f"{h} x {w}" for h, w in sorted(shapes)[:4]),
                hint="Give size=..., or batch_size=1.",
            )
        indices = [index for index, _ in held]
        return Batch(
            images=torch.stack([image for _, image in held]),
            labels=torch.from_numpy(self.labels[indices]),
            ids=tuple(self.ids[i] for i in indices),
            indices=torch.tensor(indices, dtype=torch.int64),
        )

    def _card(self) -> Card:
        counts = np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        rows = [
            {"class": n, "images": int(c)} for n, c in zip(self.class_names, counts, strict=True)
        ]
        return Card(
            headline=f"{self.name}: {len(self):,} images, {len(self.class_names):,} classes",
            facts={
                "columns": ", ".join(map(str, self.metadata.columns)) or "none",
                "without a label": int((self.labels < 0).sum()),
                "left out": len(self.skipped),
            },
            tables=[("Images of each class", pd.DataFrame(rows))] if rows else [],
        )
