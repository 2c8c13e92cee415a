"""How wrong are the tags, from a reviewed random sample, and what is the gap without their errors.

A reviewer looks at a random sample of the images that carry a tag and of those that do not, and
says which tags are wrong. That gives the error rates of the tagger; and because wrong tags mix the
two groups, the gap seen between them is too small by a known factor.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import Estimate, check_level

_DRAWS = 10_000


@dataclass(frozen=True)
class TagReview:
    """What a reviewer found in random samples of the images with and without a tag.

    The samples must be random (or all images): the images shown at the top of a ranking are the
    ones that a tagger is surest of.

    Attributes:
        tagged: images with the tag.
        untagged: images without it.
        checked_tagged: of the tagged, how many were looked at.
        wrong_tagged: of those, how many lack the concept.
        checked_untagged: of the untagged, how many were looked at.
        wrong_untagged: of those, how many show the concept.

    Raises:
        InputError: counts that are impossible.
    """

    tagged: int
    untagged: int
    checked_tagged: int
    wrong_tagged: int
    checked_untagged: int
    wrong_untagged: int

    def __post_init__(self) -> None:
        for side, total, checked, wrong in (
            ("with the tag", self.tagged, self.checked_tagged, self.wrong_tagged),
            ("without the tag", self.untagged, self.checked_untagged, self.wrong_untagged),
        ):
            if not 0 <= wrong <= checked <= total:
                raise InputError(
                    f"Images {side}",
                    expected="0 <= wrong <= checked <= all",
                    got=f"{wrong}, {checked} and {total}",
                )


@dataclass(frozen=True)
class TagErrors:
    """How wrong a tag is, and the gap corrected for it.

    Attributes:
        ppv: share of tagged images that show the concept.
        npv: share of untagged images that lack it.
        prevalence: share of all images that show it.
        false_negative_rate: share of the images with the concept that are not tagged.
        false_positive_rate: share of the images without it that are tagged.
        gap: ``seen gap / (ppv + npv - 1)``; None if it cannot be told.
        reason: why there is no gap (or no estimate at all); empty if there is one.
    """

    ppv: Estimate | None
    npv: Estimate | None
    prevalence: Estimate | None
    false_negative_rate: Estimate | None
    false_positive_rate: Estimate | None
    gap: Estimate | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain dictionaries and numbers."""
        return asdict(self)


