"""Where a recurring patch lies in an image: the box of a stamp, or the place of a print."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from sundog.concepts.patches import reduce
from sundog.concepts.patches_fixed import Pattern, residual
from sundog.concepts.patches_learn import Patch
from sundog.data.components.stamp_match import as_planes, shrink
from sundog.data.content import Pixels


def patch_mask(patch: Patch, pixels: Pixels) -> Bool[np.ndarray, "height width"]:
    """Return the box around the patch, empty where the image does not carry it.

    A stamp is looked for; if it was learned at a coarser scale, where its rim is soft, its box
    grows by one pixel of that scale. A print is at the same place in every image.

    Args:
        patch: of a fitted :class:`sundog.concepts.patches.PatchTagger`.
        pixels: ``uint8[height, width, 3]``.
    """
    mask = np.zeros(pixels.shape[:2], dtype=bool)
    kind, reduced = patch.kind, reduce(pixels)
    if isinstance(kind, Pattern):
        if kind.match(residual(reduced, kind.grid)) >= patch.threshold:
            top, left, bottom, right = kind.box
            _fill(mask, (top, left, bottom, right), kind.grid)
        return mask
    view = as_planes(shrink(reduced, kind.level.shrink))
    share, (row, column) = kind.match(view)
    if share >= patch.threshold:
        tall, wide = kind.offsets.max(axis=0) + 1
        rim = int(kind.level.shrink > 1)
        box = (row - rim, column - rim, row + int(tall) + rim, column + int(wide) + rim)
        _fill(mask, box, (view.shape[0], view.shape[1]))
    return mask


def _fill(
    mask: Bool[np.ndarray, "height width"], box: tuple[int, int, int, int], grid: tuple[int, int]
) -> None:
    """Set the pixels of a box that is given on a grid over the whole image."""
    ends = []
    for first, last, cells, pixels in (
        (box[0], box[2], grid[0], mask.shape[0]),
        (box[1], box[3], grid[1], mask.shape[1]),
    ):
        scale = pixels / cells
        ends.append((int(np.floor(max(first, 0) * scale)), int(np.ceil(min(last, cells) * scale))))
    (top, bottom), (left, right) = ends
    mask[top:bottom, left:right] = True
