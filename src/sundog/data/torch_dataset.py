"""A torch ``Dataset`` as an image set: items ``(image, label)``; tensors, PIL or arrays."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from torch import Tensor

from sundog.core.errors import DataError
from sundog.data.arrays import array_to_pixels
from sundog.data.content import Pixels, pixel_id
from sundog.data.decode import to_rgb_pixels
from sundog.data.image_set import ImageSet, Skipped
from sundog.data.labels import resolve_labels
from sundog.data.sampling import balanced_sample


def from_torch_dataset(
    dataset: Any,
    *,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Make an image set from a map-style dataset; every item is read once now, for id and label.

    Args:
        dataset: with ``len()`` and ``dataset[i]`` = image, or a tuple or list that starts with
            (image, label). The image is a PIL image, a tensor ``[3 or 1, h, w]`` (uint8, or float
            in [0, 1], before normalisation) or an array ``[h, w, c]``.
        class_names: in order; None: ``dataset.classes`` if it has them, else the labels.
        name: shown in results; None: the dataset's type.
        limit: at most so many images, drawn from all positions.
        seed: of that draw.

    Returns:
        The set without the items that cannot be read; those are in ``skipped``.

    Raises:
        DataError: no length, no items, none readable, or items that change between two reads
            (random transforms belong into training, not into the set).
    """
    try:
        count = len(dataset)
    except TypeError as error:
        raise DataError("dataset", expected="map-style, with a length", got="none") from error
    title = name or type(dataset).__name__
    sources = [f"{title}[{i}]" for i in range(count)]
    unlabelled = np.full(count, -1, dtype=np.int64)
    rows, ids, labels, skipped = [], [], [], []
    for row in balanced_sample(unlabelled, sources, limit=limit, seed=seed).tolist():
        try:
            pixels, label = read_item(dataset, row)
        except DataError as error:
            skipped.append(Skipped(sources[row], error.message))
            continue
        rows.append(row)
        ids.append(pixel_id(pixels))
        labels.append(label)
    if not rows:
        first = f"First reason: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"Dataset {title!r}", expected="with a readable item", got="none", hint=first
        )
    if pixel_id(read_item(dataset, rows[0])[0]) != ids[0]:
        raise DataError(
            f"Dataset {title!r}",
            expected="the same image at each read",
            got="another",
            hint="Remove random transforms.",
        )
    given = class_names if class_names is not None else _classes(dataset)
    index, names = resolve_labels(labels, given)
    lock = threading.Lock()

    def read(position: int) -> Pixels:
        with lock:  # datasets are not made for threads
            return read_item(dataset, rows[position])[0]

    return ImageSet(
        name=title,
        class_names=names,
        labels=index,
        ids=ids,
        sources=[sources[row] for row in rows],
        read=read,
        skipped=skipped,
    )


def read_item(dataset: Any, index: int) -> tuple[Pixels, Any]:
    """Return (uint8 RGB, label or None) of one item.

    Raises:
        DataError: the dataset raised, or the item is not an image.
    """
    try:
        item = dataset[index]
    except Exception as error:  # a dataset may raise anything; it is reported
        raise DataError(
            f"the item cannot be read: {type(error).__name__}: {str(error)[:160]}"
        ) from error
    image, label = (
        (item[0], item[1]) if isinstance(item, tuple | list) and len(item) > 1 else (item, None)
    )
    if isinstance(label, Tensor | np.ndarray):
        if label.size != 1 if isinstance(label, np.ndarray) else label.numel() != 1:
            raise DataError("the label must be one value per image")
        label = label.item()
    return image_to_pixels(image), label


def image_to_pixels(image: Any) -> Pixels:
    """Convert a PIL image, a tensor ``[c, h, w]`` or an array ``[h, w, c]`` to uint8 RGB.

    Raises:
        DataError: anything else, or values outside the range.
    """
    if isinstance(image, PillowImage.Image):
        return to_rgb_pixels(image)
    if isinstance(image, Tensor):
        array, channels, layout = image.detach().cpu().numpy(), 0, "NCHW"
    elif isinstance(image, np.ndarray):
        array, channels, layout = image, 2, "NHWC"
    else:
        raise DataError(f"the item is a {type(image).__name__}, not an image")
    if array.ndim == 2 and array.size:
        return array_to_pixels(array, "NHW")
    if array.ndim != 3 or array.shape[channels] not in (1, 3, 4) or not array.size:
        raise DataError(f"the item has the shape {array.shape}, which is not that of an image")
    return array_to_pixels(array, "NCHW" if layout == "NCHW" else "NHWC")


def _classes(dataset: Any) -> list[str] | None:
    classes = getattr(dataset, "classes", None)
    if not isinstance(classes, list | tuple) or not classes:
        return None
    return [", ".join(map(str, c)) if isinstance(c, list | tuple) else str(c) for c in classes]
