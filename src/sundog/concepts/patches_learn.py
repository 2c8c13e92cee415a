"""Learn the dictionary of recurring patches of an image set: stamps and patterns with a clear cut.

A candidate is kept only if it splits the images: some match it almost wholly, some hardly, and
next to none lie between. What photographs have in common (sky, white backgrounds, edges) has no
such cut and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from sundog.concepts.patches_fixed import Pattern, choose_grid, find_patterns, residual
from sundog.concepts.patches_ground import find_ground
from sundog.concepts.patches_match import match_all, stack_views
from sundog.concepts.patches_seeds import Seed, choose_levels, find_seeds
from sundog.concepts.patches_stamp import Stamp, grow
from sundog.concepts.patches_valley import find_valley
from sundog.data.components.stamp_match import shrink
from sundog.data.content import Pixels

MOST_GROWN = 32
"""Seeds that are grown per level, the most frequent first; those that an earlier one explains do
not count."""
MOST_ALIKE = 4
"""... and those from which the same stamp grows again count as a fourth."""
_SAME = 0.7
"""Two patches that share so much of the images that carry either are one."""
TOLERANCES = (4, 10)
PROBE = 256
"""Images on which a stamp is tried first."""
MIN_IMAGES = 6
FEWEST_WITHOUT = 3
MOST_WITHOUT = 0.05
"""A patch without which there are fewer than 3 images, or 5 %, is the background of the set."""
FEW_PIXELS = 8
"""Where colours agree only roughly, a stamp of fewer pixels is found in any photograph."""
MOST_CARRIERS, MOST_CARRIERS_FEW = 4, 1.5
"""... and what many more images match than hold the seed is no stamp but a kind of texture: the
largest ratio of the odds, smaller for stamps of few pixels."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A recurring patch.

    Attributes:
        kind: how it is found.
        threshold: of its score.
        group: the class it was found in, -1 = the whole set.
        carriers: images of the sample that carry it.
        centre: (row, column) of its middle as shares of the image's sides: median over carriers.
        scatter: largest median absolute deviation of the two.
    """

    kind: Stamp | Pattern
    threshold: float
    group: int
    carriers: int
    centre: tuple[float, float]
    scatter: float


def learn_patches(
    images: Sequence[Pixels],
    groups: Int64[np.ndarray, "images"],
    *,
    max_patches: int,
    watch: Callable[[Sequence[Seed]], Iterator[Seed]] = iter,
) -> list[Patch]:
    """Return the patches of a sample of images, exact stamps first.

    Args:
        images: a sample, each at its own size, best laid out by ``as_planes``.
        groups: class of each, -1 = none; a stamp of one class is found there.
        max_patches: at most so many.
        watch: passes on what is being worked on, for a progress bar.
    """
    patches: list[Patch] = []
    carried: list[Bool[np.ndarray, "images"]] = []
    shrunk: dict[int, Sequence[Pixels]] = {}
    for level in choose_levels(images):
        if level.shrink not in shrunk:
            shrunk[level.shrink] = stack_views([shrink(p, level.shrink) for p in images])
        views = shrunk[level.shrink]
        ground = find_ground(views[:: -(-len(views) // PROBE)])
        seeds = find_seeds(views, groups, level, ground=ground, min_count=MIN_IMAGES)
        grown = 0.0
        tried: set[bytes | None] = set()
        for seed in watch(seeds):
            if grown >= MOST_GROWN or len(patches) >= max_patches:
                break
            if _common(seed.everywhere, len(images)) or _explained(seed, carried):
                continue
            stamp = grow(_unexplained(seed, carried), views, ground=ground)
            alike = None if stamp is None else stamp.offsets.tobytes() + stamp.colours.tobytes()
            grown += 1 / MOST_ALIKE if alike in tried else 1
            if stamp is None or alike in tried:
                continue
            tried.add(alike)
            if level.bin_width > 1 and stamp.area < FEW_PIXELS:
                continue
            if _hopeless(stamp, views[:: -(-len(views) // PROBE)]):
                continue
            stamp, scores, places = _loosen(stamp, views)
            most = MOST_CARRIERS if stamp.area >= FEW_PIXELS else MOST_CARRIERS_FEW
            if _odds(find_valley(scores).above, len(views)) > most * _odds(
                seed.everywhere, len(views)
            ):
                continue
            _add(patches, carried, stamp, scores, places, seed.group)
    grid = choose_grid(images)
    found = find_patterns(images, groups, grid)
    if found:
        residuals = (residual(pixels, grid) for pixels in images)
        table = np.array([[pattern.match(r) for _, pattern in found] for r in residuals])
        for (group, pattern), scores in zip(found, table.T, strict=True):
            if len(patches) >= max_patches:
                break
            top, left, bottom, right = pattern.box
            place = [(top + bottom) / 2 / grid[0], (left + right) / 2 / grid[1]]
            _add(patches, carried, pattern, scores, np.tile(place, (len(images), 1)), group)
    return patches


def _common(carriers: int, images: int) -> bool:
    """Return whether so many images share something that it tells them not apart."""
    return images - carriers < max(FEWEST_WITHOUT, MOST_WITHOUT * images)


def _odds(carriers: int, images: int) -> float:
    return (carriers + 0.5) / (images - carriers + 0.5)


def _explained(seed: Seed, carried: Sequence[Bool[np.ndarray, "images"]]) -> bool:
    """Return whether a patch that not most images carry is in 80 % of the seed's images."""
    holders = list(seed.holders)
    return any(c[holders].mean() >= 0.8 and c.mean() <= 0.6 for c in carried)


