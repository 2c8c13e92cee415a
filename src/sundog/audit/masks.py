"""Masks of planted cues, read back from the manifest that ``sundog plant`` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from sundog.data.image_set import ImageSet
from sundog.data.mask_reader import COLUMN, read_mask
from sundog.data.transforms import Resize


def has_masks(image_set: ImageSet) -> bool:
    """Return whether the image set's manifest names a mask for its images."""
    return COLUMN in image_set.metadata.columns


def read_masks(
    image_set: ImageSet, root: str | Path, *, size: tuple[int, int], resize: Resize
) -> dict[str, Bool[np.ndarray, "height width"]]:
    """Return image id -> mask, brought to size as the images are; images without one are left out.

    Args:
        image_set: with a metadata column ``mask_path``.
        root: folder that relative mask paths start from (the manifest's).
        size: (height, width).
        resize: as for the images; a pixel belongs to the mask if at least half of it does.

    Raises:
        DataError: a mask that cannot be read.
    """
    masks: dict[str, Bool[np.ndarray, "height width"]] = {}
    for image_id, name in zip(image_set.ids, image_set.metadata[COLUMN].tolist(), strict=True):
        if not isinstance(name, str) or not name:
            continue
        masks[image_id] = read_mask(name, root, size=size, resize=resize)
    return masks
