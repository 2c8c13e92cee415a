"""What is told of one concept in one class: the gap, its chance, and what could have been seen."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from sundog.bias.class_images import ClassImages, Metric
from sundog.core.statistics import (
    Estimate,
    effective_size,
    newcombe_gap,
    smallest_detectable_gap,
    smallest_detectable_mean_gap,
    welch_gap,
)
from sundog.core.statistics.two_groups import Alternative

Test = Literal["fisher", "permutation", "mann_whitney", "spearman", "none"]
Direction = Literal["hurts", "helps", "neither"]


@dataclass(frozen=True)
class ConceptEffect:
    """The images of a class with a concept against those without it.

    For a ranking, "present" is the half of the images that scores higher: the gap illustrates, the
    AUROC (or the rank correlation) is what was tested.

    Attributes:
        class_name: the class.
        concept: the concept.
        metric: ``accuracy`` or ``confidence``.
        test: ``fisher``, ``permutation`` (studentised), ``mann_whitney``, ``spearman``; ``none`` if
            not tested.
        n_present: images with the concept.
        n_absent: images without it.
        mean_present: accuracy or mean confidence with the concept; NaN without images.
        mean_absent: the same without it.
        gap: present minus absent with its interval, which knows nothing of the search: of the
            strongest concepts of many it is too far from 0.
        auroc: P(a right image scores higher than a wrong one), for rankings and accuracy; > 0.5:
            the concept helps.
        correlation: Spearman's, of score and confidence, for rankings and confidence.
        top_gap: mean of the ``top_k`` highest minus the ``top_k`` lowest images, for rankings.
        top_k: images on each side of ``top_gap``; smaller than asked for in a small class.
        p: two-sided, unadjusted; NaN if not tested.
        p_adjusted: over every class and concept looked at.
        direction: ``hurts``, ``helps`` or ``neither``, the sign of what was tested.
        smallest_detectable: smallest absolute gap that these numbers of images show with the power
            asked for, whichever way they go (a way in which no gap can be seen does not count), at
            the level left by Bonferroni over all tests, if all else is as accurate (or spread) as
            the class; NaN if none.
        reason: why it was not tested; empty if it was.
        unknown: images left out because their score is not known (rankings).
    """

    class_name: str
    concept: str
    metric: Metric
    test: Test
    n_present: int
    n_absent: int
    mean_present: float
    mean_absent: float
    gap: Estimate
    auroc: Estimate | None
    correlation: Estimate | None
    top_gap: float | None
    top_k: int | None
    p: float
    p_adjusted: float
    direction: Direction
    smallest_detectable: float
    reason: str
    unknown: int = 0

    @property
    def tested(self) -> bool:
        """Return whether there is a p-value."""
        return not self.reason

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dictionaries and numbers, NaN as None: ready for JSON."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def support(
    images: ClassImages, inside: np.ndarray[Any, np.dtype[np.bool_]]
) -> tuple[float, float]:
    """Return how many independent images are inside and outside; near-duplicates count once."""
    if images.groups is None:
        return float(inside.sum()), float((~inside).sum())
    return effective_size(images.groups[inside]), effective_size(images.groups[~inside])


def distinct(images: ClassImages, part: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    """Return how many images are in a part of the class; near-duplicates count once."""
    return int(part.sum()) if images.groups is None else np.unique(images.groups[part]).size


def gap_of(
    images: ClassImages,
    inside: np.ndarray[Any, np.dtype[np.bool_]],
    *,
    metric: Metric,
    level: float,
) -> Estimate:
    """Return the gap inside minus outside: Newcombe (accuracy) or Welch (confidence)."""
    outcome = images.outcome(metric)
    size_in, size_out = support(images, inside)
    if metric == "confidence":
        return welch_gap(
            outcome[inside], outcome[~inside], level=level, effective=(size_in, size_out)
        )
    share_in, share_out = (mean_of(outcome[part]) for part in (inside, ~inside))
    return newcombe_gap(share_in, size_in, share_out, size_out, level=level)


def mean_of(values: np.ndarray[Any, np.dtype[Any]]) -> float:
    """Return the mean; NaN of nothing."""
    return float(values.mean()) if values.size else math.nan


def end_mean(
    outcome: np.ndarray[Any, np.dtype[Any]], scores: np.ndarray[Any, np.dtype[np.float64]], k: int
) -> float:
    """Return the mean outcome of the ``k`` images with the highest scores.

    Of images with equal scores at the cut each counts in part, as if drawn among them at random.

    Args:
        outcome: one per image.
        scores: one per image, none NaN.
        k: from 1 to the number of images.
    """
    cut = np.partition(scores, scores.size - k)[scores.size - k]
    above, equal = scores > cut, scores == cut
    rest = k - int(above.sum())
    return float((outcome[above].sum() + rest * outcome[equal].mean()) / k)


def correlation_of(
    scores: np.ndarray[Any, np.dtype[np.float64]],
    values: np.ndarray[Any, np.dtype[np.float64]],
    *,
    size: float,
    level: float,
) -> Estimate:
    """Return Spearman's correlation with the interval of Fisher's z.

    ``tanh(atanh(r) ± z sqrt((1 + r²/2) / (n - 3)))``.

    Args:
        scores: one per image, not all equal.
        values: one per image, not all equal.
        size: independent images among them; without an interval up to 3.
        level: confidence level.

    Source: Spearman, 1904; Bonett & Wright, 2000, Psychometrika 65 (the variance).
    """
    ranks = [stats.rankdata(part) - (part.size + 1) / 2 for part in (scores, values)]
    r = float(ranks[0] @ ranks[1]) / math.sqrt(
        float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1])
    )
    r = min(1.0, max(-1.0, r))
    if size <= 3:
        return Estimate(r, math.nan, math.nan, round(size), level, "fisher z")
    middle = math.atanh(min(1 - 1e-12, max(-1 + 1e-12, r)))
    half = float(stats.norm.ppf(0.5 + level / 2)) * math.sqrt((1 + r * r / 2) / (size - 3))
    low, high = math.tanh(middle - half), math.tanh(middle + half)
    return Estimate(r, min(low, r), max(high, r), round(size), level, "fisher z")


def detectable(
    images: ClassImages,
    inside: np.ndarray[Any, np.dtype[np.bool_]],
    *,
    metric: Metric,
    alpha: float,
    power: float,
    side: Literal["drop", "rise", "either"] = "either",
) -> float:
    """Return the smallest gap that these groups show at level ``alpha``; see ConceptEffect.

    Without a ``side``, found whichever way it goes (where both ways are possible); with one, by the
    one-sided test for a drop or a rise.
    """
    size_in, size_out = (round(size) for size in support(images, inside))
    outcome = images.outcome(metric)
    if metric == "accuracy":
        return smallest_detectable_gap(
            size_in,
            size_out,
            mean_of(outcome),
            alpha=alpha,
            power=power,
            direction="both" if side == "either" else side,
            alternative=_ALTERNATIVES[side],
        )
    if outcome.size < 3 or np.ptp(outcome) == 0:
        return math.nan
    spread = float(outcome.std(ddof=1))
    both = alpha if side == "either" else min(2 * alpha, 0.999)
    return smallest_detectable_mean_gap(size_in, size_out, spread, alpha=both, power=power)


_ALTERNATIVES: dict[str, Alternative] = {
    "drop": "less",
    "rise": "greater",
    "either": "two-sided",
}


def upper_half(
    scores: np.ndarray[Any, np.dtype[np.float64]],
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the images above the median, or from it upwards: whichever is nearer to half."""
    if not scores.size:
        return np.zeros(0, dtype=bool)
    middle = np.median(scores)
    above, from_it = scores > middle, scores >= middle
    nearer = abs(2 * above.sum() - scores.size) <= abs(2 * from_it.sum() - scores.size)
    return above if nearer else from_it


def direction_of(value: float, middle: float = 0.0) -> Direction:
    """Return which way an effect goes: above the middle it helps."""
    if math.isnan(value) or value == middle:
        return "neither"
    return "helps" if value > middle else "hurts"


def why_not(
    images: ClassImages,
    inside: np.ndarray[Any, np.dtype[np.bool_]],
    *,
    metric: Metric,
    min_support: int,
    sides: tuple[str, str] = ("with the concept", "without the concept"),
) -> str:
    """Return why a concept cannot be tested in a class; empty if it can."""
    n = len(images)
    if n == 0:
        return "the class has no image"
    if n == 1:
        return "the class has only one image"
    for part, side in zip((inside, ~inside), sides, strict=True):
        count = distinct(images, part)
        kind = "image" if images.groups is None else "distinct image"
        if count < min_support:
            only = f"only {count} {kind}{'' if count == 1 else 's'}" if count else "no image"
            return f"{only} {side} ({min_support} needed)"
    outcome = images.outcome(metric)
    if metric == "accuracy" and (outcome.all() or not outcome.any()):
        return f"every image is {'right' if outcome.all() else 'wrong'}"
    if metric == "confidence" and np.ptp(outcome) == 0:
        return "every image has the same confidence"
    return ""
