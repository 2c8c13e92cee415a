"""Every combination of tags, with the sum of a real-valued outcome (confidence) over its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32, Int64

from sundog.bias.search.bitsets import check_tags
from sundog.bias.search.lattice import Images, Limits, reported, stack_combos, walk
from sundog.core.errors import InputError


@dataclass(frozen=True, eq=False)
class SliceSums:
    """What :func:`sum_slices` found, ordered by size, then lexicographically.

    Attributes:
        combos: tag numbers, ascending in each row, then -1.
        support: images that carry all tags of the combination.
        sums: ``sum of (value - centre)`` over them.
        squares: ``sum of (value - centre)²`` over them.
        centre: mean value of all images, subtracted so that no digits are lost.
        images: all images.
        total_squares: ``sum of (value - centre)²`` over all images.
    """

    combos: Int32[np.ndarray, "slices max_tags"]
    support: Int64[np.ndarray, "slices"]
    sums: Float64[np.ndarray, "slices"]
    squares: Float64[np.ndarray, "slices"]
    centre: float
    images: int
    total_squares: float

    @property
    def means(self) -> Float64[np.ndarray, "slices"]:
        """Return the mean value of each slice."""
        return self.centre + self.sums / self.support


def sum_slices(
    tags: Bool[np.ndarray, "images tags"],
    values: Float[np.ndarray, "images"],
    *,
    max_tags: int = 3,
    min_support: int = 10,
    max_support: int | None = None,
    max_slices: int = 30_000_000,
    threads: int | None = None,
) -> SliceSums:
    """Sum a value over every combination of tags: :func:`count_slices` for a real outcome.

    Args:
        tags: whether each image carries each tag.
        values: the outcome of each image, such as the probability of its class; finite.
        max_tags: largest number of tags in a combination.
        min_support: fewest images.
        max_support: most images; None: no bound.
        max_slices: refuse more combinations than that.
        threads: worker threads; None: every core this process may use. The result is the same.

    Returns:
        The sums, in the order of :func:`count_slices`.

    Raises:
        InputError: shapes that do not fit, values that are not finite, limits out of range, too
            many combinations.
    """
    matrix = check_tags(tags)
    outcome = check_values(values, images=matrix.shape[0])
    limits = Limits(max_tags, min_support, max_support, max_slices, threads)
    centre = float(outcome.mean()) if outcome.size else 0.0
    centred = outcome - centre
    everyone = np.arange(outcome.size)
    images = Images(matrix, hits=everyone, misses=everyone[:0], values=centred)
    levels = [reported(level, limits) for level in walk(images, limits)]
    nothing = np.empty(0)
    return SliceSums(
        combos=stack_combos(levels, max_tags),
        support=np.concatenate([np.empty(0, np.int64), *(level.support for level in levels)]),
        sums=np.concatenate([nothing, *(level.sums[:, 0] for level in levels)]),
        squares=np.concatenate([nothing, *(level.sums[:, 1] for level in levels)]),
        centre=centre,
        images=outcome.size,
        total_squares=float(np.square(centred).sum()),
    )


def check_values(
    values: Float[np.ndarray, "images"], *, images: int
) -> Float64[np.ndarray, "images"]:
    """Return the values as finite ``float64[images]``, or say what is wrong with them."""
    outcome = np.asarray(values)
    if outcome.dtype.kind != "f" or outcome.shape != (images,):
        raise InputError(
            "values",
            expected=f"floating point, one for each of {images} images",
            got=f"{outcome.dtype} with shape {outcome.shape}",
        )
    bad = int(np.count_nonzero(~np.isfinite(outcome)))
    if bad:
        raise InputError(
            "values",
            expected="finite",
            got=f"NaN or infinity for {bad} of {images} images",
            hint="Leave those images out, and say so.",
        )
    return outcome.astype(np.float64)