def estimate_tag_errors(
    review: TagReview,
    *,
    gap: Estimate | None = None,
    largest: float = 1.0,
    level: float = 0.95,
    seed: int = 0,
) -> TagErrors:
    """Estimate a tag's error rates from a review, and correct a gap for them.

    With ``w1`` of ``m1`` checked tagged and ``w0`` of ``m0`` checked untagged images wrong,
    ``ppv = 1 - w1/m1``, ``npv = 1 - w0/m0``, and if the classifier does as well on an image whether
    its tag is right or wrong (given the concept),
    ``mean_tagged - mean_untagged = (ppv + npv - 1) (mean_with - mean_without)``.
    Intervals: quantiles of 10,000 draws from Jeffreys posteriors of ppv and npv (of the images not
    looked at), and, for the gap, from a normal distribution on each side of its own interval.

    Args:
        review: the counts.
        gap: of the outcome, tagged minus untagged, with its interval.
        largest: largest absolute gap that can be: 1 for accuracy and confidence.
        level: confidence level of all intervals.
        seed: same seed, same intervals.

    Returns:
        The rates, and the corrected gap of the sign and the unit of the one given; ``n`` of a rate
        is the number of images looked at. Without a checked image on a side there is no number. If
        the tag is not shown to be better than chance (``ppv + npv - 1`` not surely above 0), the
        rates are given, but no gap.

    Raises:
        InputError: a level outside (0, 1), a gap without an interval.

    Source: Rogan & Gladen, 1978, American Journal of Epidemiology 107; Lash, Fox & Fink, 2009,
    Applying Quantitative Bias Analysis, chapters 6 and 8; Jeffreys, 1946.
    """
    level = check_level(level)
    unchecked = [
        side
        for side, checked in (
            ("with the tag", review.checked_tagged),
            ("without the tag", review.checked_untagged),
        )
        if checked == 0
    ]
    if unchecked:
        reason = f"no image {' and none '.join(unchecked)} was checked"
        return TagErrors(None, None, None, None, None, None, reason)
    rng = np.random.default_rng(seed)
    ppv = 1 - _share_wrong(rng, review.tagged, review.checked_tagged, review.wrong_tagged)
    npv = 1 - _share_wrong(rng, review.untagged, review.checked_untagged, review.wrong_untagged)
    best_ppv = 1 - review.wrong_tagged / review.checked_tagged
    best_npv = 1 - review.wrong_untagged / review.checked_untagged
    n = review.checked_tagged + review.checked_untagged
    tagged = review.tagged / (review.tagged + review.untagged)

    def interval(value: float, drawn: Float[np.ndarray, " draws"], n: int) -> Estimate:
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return Estimate(
            value, float(min(low, value)), float(max(high, value)), n, level, "jeffreys"
        )

    def rates(ppv: Any, npv: Any) -> tuple[Any, Any, Any]:  # of draws or of the best values alone
        having = tagged * ppv + (1 - tagged) * (1 - npv)
        missed = _ratio((1 - tagged) * (1 - npv), having)
        return having, missed, _ratio(tagged * (1 - ppv), 1 - having)

    best, drawn = rates(best_ppv, best_npv), rates(ppv, npv)
    corrected, reason = None, "no gap was given"
    if gap is not None:
        corrected, reason = _corrected(
            rng, gap, ppv + npv - 1, best_ppv + best_npv - 1, largest=largest, level=level
        )
    return TagErrors(
        ppv=interval(best_ppv, ppv, review.checked_tagged),
        npv=interval(best_npv, npv, review.checked_untagged),
        prevalence=interval(float(best[0]), drawn[0], n),
        false_negative_rate=interval(float(best[1]), drawn[1], n),
        false_positive_rate=interval(float(best[2]), drawn[2], n),
        gap=corrected,
        reason=reason,
    )


def _share_wrong(
    rng: np.random.Generator, total: int, checked: int, wrong: int
) -> Float[np.ndarray, " draws"]:
    """Draw the share of wrong tags among all images of a side: those seen, and the rest unseen."""
    rate = rng.beta(wrong + 0.5, checked - wrong + 0.5, _DRAWS)
    return (wrong + rng.binomial(total - checked, rate)) / total


def _ratio(part: Any, whole: Any) -> Any:
    """Return ``part / whole``, 0 where there is nothing to be wrong about."""
    return np.where(np.asarray(whole) > 0, part / np.where(np.asarray(whole) > 0, whole, 1.0), 0.0)


def _corrected(
    rng: np.random.Generator,
    gap: Estimate,
    factor: Float[np.ndarray, " draws"],
    best: float,
    *,
    largest: float,
    level: float,
) -> tuple[Estimate | None, str]:
    if not (math.isfinite(gap.value) and math.isfinite(gap.low) and math.isfinite(gap.high)):
        raise InputError("gap", expected="an estimate with an interval", got=str(gap))
    if best <= 0:
        return None, "the tag says no more about the concept than chance (PPV + NPV <= 1)"
    if (factor <= 0).mean() > (1 - level) / 2:
        return None, "too few images were checked to tell the tag from chance"
    z = float(special.ndtri(0.5 + gap.level / 2))
    normal = rng.standard_normal(_DRAWS)
    below, above = (gap.value - gap.low) / z, (gap.high - gap.value) / z
    seen = gap.value + normal * np.where(normal < 0, below, above)
    drawn = np.where(factor > 0, seen / np.where(factor > 0, factor, 1.0), np.sign(seen) * largest)
    low, high = np.clip(np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]), -largest, largest)
    value = float(np.clip(gap.value / best, -largest, largest))
    return (
        Estimate(value, float(min(low, value)), float(max(high, value)), gap.n, level, "bayes"),
        "",
    )
