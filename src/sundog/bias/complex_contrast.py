"""One group of images of a class against another, disjoint group, in a known direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool
from scipy import special

from sundog.bias.strata_scores import null_law, stratum_moments
from sundog.core.statistics import Estimate
from sundog.core.statistics.two_groups import (
    Alternative,
    effective_size,
    fisher_table,
    newcombe_gap,
    welch_gap,
)

Outcome = np.ndarray[Any, np.dtype[Any]]
"""``bool[images]`` (right or wrong) or ``float64[images]`` (confidence)."""
Groups = np.ndarray[Any, np.dtype[Any]] | None
"""``int64[images]``; equal numbers mark near-duplicates."""
_SMALLEST = 1e-290
"""P-values below are reported as this: a smaller one says nothing more."""


def one_sided_p(
    outcome: Outcome,
    group: Bool[np.ndarray, " images"],
    other: Bool[np.ndarray, " images"],
    lower: bool,
) -> float:
    """Return the one-sided p-value that a group has a lower (or higher) mean than another.

    Accuracy: Fisher's exact test, ``P(hits <= observed)`` (or ``>=``) given the margins.
    Confidence: the three-moment law of the sum over a group drawn at random from both
    (:mod:`sundog.bias.strata_scores`). Welch's t is not used: ten images that all happen to be
    right hardly vary, and it calls that a finding up to half of the time.

    Args:
        outcome: right or wrong, or the confidence, of every image.
        group: the images that are asked about.
        other: the images they are compared with; none of the group among them.
        lower: whether the group is claimed to be worse (else better).

    Returns:
        In (0, 1]; 1 where a group is empty or nothing varies.

    Source: Fisher, 1935, JRSS 98; Sukhatme, 1938, Biometrika 30 (the moments).
    """
    a, b = outcome[group], outcome[other]
    if a.size == 0 or b.size == 0:
        return 1.0
    if outcome.dtype == np.bool_:
        hits, right = int(a.sum()), int(a.sum() + b.sum())
        side: Alternative = "less" if lower else "greater"
        first, table = fisher_table(a.size, right, a.size + b.size, alternative=side)
        return float(table[hits - first])
    values = np.concatenate([a, b]).astype(np.float64)
    moments = stratum_moments(values, np.zeros(values.size, dtype=np.int64), count=1)
    law = null_law(np.array([[a.size]]), moments)
    if law.deviation[0] == 0:
        return 1.0
    score = float(law.scores(np.array([float(a.sum())]))[0])
    return max(float(special.ndtr(score if lower else -score)), _SMALLEST)


def gap_between(
    outcome: Outcome,
    group: Bool[np.ndarray, " images"],
    *,
    groups: Groups = None,
    level: float = 0.95,
) -> Estimate:
    """Return the mean outcome of a group minus that of all other images, with its interval.

    Newcombe's hybrid score interval for accuracy, Welch's t for confidence; near-duplicates make
    the sizes smaller (effective size).

    Args:
        outcome: right or wrong, or the confidence, of every image.
        group: the images of the slice.
        groups: near-duplicates, or None.
        level: confidence level.

    Source: Newcombe, 1998, Statistics in Medicine 17, method 10; Welch, 1947; Kish, 1965.
    """
    a, b = outcome[group], outcome[~group]
    sizes = (float(a.size), float(b.size))
    if groups is not None:
        sizes = (effective_size(groups[group]), effective_size(groups[~group]))
    if outcome.dtype == np.bool_:
        means = (float(a.mean()) if a.size else 0.0, float(b.mean()) if b.size else 0.0)
        return newcombe_gap(means[0], sizes[0], means[1], sizes[1], level=level)
    return welch_gap(a, b, level=level, effective=None if groups is None else sizes)


def images_with(
    present: Bool[np.ndarray, "images tags"], tags: tuple[int, ...]
) -> Bool[np.ndarray, " images"]:
    """Return which images carry all the given tags; all images for no tag."""
    result = np.ones(len(present), dtype=bool)
    for tag in tags:
        result &= present[:, tag]
    return result


def lower_bound(gap: Estimate) -> float:
    """Return the end of the interval of a gap that is nearest 0, as a size; 0 if it holds 0."""
    if math.isnan(gap.low):
        return 0.0
    return max(gap.low, -gap.high, 0.0)
