"""A stamp: a few pixels of given colours at given offsets, whatever lies between them.

A seed (three or four pixels) is grown to the whole stamp: the places where it occurs in different
images are laid over each other, and the pixels on which most images agree belong to the stamp.
Pixels between and around it that differ from image to image do not, so that a grid of dots, a
letter or a cross is learned as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from sundog.concepts.patches_ground import NO_COLOURS, Colours, far_ground, is_ground
from sundog.concepts.patches_seeds import Level, Seed, window_keys
from sundog.data.components.stamp_match import match_stamp
from sundog.data.content import Pixels

RADIUS = 12
"""How far from the seed a stamp is followed, in pixels of its level."""
AGREEMENT = 0.7
"""Share of the images that must agree on a pixel of the stamp."""
MOST_PIXELS = 64
"""Pixels of a stamp that are compared."""
_IMAGES, _PLACES, _REFERENCES, _ROUNDS, _MARGIN = 40, 24, 4, 2, 3


@dataclass(frozen=True, eq=False)
class Stamp:
    """A sparse template.

    Attributes:
        level: scale at which it was found.
        tolerance: how far a pixel may be from its colour, in 0..255 units.
        offsets: ``int64[pixels, 2]``, (row, column) of each pixel, >= 0, the box beginning at 0;
            the first :data:`ANCHORS` are compared first.
        colours: ``uint8[pixels, 3]``.
        area: pixels of the whole stamp, of which up to 64 are compared.
        picture: ``uint8[height, width, 3]``: its surroundings in the image that shows it best, at
            the level's scale.
        ground: how many of the pixels, the last ones, have the colour of the set's background.
    """

    level: Level
    tolerance: int
    offsets: Int64[np.ndarray, "pixels 2"]
    colours: UInt8[np.ndarray, "pixels 3"]
    area: int
    picture: Pixels
    ground: int = 0

    def match(self, pixels: Pixels) -> tuple[float, tuple[int, int]]:
        """Return the largest share of the stamp's pixels found at one place, and that place.

        The share at a place is ``|{k : max_c |x(place + o_k) - colour_k| <= tolerance}| / K``; it
        counts only where at least half of the anchors are found (0 otherwise).

        Args:
            pixels: shrunk to the level.
        """
        return match_stamp(pixels, self.offsets, self.colours, self.tolerance)


def grow(seed: Seed, images: Sequence[Pixels], *, ground: Colours = NO_COLOURS) -> Stamp | None:
    """Grow a seed to the stamp around it; None if no three pixels agree.

    Pixels of a colour of the background belong to a stamp only where they touch others of it, and
    of these at most half as many are compared: on black, black pixels tell little.

    Args:
        seed: from :func:`sundog.concepts.patches_seeds.find_seeds`; the first 40 images that hold
            it are used.
        images: the same as there.
        ground: colours of the background, from
            :func:`sundog.concepts.patches_ground.find_ground`.
    """
    crops = []
    for image in seed.holders[:_IMAGES]:
        keys, _ = window_keys(images[image], seed.level, seed.family)
        places = np.argwhere(keys == np.uint64(seed.key))[:_PLACES]
        crops.append(_crops(images[image], places))
    tolerance = seed.level.tolerance
    best: tuple[float, np.ndarray, np.ndarray, np.ndarray] | None = None
    for reference in crops[: len(crops) // 2 + 1][:_REFERENCES]:
        model = reference[0].astype(np.float32)
        weight = ~far_ground(model, np.ones(model.shape[:2], bool), ground, tolerance)
        for _ in range(_ROUNDS + 1):
            aligned = np.stack([_closest(c, model, weight, tolerance) for c in crops])
            model, weight = _consensus(aligned, tolerance)
            weight &= ~far_ground(model, weight, ground, tolerance)
        if best is None or weight.sum() > best[0]:
            best = (float(weight.sum()), model, weight, aligned)
    if best is None:
        return None
    _, model, weight, aligned = best
    flat = weight & is_ground(model, ground, tolerance)
    if (weight & ~flat).sum() < 3:
        return None
    return _stamp(seed.level, model, weight, flat, aligned)


def _crops(pixels: Pixels, places: Int64[np.ndarray, "places 2"]) -> np.ndarray:
    """Return ``int16[places, 2R + 1, 2R + 1, 3]`` around each place; -999 outside the image."""
    padded = np.pad(
        pixels.astype(np.int16), ((RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)), constant_values=-999
    )
    side = 2 * RADIUS + 1
    return np.stack([padded[r : r + side, c : c + side] for r, c in places])


def _closest(
    crops: np.ndarray, model: np.ndarray, weight: Bool[np.ndarray, "side side"], tolerance: int
) -> np.ndarray:
    """Return the crop that agrees with the model on most of its pixels (the first of these)."""
    close = (np.abs(crops - model) <= tolerance).all(axis=3) & weight
    return np.asarray(crops[int(close.sum(axis=(1, 2)).argmax())])


def _consensus(
    aligned: np.ndarray, tolerance: int
) -> tuple[Float32[np.ndarray, "side side 3"], Bool[np.ndarray, "side side"]]:
    """Return the median colour of each pixel, and whether enough images agree with it."""
    model = np.median(aligned, axis=0).astype(np.float32)
    close = (np.abs(aligned - model) <= tolerance).all(axis=3)
    return model, (close.mean(axis=0) >= AGREEMENT) & (model >= 0).all(axis=2)


def _stamp(
    level: Level,
    model: np.ndarray,
    weight: Bool[np.ndarray, "side side"],
    flat: Bool[np.ndarray, "side side"],
    aligned: np.ndarray,
) -> Stamp:
    marks, ground = np.argwhere(weight & ~flat), np.argwhere(flat)
    area = len(marks)
    if len(ground):
        ground = ground[spread(ground, MOST_PIXELS // 3)][: area // 2]
    marks = marks[spread(marks, MOST_PIXELS - len(ground))]
    offsets = np.concatenate([marks, ground])
    corner, far = offsets.min(axis=0), offsets.max(axis=0) + 1
    colours = np.clip(model[offsets[:, 0], offsets[:, 1]].round(), 0, 255).astype(np.uint8)
    errors = (np.abs(aligned - model).max(axis=3) * weight).sum(axis=(1, 2))
    clearest = aligned[int(errors.argmin())]
    low, high = np.maximum(corner - _MARGIN, 0), far + _MARGIN
    shown = clearest[low[0] : high[0], low[1] : high[1]]
    inside = (shown >= 0).all(axis=2)
    shown = shown[inside.any(axis=1)][:, inside.any(axis=0)]
    picture = shown.astype(np.uint8)
    relative = (offsets - corner).astype(np.int64)
    return Stamp(level, level.tolerance, relative, colours, area, picture, len(ground))


def spread(points: Int64[np.ndarray, "points 2"], count: int) -> Int64[np.ndarray, "chosen"]:
    """Return up to ``count`` positions in ``points``, each as far as can be from those before it.

    The first is the point nearest to the centre of all; ties go to the first in order.
    """
    centre = points.mean(axis=0)
    chosen = [int(((points - centre) ** 2).sum(axis=1).argmin())]
    distance = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen, dtype=np.int64)
