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
    count = windows if windows is not None else int(rows.max(initial=-1)) + 1
    window_of = dict(zip(places.tolist(), rows.tolist(), strict=True))
    sums: np.ndarray | None = None
    seen = np.zeros(count, dtype=np.int64)
    for batch in batches:
        images = batch.images.detach().cpu().double().numpy().transpose(0, 2, 3, 1)
        if sums is None:
            sums = np.zeros((count, *images.shape[1:]))
        if images.shape[1:] != sums.shape[1:]:
            raise InputError(
                "batches",
                expected=f"images of one size {sums.shape[1:3]}",
                got=str(images.shape[1:3]),
            )
        for image, position in zip(images, batch.indices.tolist(), strict=True):
            window = window_of.get(position, -1)
            if 0 <= window < count:
                sums[window] += image
                seen[window] += 1
    if sums is None:
        raise InputError("batches", expected="at least one image", got="none")
    means = sums / np.maximum(seen, 1)[:, None, None, None]
    return np.rint(np.clip(means, 0, 1) * 255).astype(np.uint8)
