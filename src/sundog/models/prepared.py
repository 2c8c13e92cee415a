"""Images resized once and kept in memory with 8 bits, or streamed in the same order if too many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Labels
from sundog.data.image_set import Batch, ImageSet
from sundog.data.transforms import Resize

CACHE_BYTES = 2 << 30
"""Resized images kept in memory (2 GiB)."""
READ_ROWS = 64


@dataclass(frozen=True)
class Kept:
    """Resized images in memory: ``uint8[kept, 3, h, w]`` and the row of each position, or -1."""

    pixels: Tensor
    rows: Tensor


class PreparedImages:
    """An image set at one size, to be read many times in any order.

    Pixels are rounded to 8 bits per channel whether they are kept or streamed, so that the result
    does not depend on the memory there is.

    Args:
        image_set: labelled images.
        size: (height, width) or side in pixels; ``None`` for images that all have one size.
        resize: see :meth:`sundog.data.image_set.ImageSet.batches`.
        cache_bytes: keep the images if they need no more than this; 0 always streams.
        workers: threads that decode.
    """

    def __init__(
        self,
        image_set: ImageSet,
        *,
        size: int | tuple[int, int] | None,
        resize: Resize = "pad",
        cache_bytes: int = CACHE_BYTES,
        workers: int = 0,
    ) -> None:
        if cache_bytes < 0:
            raise InputError("cache_bytes", expected=">= 0", got=str(cache_bytes))
        self.image_set = image_set
        self._size = size
        self._resize = resize
        self._workers = workers
        self._kept = self._keep(cache_bytes)

    @property
    def cached(self) -> bool:
        """Whether the images are in memory."""
        return self._kept is not None

    @property
    def resize(self) -> Resize:
        """How images are brought to size."""
        return self._resize

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the prepared images in pixels."""
        if self._kept is not None:
            shape = self._kept.pixels.shape
        else:
            shape = next(self._stream(self.image_set, 1)).images.shape
        return int(shape[2]), int(shape[3])

    def __len__(self) -> int:
        return len(self.image_set)

    def _stream(self, image_set: ImageSet, batch_size: int) -> Iterator[Batch]:
        return image_set.batches(
            size=self._size, resize=self._resize, batch_size=batch_size, workers=self._workers
        )

    def _keep(self, budget: int) -> Kept | None:
        count = len(self.image_set)
        pixels: Tensor | None = None
        rows = torch.full((count,), -1, dtype=torch.int64)
        filled = 0
        for batch in self._stream(self.image_set, READ_ROWS) if budget else ():
            if pixels is None:
                shape = batch.images.shape[1:]
                if count * shape.numel() > budget:
                    return None
                pixels = torch.empty((count, *shape), dtype=torch.uint8)
            if batch.images.shape[1:] != pixels.shape[1:]:
                raise InputError(
                    "size",
                    expected="given for images of different sizes",
                    got=f"{tuple(pixels.shape[2:])} and {tuple(batch.images.shape[2:])}",
                )
            end = filled + len(batch)
            pixels[filled:end] = _to_bytes(batch.images)
            rows[batch.indices] = torch.arange(filled, end)
            filled = end
        return None if pixels is None else Kept(pixels=pixels[:filled], rows=rows)

    def batches(self, order: Labels | None = None, *, batch_size: int = 64) -> Iterator[Batch]:
        """Yield the images at the positions ``order``; ``indices`` are positions in the set.

        Images that cannot be decoded are left out and listed in the set's ``skipped``; batches
        are full all the same, but for the last.
        """
        places = torch.arange(len(self)) if order is None else order
        if self._kept is None:
            part = self.image_set.subset(places.tolist())
            for batch in self._stream(part, batch_size):
                yield Batch(
                    images=_to_bytes(batch.images).float() / 255,
                    labels=batch.labels,
                    ids=batch.ids,
                    indices=places[batch.indices],
                )
            return
        labels = torch.from_numpy(self.image_set.labels)
        places = places[self._kept.rows[places] >= 0]
        for chosen in torch.split(places, batch_size):
            yield Batch(
                images=self._kept.pixels[self._kept.rows[chosen]].float() / 255,
                labels=labels[chosen],
                ids=tuple(self.image_set.ids[i] for i in chosen.tolist()),
                indices=chosen,
            )


def _to_bytes(images: Images) -> Tensor:
    return (images * 255).round().to(torch.uint8)
