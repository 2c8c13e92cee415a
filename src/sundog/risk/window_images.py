"""The mean image of each window of risk, in one pass over the images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int, UInt8
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.data.image_set import Batch


def mean_images(
    batches: Iterable[Batch],
    membership: Int[np.ndarray, " n"],
    *,
    indices: ArrayLike | None = None,
    windows: int | None = None,
) -> UInt8[np.ndarray, "windows height width 3"]:
    """Return the mean image of each window, RGB.

    Args:
        batches: images of one size; each is read once and not kept.
        membership: window of each row, -1: in none.
        indices: position of each row in the image set; the row's number if None. Images of the
            set without a row count in no window.
        windows: how many; one more than the largest of ``membership`` if None.

    Returns:
        The mean over the images seen, rounded to whole numbers; black for a window without any.

    Raises:
        InputError: images of different sizes, no image at all, ``indices`` that do not fit.
    """
    means = WindowMeans(membership, indices=indices, windows=windows)
    for batch in batches:
        means.add(batch)
    return means.result()


class WindowMeans:
    """Sums of the images of each window; several of these can share one pass over the images.

    Args:
        membership: window of each row, -1: in none.
        indices: position of each row in the image set; the row's number if None.
        windows: how many; one more than the largest of ``membership`` if None.

    Raises:
        InputError: ``membership`` or ``indices`` that do not fit.
    """

    def __init__(
        self,
        membership: Int[np.ndarray, " n"],
        *,
        indices: ArrayLike | None = None,
        windows: int | None = None,
    ) -> None:
        rows = np.asarray(membership)
        places = np.arange(rows.size) if indices is None else np.asarray(indices)
        if rows.ndim != 1 or places.shape != rows.shape or rows.dtype.kind not in "iu":
            raise InputError(
                "membership and indices",
                expected="integers, one each per row",
                got=f"{rows.dtype}{list(rows.shape)} and {places.dtype}{list(places.shape)}",
            )
        if np.unique(places).size != places.size:
            raise InputError("indices", expected="all different", got="a position given twice")
        self._count = windows if windows is not None else int(rows.max(initial=-1)) + 1
        self._window_of = dict(zip(places.tolist(), rows.tolist(), strict=True))
        self._sums: np.ndarray | None = None
        self._seen = np.zeros(self._count, dtype=np.int64)

    def add(self, batch: Batch) -> None:
        """Add the images of a batch; they are not kept.

        Raises:
            InputError: images of another size than before.
        """
        images = batch.images.detach().cpu().double().numpy().transpose(0, 2, 3, 1)
        if self._sums is None:
            self._sums = np.zeros((self._count, *images.shape[1:]))
        if images.shape[1:] != self._sums.shape[1:]:
            raise InputError(
                "batches",
                expected=f"images of one size {self._sums.shape[1:3]}",
                got=str(images.shape[1:3]),
            )
        for image, position in zip(images, batch.indices.tolist(), strict=True):
            window = self._window_of.get(position, -1)
            if 0 <= window < self._count:
                self._sums[window] += image
                self._seen[window] += 1

    def result(self) -> UInt8[np.ndarray, "windows height width 3"]:
        """Return the mean image of each window.

        Raises:
            InputError: no image was added.
        """
        if self._sums is None:
            raise InputError("batches", expected="at least one image", got="none")
        means = self._sums / np.maximum(self._seen, 1)[:, None, None, None]
        return np.rint(np.clip(means, 0, 1) * 255).astype(np.uint8)
