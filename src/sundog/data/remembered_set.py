"""An image set whose decoded images are kept in memory, up to a number of bytes.

An audit reads the same images for several purposes: to learn tags, to predict, to draw, to explain.
The images that were read first are kept until the memory is used up; the others are decoded again.
Nothing is thrown out: whoever reads a large set several times in order would always miss what was
thrown out last.
"""

from __future__ import annotations

import threading

from sundog.core.errors import InputError
from sundog.data.content import Pixels
from sundog.data.image_set import ImageSet

REMEMBERED_BYTES = 1 << 30
"""Decoded images that are kept (1 GiB)."""


class RememberedSet(ImageSet):
    """Decodes an image once and keeps it; subsets share what is kept.

    Args:
        image_set: the images.
        budget: bytes of decoded images that are kept, >= 0. Copies of one image count once.

    Raises:
        InputError: a negative budget.
    """

    def __init__(self, image_set: ImageSet, *, budget: int = REMEMBERED_BYTES) -> None:
        if budget < 0:
            raise InputError("budget", expected=">= 0 bytes", got=str(budget))
        self._budget = budget
        self._pixels: dict[str, Pixels] = {}
        self._held = 0
        self._lock = threading.Lock()

        def read(row: int) -> Pixels:
            key = image_set.ids[row]
            kept = self._pixels.get(key)
            if kept is not None:
                return kept
            pixels = image_set.image(row)
            with self._lock:
                if key not in self._pixels and self._held + pixels.nbytes <= self._budget:
                    self._pixels[key] = pixels
                    self._held += pixels.nbytes
            return pixels

        super().__init__(
            name=image_set.name,
            class_names=image_set.class_names,
            labels=image_set.labels,
            ids=image_set.ids,
            sources=image_set.sources,
            read=read,
            metadata=image_set.metadata,
            skipped=image_set.skipped,
        )

    @property
    def held_bytes(self) -> int:
        """Bytes of the decoded images that are kept now."""
        return self._held


def remember_images(image_set: ImageSet, *, budget: int = REMEMBERED_BYTES) -> RememberedSet:
    """Return a set that keeps what it decodes; one that does so already is returned as it is.

    Args:
        image_set: the images.
        budget: bytes of decoded images that are kept, >= 0.

    Raises:
        InputError: a negative budget.
    """
    if isinstance(image_set, RememberedSet):
        return image_set
    return RememberedSet(image_set, budget=budget)
