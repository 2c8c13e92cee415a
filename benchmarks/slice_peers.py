"""The searches that are compared: ours, a dense matrix product, SliceLine and DivExplorer."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from sundog.bias.search import Problem, count_slices, slice_p_values, westfall_young

MIN_SUPPORT = 10


def make_world(images: int, tags: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return random tags (on 2 to 30 % of the images, log-uniform) and correctness (80 %)."""
    rng = np.random.default_rng([seed, images, tags])
    share = np.exp(rng.uniform(np.log(0.02), np.log(0.3), tags))
    return rng.random((images, tags)) < share, rng.random(images) < 0.8


def ours(tags: np.ndarray, correct: np.ndarray, size: int) -> int:
    """Count all combinations of up to ``size`` tags."""
    return count_slices(tags, correct, max_tags=size, min_support=MIN_SUPPORT).support.size


def ours_tested(tags: np.ndarray, correct: np.ndarray, size: int) -> int:
    """Count them and test each with Fisher's exact test."""
    counts = count_slices(tags, correct, max_tags=size, min_support=MIN_SUPPORT)
    return slice_p_values(counts).size


def ours_westfall_young(tags: np.ndarray, correct: np.ndarray, size: int) -> int:
    """Count them and adjust all p-values with 1,000 permutations."""
    counts = count_slices(tags, correct, max_tags=size, min_support=MIN_SUPPORT)
    return westfall_young([Problem(tags, correct, counts.combos)])[0].size


def dense(tags: np.ndarray, correct: np.ndarray, size: int) -> int:
    """Count by float32 matrix products, for three tags among the images of the first one.

    A product over all images for every pair (the plain form) is several times slower.
    """
    ones = tags.astype(np.float32)
    hits = ones * correct[:, None]
    alone = ones.sum(axis=0)
    singles = np.flatnonzero(alone >= MIN_SUPPORT)
    found = [(singles[:, None], alone[singles], hits.sum(axis=0)[singles])]
    found.append(_pairs(ones, hits, np.empty(0, dtype=np.int64), 0))
    if size == 3:
        for tag in singles:
            rows = np.flatnonzero(tags[:, tag])
            later = slice(tag + 1, None)
            found.append(_pairs(ones[rows, later], hits[rows, later], np.array([tag]), tag + 1))
    return sum(support.size for _, support, _ in found)


def _pairs(
    ones: np.ndarray, hits: np.ndarray, first: np.ndarray, shift: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    support = ones.T @ ones
    right = hits.T @ ones
    a, b = np.nonzero(np.triu(support >= MIN_SUPPORT, k=1))
    combos = np.column_stack([np.repeat(first[None], a.size, axis=0), a + shift, b + shift])
    return combos, support[a, b], right[a, b]


def sliceline(tags: np.ndarray, correct: np.ndarray, size: int) -> int:
    """Return the five worst slices by SliceLine's score; absence of a tag counts as a value too."""
    from sliceline.slicefinder import Slicefinder

    finder = Slicefinder(alpha=0.95, k=5, max_l=size, min_sup=MIN_SUPPORT, verbose=False)
    finder.fit(tags.astype(np.int64), (~correct).astype(np.float64))
    return len(finder.top_slices_)


def divexplorer(tags: np.ndarray, correct: np.ndarray, size: int) -> int:
    """Mine all patterns of present tags; this version has no bound on their length."""
    from divexplorer import DivergenceExplorer

    columns = {f"t{i}": np.where(tags[:, i], "1", None) for i in range(tags.shape[1])}
    frame = pd.DataFrame({**columns, "correct": correct.astype(int)})
    found = DivergenceExplorer(frame).get_pattern_divergence(
        min_support=MIN_SUPPORT / len(frame), boolean_outcomes=["correct"]
    )
    return len(found)


SEARCHES: dict[str, Callable[[np.ndarray, np.ndarray, int], int]] = {
    "ours": ours,
    "ours, tested": ours_tested,
    "ours, Westfall-Young": ours_westfall_young,
    "dense": dense,
    "sliceline": sliceline,
    "divexplorer": divexplorer,
}
