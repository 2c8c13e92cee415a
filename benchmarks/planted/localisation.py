"""How well a claimed place fits the true one: overlap, and whether it points there."""

import numpy as np
from scipy import ndimage

from sundog.bias.shortcut_result import Shortcut

COMPACT = 0.25
"""A true region whose bounding box is larger than this share of the image is a ring: it is not
filled, and one sixteenth of the side beside it still counts as hit."""
TOLERANCE = 1 / 16


def true_region(mask: np.ndarray) -> np.ndarray:
    """Return the cue's region in one image: its filled bounding box, or the mask if it is a ring.

    Args:
        mask: ``bool[height, width]``, the pixels of the planted cue, not empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.zeros_like(mask)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box if box.mean() <= COMPACT else mask


def is_ring(mask: np.ndarray) -> bool:
    """Return whether the cue surrounds something."""
    return bool(true_region(mask).sum() == mask.sum() and mask.mean() < 1 and _spans(mask))


def overlap(claimed: np.ndarray, region: np.ndarray) -> float:
    """Return intersection over union, in [0, 1], higher is better."""
    union = int((claimed | region).sum())
    return float((claimed & region).sum() / union) if union else 0.0


def point(claimed: np.ndarray) -> tuple[int, int]:
    """Return (row, column) of the maximum; of equal pixels the deepest, then the most central.

    Args:
        claimed: ``[height, width]``, higher = more likely the cue.
    """
    highest = np.isclose(claimed, claimed.max())
    depth = ndimage.distance_transform_edt(np.pad(highest, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(np.isclose(depth, depth.max()))
    middle = ndimage.center_of_mass(highest)
    nearest = int(np.argmin((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2))
    return int(rows[nearest]), int(columns[nearest])


def hits(place: tuple[int, int], mask: np.ndarray) -> bool:
    """Return whether a point lies on the cue's region in one image."""
    region = true_region(mask)
    if is_ring(mask):
        near = max(1, round(TOLERANCE * min(mask.shape)))
        region = ndimage.distance_transform_edt(~region) <= near
    return bool(region[place])


def localise(claim: Shortcut, masks: np.ndarray) -> dict[str, float | None]:
    """Return the mean overlap and the share of hits over the images that carry the cue.

    Args:
        claim: with a mask for all images, or one per image; without one both are None.
        masks: ``bool[images, height, width]``, where the planted cue is; empty where it is absent.
    """
    overlaps, pointed = [], []
    common = None if claim.mask is None else np.asarray(claim.mask, dtype=float)
    for position in np.flatnonzero(masks.any(axis=(1, 2))).tolist():
        own = claim.image_masks.get(position)
        found = common if own is None else own.astype(float)
        if found is None or not found.any():
            if claim.image_masks:  # it is claimed to be elsewhere, or not in this image
                overlaps.append(0.0)
                pointed.append(False)
            continue
        overlaps.append(overlap(found >= 0.5 * found.max(), true_region(masks[position])))
        pointed.append(hits(point(found), masks[position]))
    if not overlaps:
        return {"iou": None, "pointing": None}
    return {"iou": float(np.mean(overlaps)), "pointing": float(np.mean(pointed))}


def _spans(mask: np.ndarray) -> bool:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tall, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    return bool(tall * wide > COMPACT * mask.size)
