"""Every combination of tags that enough images of a class carry, and how many are correct."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64

from sundog.bias.search.bitsets import check_tags
from sundog.bias.search.lattice import Images, Limits, reported, stack_combos, walk
from sundog.core.errors import InputError


@dataclass(frozen=True, eq=False)
class SliceCounts:
    """What :func:`count_slices` found, ordered by size, then lexicographically.

    Attributes:
        combos: tag numbers, ascending in each row, then -1.
        support: images that carry all tags of the combination.
        hits: correct images among them.
        images: all images.
        correct: all correct images.
    """

    combos: Int32[np.ndarray, "slices max_tags"]
    support: Int64[np.ndarray, "slices"]
    hits: Int64[np.ndarray, "slices"]
    images: int
    correct: int


def count_slices(
    tags: Bool[np.ndarray, "images tags"],
    correct: Bool[np.ndarray, "images"],
    *,
    max_tags: int = 3,
    min_support: int = 10,
    max_support: int | None = None,
    max_slices: int = 30_000_000,
    threads: int | None = None,
) -> SliceCounts:
    """Count images and correct images of every combination of 1 to ``max_tags`` tags; exact.

    ``support = |{i : tags[i, t] for all t in combo}|``, ``hits = |{i in it : correct[i]}|``, for
    every combination with ``min_support <= support <= max_support``: popcounts of ANDed bitsets.

    Args:
        tags: whether each image carries each tag.
        correct: whether the classifier is right on each image.
        max_tags: largest number of tags in a combination.
        min_support: fewest images.
        max_support: most images; ``n - 10`` leaves a complement of at least ten. None: no bound.
        max_slices: refuse more combinations than that (about 70 bytes each while counting).
        threads: worker threads; None: every core this process may use. The result is the same.

    Returns:
        The counts; no row if there is no image, no tag or no frequent tag.

    Raises:
        InputError: shapes or kinds that do not fit, limits out of range, too many combinations.

    Source: Agrawal & Srikant, 1994, VLDB (pruning by support); Zaki, 2000, IEEE TKDE 12 (walk by
    prefixes).
    """
    matrix = check_tags(tags)
    outcome = check_outcome(correct, images=matrix.shape[0])
    limits = Limits(max_tags, min_support, max_support, max_slices, threads)
    right, wrong = np.flatnonzero(outcome), np.flatnonzero(~outcome)
    images = Images(matrix, hits=right, misses=wrong, values=np.empty(0))
    levels = [reported(level, limits) for level in walk(images, limits)]
    nothing = np.empty(0, dtype=np.int64)
    return SliceCounts(
        combos=stack_combos(levels, max_tags),
        support=np.concatenate([nothing, *(level.support for level in levels)]),
        hits=np.concatenate([nothing, *(level.hits for level in levels)]),
        images=outcome.size,
        correct=right.size,
    )


def check_outcome(
    correct: Bool[np.ndarray, "images"], *, images: int
) -> Bool[np.ndarray, "images"]:
    """Return ``correct`` as a boolean vector with one value per image, or say what is wrong."""
    outcome = np.asarray(correct)
    if outcome.dtype != np.bool_ or outcome.shape != (images,):
        raise InputError(
            "correct",
            expected=f"boolean, one value for each of {images} images",
            got=f"{outcome.dtype} with shape {outcome.shape}",
        )
    return outcome
