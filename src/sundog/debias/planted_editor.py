"""Edits of a cue that was planted: the clean image is known, so nothing need be guessed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sundog.core.errors import DataError, InputError
from sundog.core.seeds import derive_seed, generator
from sundog.core.shapes import Images, Labels
from sundog.data.planting import Cue
from sundog.debias.moves import Moves
from sundog.models.prepared import PreparedImages


class PlantedEditor:
    """Replaces the images of a planted set by their clean originals, or by those with another cue.

    A swapped cue speaks for a class drawn uniformly from all classes; a cue with a target class
    is shown in every second image.

    Args:
        clean: the images without the cue, in the order of the planted set, at its size.
        cue: what was planted.
        after_augmentation: the cue was planted in images that were already flipped and shifted
            (``train_classifier(train_cue=cue)``); False: the cue is in the pixels
            (:func:`sundog.data.planted_view.planted_view`) and moves with them.

    Raises:
        InputError: a cue of another number of classes.
    """

    def __init__(
        self, clean: PreparedImages, cue: Cue, *, after_augmentation: bool = False
    ) -> None:
        classes = len(clean.image_set.class_names)
        if classes != cue.class_count:
            raise InputError(
                "cue", expected=f"made for {classes} classes", got=f"{cue.class_count} classes"
            )
        self.image_size = clean.image_size
        self._clean = clean
        self._cue = cue
        self._after = after_augmentation

    def __len__(self) -> int:
        return len(self._clean)

    def describe(self) -> dict[str, Any]:
        """Return the cue and the identity of the clean images."""
        content = derive_seed(0, *self._clean.image_set.ids)
        return {
            "name": "planted",
            "cue": self._cue.to_dict(),
            "clean": f"{content:016x}",
            "after_augmentation": self._after,
        }

    def removed(self, images: Images, indices: Labels, *, moves: Moves | None = None) -> Images:
        """Return the clean originals, moved as the images were."""
        clean, _ = self._read(indices)
        return _moved(clean, moves).to(images)

    def swapped(
        self, images: Images, indices: Labels, *, seed: int, moves: Moves | None = None
    ) -> Images:
        """Return the originals with the cue of a class that is drawn for each image."""
        classes = torch.tensor([self._draw(seed, i) for i in indices.tolist()], dtype=torch.int64)
        return self.shown_as(images, indices, classes, moves=moves)

    def shown_as(
        self, images: Images, indices: Labels, classes: Labels, *, moves: Moves | None = None
    ) -> Images:
        """Return the originals with the cue of the given classes, whatever the labels."""
        clean, ids = self._read(indices)
        if self._after:
            planted = self._cue.plant_as(_moved(clean, moves), classes, ids).images
        else:
            planted = _moved(_rounded(self._cue.plant_as(clean, classes, ids).images), moves)
        return planted.to(images)

    def _draw(self, seed: int, index: int) -> int:
        draw = generator(seed, "planted cue", index)
        target = self._cue.target_class
        if target is None:
            return int(torch.randint(self._cue.class_count, (1,), generator=draw))
        shown = bool(torch.rand(1, generator=draw) < 0.5)
        return target if shown else (target + 1) % self._cue.class_count

    def _read(self, indices: Labels) -> tuple[Images, tuple[str, ...]]:
        batches = list(self._clean.batches(indices.cpu(), batch_size=max(1, len(indices))))
        found = sum(len(batch) for batch in batches)
        if found != len(indices):
            raise DataError(
                "The clean images",
                expected="readable wherever the planted ones are",
                got=f"{len(indices) - found} of {len(indices)} that cannot be decoded",
            )
        images = torch.cat([batch.images for batch in batches])
        return images, tuple(i for batch in batches for i in batch.ids)


def _moved(images: Images, moves: Moves | None) -> Images:
    return images if moves is None else moves.images(images)


def _rounded(images: Tensor) -> Tensor:
    return (images * 255).round() / 255
