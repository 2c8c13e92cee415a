"""Paired bootstrap of two classifiers on the same images, within groups, and what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sundog.core.seeds import derive_seed
from sundog.core.statistics import Estimate
from sundog.models.calibration import BINS, ImageScores, width_bins
from sundog.models.calibration_interval import error_deviations

CONTACT = 2.0
"""Groups within this many standard errors of the worst could be the worst."""
_CELLS = 200_000


@dataclass(frozen=True, eq=False)
class Draws:
    """Resampled scores; axis 0 is (before, after).

    Attributes:
        accuracy: of each group; NaN for an empty group.
        recall: of each class; NaN for a class without images.
        precision: mean over the classes with images; NaN for fewer than two such classes.
        gaps: sum of correctness minus confidence over each bin of confidence, by the number of
            images: the parts of the expected calibration error.
        seen_gaps: the same of the data.
    """

    accuracy: Float[np.ndarray, "2 draws groups"]
    recall: Float[np.ndarray, "2 draws classes"]
    precision: Float[np.ndarray, "2 draws"]
    gaps: Float[np.ndarray, "2 draws bins"]
    seen_gaps: Float[np.ndarray, "2 bins"]


def resample_pairs(
    before: ImageScores,
    after: ImageScores,
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    *,
    group_names: Sequence[str],
    class_count: int,
    resamples: int,
    seed: int,
) -> Draws:
    """Draw the images of each group anew, with both classifiers' answers, and score each draw.

    Args:
        before: scores of the first classifier.
        after: scores of the second, same images.
        labels: class of each image.
        groups: position in ``group_names``; -1: unknown, a stratum of its own.
        group_names: the random numbers depend on a group's name, not on its position.
        class_count: number of classes.
        resamples: number of draws.
        seed: same seed, same draws, whatever the order of the images.

    Returns:
        The resampled scores. A class without an image in a draw keeps the recall of the data.
    """
    pair = (before, after)
    gaps = [part.correct - part.confidence for part in pair]
    bins = [width_bins(part.confidence) for part in pair]
    keys = (gaps[1], gaps[0], after.prediction, before.prediction, labels)
    order = np.lexsort(keys)
    strata = [
        ("known " + name, index, order[groups[order] == index])
        for index, name in enumerate(group_names)
    ]
    strata.append(("unknown", -1, order[groups[order] < 0]))
    accuracy = np.full((2, resamples, len(group_names)), np.nan)
    recall = np.full((2, resamples, class_count), np.nan)
    precision, parts = np.full((2, resamples), np.nan), np.zeros((2, resamples, BINS))
    sources = {
        name: np.random.default_rng(derive_seed(seed, "pairs", name)) for name, _, _ in strata
    }
    present = np.bincount(labels, minlength=class_count) > 0
    rows = max(1, _CELLS // max(labels.size, class_count, 1))
    for start in range(0, resamples, rows):
        draws = min(rows, resamples - start)
        block = slice(start, start + draws)
        support = np.zeros((draws, class_count))
        hits, chosen = np.zeros((2, draws, class_count)), np.zeros((2, draws, class_count))
        error = np.zeros((2, draws, BINS))
        for name, index, members in strata:
            if not members.size:
                continue
            picked = members[sources[name].integers(0, members.size, (draws, members.size))]
            support += _count(labels[picked], class_count)
            for side, part in enumerate(pair):
                correct = part.correct[picked]
                if index >= 0:
                    accuracy[side, block, index] = correct.mean(axis=1)
                hits[side] += _count(labels[picked], class_count, correct)
                chosen[side] += _count(part.prediction[picked], class_count)
                error[side] += _count(bins[side][picked], BINS, gaps[side][picked])
        for side, part in enumerate(pair):
            seen = _recall(part.correct, labels, class_count)
            recall[side, block] = np.where(support, hits[side] / np.maximum(support, 1), seen)
            shares = hits[side] / np.maximum(chosen[side], 1)
            if present.sum() > 1:
                precision[side, block] = shares[:, present].mean(axis=1)
            parts[side, block] = error[side] / max(labels.size, 1)
    seen_gaps = [
        np.bincount(index, weights=gap, minlength=BINS) / max(labels.size, 1)
        for index, gap in zip(bins, gaps, strict=True)
    ]
    return Draws(accuracy, recall, precision, parts, np.stack(seen_gaps))


def _count(
    index: Int[np.ndarray, "draws n"], size: int, weights: np.ndarray | None = None
) -> Float[np.ndarray, "draws size"]:
    draws = index.shape[0]
    cell = (index + size * np.arange(draws)[:, None]).ravel()
    weight = None if weights is None else weights.ravel()
    counts = np.bincount(cell, weights=weight, minlength=size * draws)
    return counts.reshape(draws, size).astype(np.float64)


def _recall(
    correct: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"], classes: int
) -> Float[np.ndarray, " classes"]:
    support = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels, weights=correct, minlength=classes)
    return np.where(support, hits / np.maximum(support, 1), np.nan)


def quantile_interval(
    value: float, drawn: Float[np.ndarray, " draws"], *, n: int, level: float
) -> Estimate:
    """Return a value with the quantiles of its resamples."""
    method = "paired bootstrap"
    if math.isnan(value) or n < 2:
        return Estimate(value, math.nan, math.nan, n, level, method)
    low, high = (float(q) for q in np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    return Estimate(value, min(value, low), max(value, high), n, level, method)


def change_of_error(value: float, draws: Draws, *, n: int, level: float) -> Estimate:
    """Return the calibration error after minus before, bounded bin by bin.

    As in :func:`~sundog.models.calibration_interval.calibration_interval`, for both errors in each
    draw; width 0 if the two never differ.
    """
    method = "paired bootstrap, bin by bin"
    if math.isnan(value) or n < 2:
        return Estimate(value, math.nan, math.nan, n, level, method)
    if np.array_equal(draws.gaps[0], draws.gaps[1]):
        return Estimate(value, value, value, n, level, method)
    (up_before, down_before), (up_after, down_after) = (
        error_deviations(draws.seen_gaps[side], draws.gaps[side]) for side in (0, 1)
    )
    tail = (1 + level) / 2
    low = max(-1.0, value - float(np.quantile(up_after + down_before, tail)))
    high = min(1.0, value + float(np.quantile(down_after + up_before, tail)))
    return Estimate(value, min(value, low), max(value, high), n, level, method)


def change_of_lowest(
    shares: Float[np.ndarray, "2 groups"],
    sizes: Sequence[int],
    drawn: Float[np.ndarray, "2 draws groups"],
    *,
    level: float,
) -> Estimate:
    """Return the lowest share after minus the lowest before, whichever groups these are.

    With e and f the resampled minus the seen shares after and before, over the groups within two
    standard errors of the lowest: the truth lies above ``difference - quantile(max e - min f)`` and
    below ``difference + quantile(max f - min e)``.

    Args:
        shares: (before, after) per group; NaN for empty groups, which are left out.
        sizes: images per group.
        drawn: the resampled shares.
        level: confidence level.

    Returns:
        The difference in [-1, 1]; ``n``: images of all groups. Interval of width 0 if the two
        never differ in the data.

    Source: Andrews & Soares, 2010, Econometrica 78, 119-157.
    """
    deviations, kept = _deviations(shares, sizes, drawn)
    method, n = "paired bootstrap, simultaneous", int(sum(sizes))
    if kept.shape[1] == 0:
        return Estimate(math.nan, math.nan, math.nan, n, level, method)
    filled = np.array([size for size in sizes if size])
    f, e = (part[:, _near(kept[i], filled)] for i, part in enumerate(deviations))
    value = float(kept[1].min() - kept[0].min())
    above, below = e.max(axis=1) - f.min(axis=1), f.max(axis=1) - e.min(axis=1)
    return _simultaneous(value, above, below, n=n, level=level, method=method, drawn=drawn)


def change_of_gap(
    shares: Float[np.ndarray, "2 groups"],
    sizes: Sequence[int],
    drawn: Float[np.ndarray, "2 draws groups"],
    *,
    level: float,
) -> Estimate:
    """Return the highest minus the lowest share after, minus the same before.

    The interval adds the largest errors of both ends, as in :func:`change_of_lowest`.

    Args:
        shares: (before, after) per group; NaN for empty groups, which are left out.
        sizes: images per group.
        drawn: the resampled shares.
        level: confidence level.

    Returns:
        The difference in [-1, 1]; < 0: the groups came closer. NaN with fewer than two groups.
    """
    deviations, kept = _deviations(shares, sizes, drawn)
    method, n = "paired bootstrap, simultaneous", int(sum(sizes))
    if kept.shape[1] < 2:
        return Estimate(math.nan, math.nan, math.nan, n, level, method)
    filled = np.array([size for size in sizes if size])
    (f_low, e_low), (f_high, e_high) = (
        tuple(part[:, _near(sign * kept[i], filled)] for i, part in enumerate(deviations))
        for sign in (1, -1)
    )
    spans = kept.max(axis=1) - kept.min(axis=1)
    above = e_high.max(axis=1) - e_low.min(axis=1) + f_low.max(axis=1) - f_high.min(axis=1)
    below = f_high.max(axis=1) - f_low.min(axis=1) + e_low.max(axis=1) - e_high.min(axis=1)
    return _simultaneous(
        float(spans[1] - spans[0]), above, below, n=n, level=level, method=method, drawn=drawn
    )


def _deviations(
    shares: Float[np.ndarray, "2 groups"],
    sizes: Sequence[int],
    drawn: Float[np.ndarray, "2 draws groups"],
) -> tuple[Float[np.ndarray, "2 draws filled"], Float[np.ndarray, "2 filled"]]:
    filled = np.array(sizes) > 0
    kept = shares[:, filled]
    return drawn[:, :, filled] - kept[:, None, :], kept


def _near(
    shares: Float[np.ndarray, " groups"], sizes: Int[np.ndarray, " groups"]
) -> Bool[np.ndarray, " groups"]:
    """Return the groups that could be the lowest: within two standard errors of it."""
    smooth = (np.abs(shares) * sizes + 1) / (sizes + 2)
    error = smooth * (1 - smooth) / sizes
    lowest = int(shares.argmin())
    near: Bool[np.ndarray, " groups"] = shares - shares[lowest] <= CONTACT * np.sqrt(
        error + error[lowest]
    )
    return near


def _simultaneous(
    value: float,
    above: Float[np.ndarray, " draws"],
    below: Float[np.ndarray, " draws"],
    *,
    n: int,
    level: float,
    method: str,
    drawn: Float[np.ndarray, "2 draws groups"],
) -> Estimate:
    if np.array_equal(drawn[0], drawn[1], equal_nan=True):  # the same answers on every image
        return Estimate(value, value, value, n, level, method)
    tail = (1 + level) / 2
    low = max(-1.0, value - float(np.quantile(above, tail)))
    high = min(1.0, value + float(np.quantile(below, tail)))
    return Estimate(value, min(value, low), max(value, high), n, level, method)
