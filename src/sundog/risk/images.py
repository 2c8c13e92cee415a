"""Batches of images from whatever a user has: an image set, a loader, a tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.progress import track
from sundog.core.shapes import Labels
from sundog.data.image_set import Batch, ImageSet
from sundog.data.transforms import Resize
from sundog.models.checks import check_images
from sundog.models.prepared import PreparedImages

Source = ImageSet | PreparedImages | Iterable[Any] | Tensor


def image_batches(
    data: Source,
    *,
    size: int | tuple[int, int] | None = None,
    resize: Resize = "pad",
    batch_size: int = 64,
    progress: bool | None = None,
) -> Iterator[Batch]:
    """Yield the images of any source in its own order.

    Args:
        data: an image set, prepared images, ``float[n, 3, height, width]``, or anything that
            yields ``(images, labels)`` or images (a torch ``DataLoader``); a loader is read anew
            at each call, so a generator can be read only once.
        size: (height, width) or side in pixels, for an image set.
        resize: ``pad``, ``crop`` or ``stretch``, for an image set.
        batch_size: images per batch; a loader keeps its own.
        progress: show progress; None = on a terminal.

    Raises:
        InputError: batches that are neither, or images out of range.
        DataError: not one image that can be decoded.
    """
    if isinstance(data, (ImageSet, PreparedImages)):
        images = data
        if isinstance(images, ImageSet):
            images = PreparedImages(images, size=size, resize=resize, cache_bytes=0)
        total = -(-len(images) // batch_size)
        stream = images.batches(batch_size=batch_size)
        yield from track(stream, description="images", total=total, visible=progress)
        return
    parts: Iterable[Any] = torch.split(data, batch_size) if isinstance(data, Tensor) else data
    seen = 0
    for item in parts:
        shown, labels = _open(item)
        check_images(shown)
        if labels.shape != (len(shown),):
            raise InputError(
                "A batch's labels",
                expected=f"one per image, shape ({len(shown)},)",
                got=str(tuple(labels.shape)),
            )
        indices = torch.arange(seen, seen + len(shown))
        seen += len(shown)
        yield Batch(
            images=shown.float(),
            labels=labels,
            indices=indices,
            ids=tuple(str(i) for i in indices.tolist()),
        )
    if not seen:
        raise InputError("data", expected="at least one image", got="none")


def _open(item: Any) -> tuple[Tensor, Labels]:
    if isinstance(item, Tensor):
        return item, torch.full((len(item),), -1)
    if isinstance(item, (tuple, list)) and len(item) >= 2 and isinstance(item[0], Tensor):
        return item[0], torch.as_tensor(item[1]).long().cpu()
    raise InputError(
        "A batch",
        expected="images or (images, labels) as tensors",
        got=type(item).__name__,
        hint="Use a torch DataLoader, or sundog.load_image_set(...).",
    )
