"""Where images of a class repeat the same pixels: a model-free hint at a printed cue."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage

from sundog.bias.shortcut_pairs import chunks
from sundog.core.shapes import Images
from sundog.data.components.cast import casts
from sundog.data.components.window import window_mask

SAME = 0.06
"""Colours within this distance in every channel count as the same."""
FOUND, STANDS_OUT = 0.6, 0.3
"""How much more a class must repeat a pixel, and how far beyond what it repeats anyway."""
FILLS = 0.6
LEAST_IMAGES = 5
LEAST_MORE, LEAST_PRINT, SHOWN = 0.3, 4, 0.7
"""What a class's print is: see :func:`print_carriers`."""


def repeat_map(
    images: Images, labels: Int64[np.ndarray, "images"]
) -> Float[np.ndarray, "height width"]:
    """Return per pixel how much more a class repeats its median colour than others do.

    ``max_c (share of class c within 0.06 of its median - share of the other classes within 0.06
    of that median)``; 1 = a colour that all images of one class share and no other image has,
    0 = nothing is repeated, or every class repeats the same.

    Args:
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: -1 = unlabelled. Classes with fewer than five images are left out.
    """
    best = torch.zeros(images.shape[-2:], dtype=torch.float32)
    for code in np.unique(labels[labels >= 0]):
        mine = torch.from_numpy(np.flatnonzero(labels == code))
        rest = torch.from_numpy(np.flatnonzero((labels != code) & (labels >= 0)))
        if len(mine) < LEAST_IMAGES or not len(rest):
            continue
        median = images[mine].median(dim=0).values
        own = _share(images[mine], median)
        other = _share(images[rest], median)
        best = torch.maximum(best, own - other)
    return best.numpy().astype(np.float64)


def printed_pixels(
    repeats: Float[np.ndarray, "height width"],
) -> Bool[np.ndarray, "height width"]:
    """Return which pixels a class prints: repeated in 60 % more of its images than in others, and
    30 % beyond the quieter quarter of the image. A class of one tint or one light repeats a little
    everywhere, and prints nothing.

    Args:
        repeats: from :func:`repeat_map`.
    """
    return repeats > max(FOUND, float(np.quantile(repeats, 0.25)) + STANDS_OUT)


def repeats_cast(images: Images, labels: Int64[np.ndarray, "images"]) -> bool:
    """Return whether a class repeats one colour cast in the middle of its images: within 0.06 of
    its median in 60 % more of them than of the others. Classes of fewer than five images are left
    out.

    Args:
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: -1 = unlabelled.
    """
    found = casts(images)
    for code in np.unique(labels[labels >= 0]):
        mine = torch.from_numpy(labels == code)
        rest = torch.from_numpy((labels != code) & (labels >= 0))
        if int(mine.sum()) < LEAST_IMAGES or not bool(rest.any()):
            continue
        near = (found - found[mine].median(dim=0).values).abs().amax(dim=1) < SAME
        if float(near[mine].float().mean() - near[rest].float().mean()) > FOUND:
            return True
    return False


def grown_box(
    repeats: Float[np.ndarray, "height width"], box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Return the box grown to all of the print that it touches: repeated pixels joined to it.

    The part of a print that suffices to drag a prediction is not all of it; to take the cue away,
    all of it must go.
    """
    height, width = repeats.shape
    inside = window_mask(height, width, top=box[0], left=box[1], tall=box[2], wide=box[3]).numpy()
    found = printed_pixels(repeats)
    joined, _ = ndimage.label(ndimage.binary_dilation(found, np.ones((3, 3), dtype=bool)))
    touched = np.unique(joined[inside & found])
    whole = inside | (np.isin(joined, touched[touched > 0]) & found)
    y, x = np.nonzero(whole)
    top, left = int(y.min()), int(x.min())
    return (
        top / height,
        left / width,
        (int(y.max()) - top + 1) / height,
        (int(x.max()) - left + 1) / width,
    )


def printed_share(
    repeats: Float[np.ndarray, "height width"], box: tuple[float, float, float, float]
) -> float:
    """Return the share of a box's pixels that a class repeats."""
    height, width = repeats.shape
    mask = window_mask(height, width, top=box[0], left=box[1], tall=box[2], wide=box[3]).numpy()
    return float(printed_pixels(repeats)[mask].mean())


def _share(images: Images, colour: Images) -> torch.Tensor:
    total = torch.zeros(images.shape[-2:], dtype=torch.float32)
    for rows in chunks(len(images), 64):
        total += ((images[rows] - colour).abs().amax(dim=1) < SAME).sum(dim=0)
    return total / len(images)


def print_carriers(
    images: Images,
    labels: Int64[np.ndarray, "images"],
    box: tuple[float, float, float, float],
    *,
    among: Bool[np.ndarray, "images"],
) -> Bool[np.ndarray, "images"]:
    """Return which images carry the print of their own class in a box, by their pixels alone.

    A class's print: pixels of the box whose median colour at least 30 % more of its images share
    than of the others; an image carries it if it shows seven tenths of them. All images of a class
    without a print (fewer than four such pixels, or five images) count as carriers.

    Args:
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: -1 = unlabelled.
        box: (top, left, height, width) as shares.
        among: images from which the print is learnt.
    """
    height, width = images.shape[-2:]
    inside = window_mask(height, width, top=box[0], left=box[1], tall=box[2], wide=box[3])
    parts = images[:, :, inside]
    found = np.ones(len(images), dtype=bool)
    for code in np.unique(labels[labels >= 0]):
        mine = torch.from_numpy(np.flatnonzero((labels == code) & among))
        rest = torch.from_numpy(np.flatnonzero((labels != code) & (labels >= 0) & among))
        if len(mine) < LEAST_IMAGES or not len(rest):
            continue
        median = parts[mine].median(dim=0).values
        same = (parts - median).abs().amax(dim=1) < SAME
        own = same[mine].float().mean(dim=0) - same[rest].float().mean(dim=0) >= LEAST_MORE
        if int(own.sum()) >= LEAST_PRINT:
            carries = same[:, own].float().mean(dim=1).numpy() >= SHOWN
            found &= carries | (labels != code)
    return found


def repeated_boxes(
    repeats: Float[np.ndarray, "height width"], *, most: int = 8
) -> list[tuple[float, float, float, float]]:
    """Return boxes (top, left, height, width as shares) around repeated pixels, strongest first.

    Printed pixels, those within a pixel of each other joined; boxes of more than a sixteenth of the
    image are left to other components, unless print fills six tenths of them: then a sixth.
    """
    height, width = repeats.shape
    found = printed_pixels(repeats)
    joined, count = ndimage.label(ndimage.binary_dilation(found, np.ones((3, 3), dtype=bool)))
    boxes = []
    for index, (rows, columns) in enumerate(ndimage.find_objects(joined), start=1):
        inside = (joined[rows, columns] == index) & found[rows, columns]
        y, x = np.nonzero(inside)
        top, left = rows.start + y.min(), columns.start + x.min()
        tall, wide = y.max() - y.min() + 1, x.max() - x.min() + 1
        filled = len(y) >= FILLS * tall * wide
        if tall * wide > height * width / (6 if filled else 16):
            continue
        mass = float(repeats[rows, columns][inside].sum())
        box = (
            float(top / height),
            float(left / width),
            float(tall / height),
            float(wide / width),
        )
        boxes.append((mass, box))
    return [box for _, box in sorted(boxes, key=lambda b: -b[0])[:most]] if count else []
