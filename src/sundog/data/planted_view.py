"""An image set read at one size with a cue planted, without a copy on disk; and where the cue is.

The pixels hold the cue from the start, as in real data: flips and shifts of the training act on
image and cue alike. (``train_classifier(train_cue=...)`` plants after the augmentation.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int64

from sundog.core.errors import DataError, InputError
from sundog.core.seeds import derive_seed
from sundog.data.content import Pixels
from sundog.data.image_set import ImageSet
from sundog.data.mask_reader import KeptMasks
from sundog.data.planting import Cue
from sundog.data.transforms import Image, Resize, check_size, resize_image

OWN_COLUMNS = ("cue", "cue_class", "present", "aligned", "source_id")
ABSENT = -1
"""The cue class of an image that is left as it is."""


def planted_view(
    image_set: ImageSet,
    cue: Cue,
    *,
    size: int | tuple[int, int],
    resize: Resize = "pad",
    cue_class: Sequence[int] | Int64[np.ndarray, "images"] | None = None,
) -> ImageSet:
    """Return the images at one size with the cue planted, rounded to 8 bits.

    Labels, class names, order and metadata stay; the columns ``cue``, ``cue_class`` (the class
    that the cue speaks for, by index, -1: none), ``present``, ``aligned`` and ``source_id`` are
    added (one of the set's own with such a name becomes ``original_NAME``). An image's id is a
    hash of its own id, the cue, the class shown, size and resize rule: the same view has the same
    ids, and another one has others.

    Args:
        image_set: labelled, with as many classes as the cue.
        cue: from :func:`sundog.data.planting.make_cue`.
        size: (height, width) or side, in pixels.
        resize: ``pad``, ``crop`` or ``stretch``.
        cue_class: what to show in each image whatever its label (an intervention): a class, or -1
            to leave it as it is. None: drawn with the cue's strength.

    Raises:
        DataError: unlabelled images, or another number of classes than the cue's.
        InputError: a ``cue_class`` of another length or out of range.
    """
    goal = check_size(size)
    shown = _shown(image_set, cue, cue_class)
    known = image_set.labels
    carries = shown >= 0 if cue.target_class is None else shown == cue.target_class
    table = image_set.metadata.rename(
        columns={
            name: _free(f"original_{name}", list(image_set.metadata.columns))
            for name in OWN_COLUMNS
            if name in image_set.metadata.columns
        }
    )
    made = json.dumps([cue.to_dict(), list(goal), resize], sort_keys=True)

    def read(row: int) -> Pixels:
        image = resize_image(image_set.image(row), goal, resize=resize)
        if shown[row] >= 0:
            image = _plant(cue, image, int(shown[row]), image_set.ids[row])[0]
        rounded = (image * 255).round().to(torch.uint8)
        return np.ascontiguousarray(rounded.permute(1, 2, 0).numpy())

    return ImageSet(
        name=f"{image_set.name} with {cue.name}",
        class_names=image_set.class_names,
        labels=known,
        ids=[_id(source, made, int(c)) for source, c in zip(image_set.ids, shown, strict=True)],
        sources=image_set.sources,
        read=read,
        metadata=table.assign(
            cue=cue.name,
            cue_class=shown,
            present=carries,
            aligned=shown == known,
            source_id=list(image_set.ids),
        ),
        # Images that cannot be decoded are found (and listed) by the view itself.
        skipped=[s for s in image_set.skipped if s.source not in set(image_set.sources)],
    )


class PlantedMasks(KeptMasks):
    """Where :func:`planted_view` (called with the same arguments) planted the cue.

    An image that cannot be decoded has an empty mask; the view lists it as skipped.

    Args:
        image_set: the images without the cue.
        cue: the cue.
        size: (height, width) or side, in pixels.
        resize: ``pad``, ``crop`` or ``stretch``.
        cue_class: as for the view.

    Raises:
        DataError: as for the view.
        InputError: as for the view.
    """

    def __init__(
        self,
        image_set: ImageSet,
        cue: Cue,
        *,
        size: int | tuple[int, int],
        resize: Resize = "pad",
        cue_class: Sequence[int] | Int64[np.ndarray, "images"] | None = None,
    ) -> None:
        super().__init__(len(image_set), size)
        self._image_set = image_set
        self._cue = cue
        self._resize = resize
        self._shown = _shown(image_set, cue, cue_class)

    def _read(self, index: int) -> Bool[np.ndarray, "height width"]:
        empty = np.zeros(self.image_size, dtype=bool)
        if self._shown[index] < 0:
            return empty
        try:
            pixels = self._image_set.image(index)
        except DataError:  # recorded by image()
            return empty
        image = resize_image(pixels, self.image_size, resize=self._resize)
        shown = int(self._shown[index])
        mask = _plant(self._cue, image, shown, self._image_set.ids[index])[1]
        found: Bool[np.ndarray, "height width"] = mask.numpy()
        return found


def _plant(cue: Cue, image: Image, cue_class: int, image_id: str) -> tuple[Image, torch.Tensor]:
    planted = cue.plant_as(image[None], torch.tensor([cue_class]), [image_id])
    return planted.images[0], planted.masks[0]


def _shown(
    image_set: ImageSet, cue: Cue, given: Sequence[int] | np.ndarray | None
) -> Int64[np.ndarray, "images"]:
    if len(image_set.class_names) != cue.class_count:
        raise DataError(
            "class_count of the cue",
            expected=f"that of the image set ({len(image_set.class_names)})",
            got=str(cue.class_count),
        )
    if given is None:
        unlabelled = int((image_set.labels < 0).sum())
        if unlabelled:
            raise DataError(
                f"Image set {image_set.name!r}",
                expected="labelled, to plant a cue that depends on the label",
                got=f"{unlabelled} unlabelled images of {len(image_set)}",
                hint="Give cue_class to say what each image shows.",
            )
        drawn: Int64[np.ndarray, "images"] = cue.draw(
            torch.from_numpy(image_set.labels), image_set.ids
        ).numpy()
        return drawn
    shown = np.asarray(given, dtype=np.int64).reshape(-1)
    if len(shown) != len(image_set):
        raise InputError(
            "cue_class", expected=f"one per image ({len(image_set)})", got=str(len(shown))
        )
    if len(shown) and not (shown.min() >= ABSENT and shown.max() < cue.class_count):
        raise InputError(
            "cue_class",
            expected=f"in 0..{cue.class_count - 1}, or -1 for none",
            got=f"{shown.min()}..{shown.max()}",
        )
    return shown


def _id(source: str, made: str, cue_class: int) -> str:
    first, second = (derive_seed(0, half, source, made, cue_class) for half in ("a", "b"))
    return f"{first:016x}{second:016x}"


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name = f"original_{name}"
    return name
