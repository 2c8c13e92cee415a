"""Match a stamp in many images: small images of one size are compared all at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from sundog.concepts.patches_stamp import Stamp
from sundog.data.components.stamp_match import ANCHORS, as_planes, near
from sundog.data.content import Pixels

SMALL_AREA = 64 * 64
"""Images of at most so many pixels are compared together; of larger ones, to stop early in each
saves more."""
_AT_ONCE = 2**18
"""Pixels that are compared at once."""
_SPARSE = 0.02
"""Where fewer of the places are left, only these are compared."""


def stack_views(images: Sequence[Pixels]) -> list[Pixels]:
    """Return the same images laid out for :func:`match_all`.

    Args:
        images: of any size.
    """
    if _alike(images):
        planes = np.stack([image.transpose(2, 0, 1) for image in images], axis=1)
        return [planes[:, n].transpose(1, 2, 0) for n in range(len(images))]
    return [as_planes(image) for image in images]


def match_all(
    stamp: Stamp, views: Sequence[Pixels]
) -> tuple[Float64[np.ndarray, "images"], Int64[np.ndarray, "images 2"]]:
    """Return the result of :meth:`~sundog.concepts.patches_stamp.Stamp.match` for each image.

    Args:
        stamp: what is looked for.
        views: shrunk to its level.
    """
    if not _alike(views):
        matched = [stamp.match(view) for view in views]
        scores = np.array([score for score, _ in matched], dtype=np.float64)
        return scores, np.array([place for _, place in matched], dtype=np.int64).reshape(-1, 2)
    step = max(1, _AT_ONCE // (views[0].shape[0] * views[0].shape[1]))
    parts = [
        _match(stamp, np.stack([v.transpose(2, 0, 1) for v in views[i : i + step]], axis=1))
        for i in range(0, len(views), step)
    ]
    return np.concatenate([s for s, _ in parts]), np.concatenate([p for _, p in parts])


def _alike(images: Sequence[Pixels]) -> bool:
    """Return whether the images are small and of one size."""
    if not images or images[0].shape[0] * images[0].shape[1] > SMALL_AREA:
        return False
    return all(image.shape == images[0].shape for image in images)


def _match(
    stamp: Stamp, planes: UInt8[np.ndarray, "3 images height width"]
) -> tuple[Float64[np.ndarray, "images"], Int64[np.ndarray, "images 2"]]:
    count = planes.shape[1]
    scores, places = np.zeros(count), np.zeros((count, 2), np.int64)
    height = planes.shape[2] - int(stamp.offsets[:, 0].max())
    width = planes.shape[3] - int(stamp.offsets[:, 1].max())
    if height < 1 or width < 1:
        return scores, places
    pixels = planes.transpose(1, 2, 3, 0)
    found: dict[bytes, Bool[np.ndarray, "images height width"]] = {}
    hits = np.zeros((count, height, width), np.uint8)
    anchors = min(ANCHORS, len(stamp.offsets))
    for (row, column), colour in zip(stamp.offsets[:anchors], stamp.colours, strict=False):
        name = colour.tobytes()
        if name not in found:
            found[name] = near(pixels, colour, stamp.tolerance)
        hits += found[name][:, row : row + height, column : column + width]
    held = 2 * hits >= anchors
    images, rows, columns = np.nonzero(held)
    if len(images) < _SPARSE * held.size:
        if not len(images):
            return scores, places
        shares = np.zeros(len(images), np.int64)
        for (row, column), colour in zip(stamp.offsets, stamp.colours, strict=True):
            shares += near(pixels[images, rows + row, columns + column], colour, stamp.tolerance)
        order = np.lexsort((np.arange(len(images)), -shares, images))
        first = order[np.unique(images[order], return_index=True)[1]]  # the best of each image
        scores[images[first]] = shares[first] / len(stamp.offsets)
        places[images[first]] = np.stack([rows[first], columns[first]], axis=1)
        return scores, places
    for (row, column), colour in zip(stamp.offsets[anchors:], stamp.colours[anchors:], strict=True):
        name = colour.tobytes()
        if name not in found:
            found[name] = near(pixels, colour, stamp.tolerance)
        hits += found[name][:, row : row + height, column : column + width]
    flat = np.where(held, hits, np.uint8(0)).reshape(count, -1)
    best = flat.argmax(axis=1)
    scores = flat[np.arange(count), best] / len(stamp.offsets)
    return scores, np.stack(np.divmod(best, width), axis=1).astype(np.int64)