def _unexplained(seed: Seed, carried: Sequence[Bool[np.ndarray, "images"]]) -> Seed:
    """Return the seed with those images only that no patch explains, if they are enough.

    Two stamps that have a few pixels in common, as letters have, share seeds.
    """
    known = [c for c in carried if c.mean() <= 0.6]
    rest = tuple(h for h in seed.holders if not any(c[h] for c in known))
    return replace(seed, holders=rest) if len(rest) >= MIN_IMAGES else seed


def _hopeless(stamp: Stamp, views: Sequence[Pixels]) -> bool:
    """Return whether even a few images show that the stamp has no clear cut."""
    valley = find_valley(match_all(stamp, views)[0])
    if _common(valley.above, len(views)):
        return True
    return valley.above >= 20 and valley.within > 0.2 * valley.above


def _add(
    patches: list[Patch],
    carried: list[Bool[np.ndarray, "images"]],
    kind: Stamp | Pattern,
    scores: np.ndarray,
    places: np.ndarray,
    group: int,
) -> None:
    """Keep a candidate with a clear cut that is not one of those before it."""
    valley = find_valley(scores)
    present = scores >= valley.threshold
    if not valley.clear or valley.above < MIN_IMAGES:
        return
    if _common(int(present.sum()), len(present)):
        return
    if any((present & c).sum() >= _SAME * (present | c).sum() for c in carried):
        return
    shown = places[present]
    centre = np.median(shown, axis=0)
    scatter = float(np.median(np.abs(shown - centre), axis=0).max())
    patches.append(
        Patch(
            kind=kind,
            threshold=valley.threshold,
            group=group,
            carriers=int(present.sum()),
            centre=(float(centre[0]), float(centre[1])),
            scatter=scatter,
        )
    )
    carried.append(present)


def _loosen(
    stamp: Stamp, views: Sequence[Pixels]
) -> tuple[Stamp, Float64[np.ndarray, "images"], Float64[np.ndarray, "images 2"]]:
    """Return the stamp with the tolerance at which it splits the images best, and its matches.

    A larger tolerance is taken if the cut is as clear and at least a tenth more images lie above:
    compression changes colours a little, and differently in every image.
    """
    best, scores, places = stamp, *_match_all(stamp, views)
    if stamp.area < FEW_PIXELS:
        return best, scores, places
    for tolerance in TOLERANCES:
        if tolerance <= stamp.tolerance:
            continue
        looser = replace(stamp, tolerance=tolerance)
        new_scores, new_places = _match_all(looser, views)
        valley = find_valley(new_scores)
        if valley.within > 0.02 * valley.above or valley.above < 1.1 * find_valley(scores).above:
            break
        best, scores, places = looser, new_scores, new_places
    return best, scores, places


def _match_all(
    stamp: Stamp, views: Sequence[Pixels]
) -> tuple[Float64[np.ndarray, "images"], Float64[np.ndarray, "images 2"]]:
    scores, corners = match_all(stamp, views)
    places = [_middle(place, stamp, v) for place, v in zip(corners, views, strict=True)]
    return scores, np.array(places)


def _middle(place: Int64[np.ndarray, "2"], stamp: Stamp, view: Pixels) -> tuple[float, float]:
    box = stamp.offsets.max(axis=0) / 2
    return (
        float((place[0] + box[0]) / view.shape[0]),
        float((place[1] + box[1]) / view.shape[1]),
    )
