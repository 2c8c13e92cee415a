"""Patterns at a fixed place: watermarks, captions, frames and what a camera adds to every image.

What is left of an image after its local mean is taken away has, at each pixel, either sign equally
often over unrelated photographs. Where its mean over many images is far from zero, something
is printed there, even half-transparent and only in a part of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8
from PIL import Image as Pillow
from scipy import ndimage

from sundog.data.content import Pixels

WINDOW = 9
"""Side of the square over which the local mean is taken."""
CLIP = 48.0
"""Residuals are cut at this, so that few images cannot make a pattern."""
MIN_T = 4.5
MIN_MEAN = 4.0
MIN_PIXELS = 12
MIN_IMAGES = 8
MOST_PIXELS = 256
LARGEST = 256
"""Longer side of the grid on which images are laid over each other."""
_MARGIN = 4
_SHOWN = 100
"""The picture of a pattern is the clearest of so many images."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """A pattern of light and dark at a fixed place.

    Attributes:
        grid: (height, width) to which images are brought.
        offsets: ``int64[pixels, 2]`` (row, column) on the grid.
        means: ``float32[pixels, 3]``: mean residual there.
        picture: ``uint8[height, width, 3]``: its surroundings in the image that shows it best.
        box: (top, left, bottom, right) on the grid.
    """

    grid: tuple[int, int]
    offsets: Int64[np.ndarray, "pixels 2"]
    means: Float32[np.ndarray, "pixels 3"]
    picture: Pixels
    box: tuple[int, int, int, int]

    def match(self, residual: Float32[np.ndarray, "height width 3"]) -> float:
        """Return the cosine of the image's residual and the pattern, negative ones as 0.

        Args:
            residual: of the image on the grid, see :func:`residual`.
        """
        values = residual[self.offsets[:, 0], self.offsets[:, 1]].astype(np.float64).ravel()
        means = self.means.astype(np.float64).ravel()
        lengths = float(np.sqrt((values**2).sum() * (means**2).sum()))
        return max(0.0, float((values * means).sum()) / lengths) if lengths > 0 else 0.0


def choose_grid(images: Sequence[Pixels]) -> tuple[int, int]:
    """Return the most frequent size of the images, its longer side cut to 256."""
    sizes = Counter((image.shape[0], image.shape[1]) for image in images)
    height, width = min(sizes, key=lambda size: (-sizes[size], size))
    scale = min(1.0, LARGEST / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def residual(pixels: Pixels, grid: tuple[int, int]) -> Float32[np.ndarray, "height width 3"]:
    """Return the image on the grid minus its 9 x 9 mean, in 0..255 units, cut at +-48."""
    if pixels.shape[:2] != grid:
        picture = Pillow.fromarray(pixels)
        resized = picture.resize((grid[1], grid[0]), Pillow.Resampling.BILINEAR)
        pixels = np.asarray(resized)
    values = pixels.astype(np.float32)
    local = ndimage.uniform_filter(values, (WINDOW, WINDOW, 0), mode="nearest")
    return np.clip(values - local, -CLIP, CLIP)


def find_patterns(
    images: Sequence[Pixels], groups: Int64[np.ndarray, "images"], grid: tuple[int, int]
) -> list[tuple[int, Pattern]]:
    """Return the patterns of each class and of the whole set (-1), the clearest first.

    With m and s the mean and standard deviation of the residual over the n images of a group, a
    pixel belongs to a pattern if ``|m| sqrt(n) / (s + 2) > 4.5`` and ``|m| > 4`` in a channel;
    pixels at most 4 apart belong to the same one; a pattern has at least 12 pixels.

    Args:
        images: of any size.
        groups: class of each, -1 = none.
        grid: from :func:`choose_grid`.
    """
    found = []
    whole = _Moments(grid)
    classes = [int(c) for c in np.unique(groups[groups >= 0])]
    for group in [*classes, -1]:
        members = np.flatnonzero(groups == group).tolist()
        moments = _Moments(grid)
        for member in members:
            moments.add(residual(images[member], grid))
        whole.join(moments)
        if group == -1:
            moments, members = whole, list(range(len(images)))
            if len(classes) == 1 and (groups >= 0).all():
                break  # one class is the whole set
        shown = [images[m] for m in members[:_SHOWN]]
        for power, offsets in moments.clusters():
            found.append((power, group, _pattern(offsets, moments.mean(), shown, grid)))
    ordered = sorted(found, key=lambda item: (-item[0], item[1]))
    return [(group, pattern) for _, group, pattern in ordered]


class _Moments:
    """Running sums of residuals."""

    def __init__(self, grid: tuple[int, int]) -> None:
        self.count = 0
        self.total = np.zeros((*grid, 3))
        self.squares = np.zeros((*grid, 3))

    def add(self, values: Float32[np.ndarray, "height width 3"]) -> None:
        self.count += 1
        self.total += values
        self.squares += values.astype(np.float64) ** 2

    def join(self, other: _Moments) -> None:
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    def mean(self) -> Float64[np.ndarray, "height width 3"]:
        return self.total / self.count

    def clusters(self) -> list[tuple[float, Int64[np.ndarray, "pixels 2"]]]:
        """Return the strength and the pixels of each pattern, its strongest pixels alone."""
        if self.count < MIN_IMAGES:
            return []
        mean = self.mean()
        spread = np.sqrt(np.maximum(self.squares / self.count - mean**2, 0)) + 2
        strength = np.abs(mean) / spread * np.sqrt(self.count)
        hit = ((strength > MIN_T) & (np.abs(mean) > MIN_MEAN)).any(axis=2)
        labels, count = ndimage.label(ndimage.binary_dilation(hit, np.ones((5, 5), bool)))
        clusters = []
        for number in range(1, count + 1):
            offsets = np.argwhere(hit & (labels == number))
            if len(offsets) >= MIN_PIXELS:
                power = strength[offsets[:, 0], offsets[:, 1]].max(axis=1)
                order = np.argsort(-power, kind="stable")[:MOST_PIXELS]
                clusters.append((float(power.sum()), offsets[order]))
        return clusters


def _pattern(
    offsets: Int64[np.ndarray, "pixels 2"],
    mean: Float64[np.ndarray, "height width 3"],
    images: Sequence[Pixels],
    grid: tuple[int, int],
) -> Pattern:
    corner, far = offsets.min(axis=0), offsets.max(axis=0) + 1
    box = (int(corner[0]), int(corner[1]), int(far[0]), int(far[1]))
    means = mean[offsets[:, 0], offsets[:, 1]].astype(np.float32)
    plain = Pattern(grid, offsets.astype(np.int64), means, np.zeros((1, 1, 3), np.uint8), box)
    scores = [plain.match(residual(image, grid)) for image in images]
    picture = _crop(images[int(np.argmax(scores))], box, grid)
    return Pattern(grid, plain.offsets, means, picture, box)


def _crop(
    pixels: Pixels, box: tuple[int, int, int, int], grid: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    if pixels.shape[:2] != grid:
        picture = Pillow.fromarray(pixels).resize((grid[1], grid[0]), Pillow.Resampling.BILINEAR)
        pixels = np.asarray(picture)
    top, left = max(0, box[0] - _MARGIN), max(0, box[1] - _MARGIN)
    return np.ascontiguousarray(pixels[top : box[2] + _MARGIN, left : box[3] + _MARGIN])
