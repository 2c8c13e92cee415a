"""Rates of tag errors and gaps corrected for them: the formula, coverage, and refusals."""

import math

import numpy as np
import pytest

from sundog.core.errors import InputError
from sundog.core.statistics import (
    Estimate,
    TagReview,
    estimate_tag_errors,
    newcombe_gap,
    proportion_difference,
)


def test_known_rates_come_back_and_the_gap_is_divided():
    # 1000 images, 200 with the concept: 160 tagged right, 40 missed; 40 tagged wrongly.
    review = TagReview(200, 800, 200, 40, 800, 40)
    seen = Estimate(-0.15, -0.2, -0.1, 1000, 0.95, "newcombe")
    got = estimate_tag_errors(review, gap=seen)
    assert got.ppv.value == 0.8
    assert got.npv.value == 0.95
    assert got.prevalence.value == pytest.approx(0.2)
    assert got.false_negative_rate.value == pytest.approx(40 / 200)
    assert got.false_positive_rate.value == pytest.approx(40 / 800)
    assert got.gap.value == pytest.approx(-0.15 / 0.75)
    # Everything was looked at: nothing about the tags is left to chance.
    assert (got.ppv.low, got.ppv.high) == (0.8, 0.8)
    assert got.gap.low == pytest.approx(-0.2 / 0.75, abs=0.004)
    assert got.gap.high == pytest.approx(-0.1 / 0.75, abs=0.004)
    assert got.reason == ""
    assert got.gap.n == 1000


def test_a_perfect_review_of_all_images_changes_nothing():
    seen = newcombe_gap(0.5, 100, 0.8, 300)
    got = estimate_tag_errors(TagReview(100, 300, 100, 0, 300, 0), gap=seen)
    assert got.gap.value == seen.value
    assert got.gap.low == pytest.approx(seen.low, abs=0.005)
    assert got.gap.high == pytest.approx(seen.high, abs=0.005)
    assert got.false_negative_rate.value == got.false_positive_rate.value == 0


def test_mixing_by_hand_is_undone_for_both_signs():
    for with_it, without in ((0.4, 0.9), (0.95, 0.6)):
        ppv, npv = 0.7, 0.9
        seen = (ppv * with_it + (1 - ppv) * without) - ((1 - npv) * with_it + npv * without)
        gap = Estimate(seen, seen - 0.05, seen + 0.05, 500, 0.95, "newcombe")
        got = estimate_tag_errors(TagReview(100, 400, 50, 15, 50, 5), gap=gap)
        assert got.gap.value == pytest.approx(with_it - without)
        assert got.gap.low < got.gap.value < got.gap.high
        assert got.gap.high - got.gap.low > 0.1 / (ppv + npv - 1)


@pytest.mark.parametrize(
    ("review", "words"),
    [
        ((50, 50, 0, 0, 0, 0), "with the tag and none without the tag was checked"),
        ((50, 50, 5, 1, 0, 0), "without the tag was checked"),
        ((50, 50, 0, 0, 5, 1), "with the tag was checked"),
        ((0, 50, 0, 0, 5, 1), "with the tag was checked"),
        ((50, 50, 20, 12, 20, 8), "chance .PPV"),
        ((50, 50, 20, 20, 20, 0), "chance .PPV"),
        ((50, 50, 3, 1, 3, 1), "too few images"),
    ],
)
def test_no_number_without_grounds(review, words):
    gap = Estimate(-0.2, -0.3, -0.1, 100, 0.95, "newcombe")
    got = estimate_tag_errors(TagReview(*review), gap=gap)
    assert got.gap is None
    assert words in got.reason.replace("(", ".")
    if "checked" in words and "chance" not in words and "too few" not in words:
        assert got.ppv is None
    else:
        assert got.ppv.value == 1 - review[3] / review[2]


def test_without_a_gap_the_rates_are_there():
    got = estimate_tag_errors(TagReview(50, 50, 20, 1, 20, 1))
    assert got.gap is None
    assert got.reason == "no gap was given"
    assert got.npv.value == 0.95
    assert got.to_dict()["npv"]["n"] == 20


def test_same_seed_same_interval_and_more_checks_narrow_it():
    gap = Estimate(-0.2, -0.25, -0.15, 1000, 0.95, "newcombe")
    few = estimate_tag_errors(TagReview(300, 700, 30, 6, 30, 1), gap=gap, seed=4)
    again = estimate_tag_errors(TagReview(300, 700, 30, 6, 30, 1), gap=gap, seed=4)
    many = estimate_tag_errors(TagReview(300, 700, 150, 30, 300, 10), gap=gap, seed=4)
    assert few == again
    assert many.gap.high - many.gap.low < few.gap.high - few.gap.low


def test_bad_counts_and_gaps_are_refused():
    with pytest.raises(InputError, match="wrong <= checked"):
        TagReview(10, 10, 5, 6, 0, 0)
    with pytest.raises(InputError, match="wrong <= checked"):
        TagReview(10, 10, 5, 1, 11, 0)
    with pytest.raises(InputError, match="with an interval"):
        estimate_tag_errors(
            TagReview(10, 10, 5, 0, 5, 0), gap=Estimate(0.1, math.nan, math.nan, 3, 0.95, "t")
        )


@pytest.mark.parametrize("missed", [0.0, 0.1, 0.3, 0.5])
def test_the_corrected_gap_covers_the_truth_where_the_seen_one_does_not(missed):
    rng = np.random.default_rng(int(10 * missed))
    n, truth, checks = 900, -0.3, 40
    covered, naive, worlds = 0, 0, 0
    for false_alarm in (0.0, 0.01, 0.03, 0.05):
        for _ in range(30):
            has = rng.random(n) < 0.15
            tag = np.where(has, rng.random(n) >= missed, rng.random(n) < false_alarm)
            right = rng.random(n) < 0.85 + truth * has
            inside, outside = np.flatnonzero(tag), np.flatnonzero(~tag)
            seen = proportion_difference(
                int(right[inside].sum()), inside.size, int(right[outside].sum()), outside.size
            )
            a, b = rng.permutation(inside)[:checks], rng.permutation(outside)[:checks]
            review = TagReview(
                inside.size, outside.size, a.size, int((~has[a]).sum()), b.size, int(has[b].sum())
            )
            got = estimate_tag_errors(review, gap=seen).gap
            naive += seen.low <= truth <= seen.high
            covered += got is None or got.low <= truth <= got.high
            worlds += 1
    assert covered / worlds >= 0.9
    if missed >= 0.3:
        assert naive / worlds < 0.85
