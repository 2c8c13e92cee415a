"""Small, empty and wrong input of the statistics, and their invariants."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.core import statistics
from sundog.core.errors import InputError
from sundog.core.statistics import (
    benjamini_hochberg,
    bootstrap_interval,
    holm,
    mcnemar_exact,
    mean_interval,
    paired_difference,
    paired_proportions,
    proportion_difference,
    sign_flip_p_values,
    wilcoxon_p_value,
    wilson_interval,
)

numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_every_public_name_exists():
    assert sorted(statistics.__all__) == list(statistics.__all__)
    assert all(hasattr(statistics, name) for name in statistics.__all__)


@pytest.mark.parametrize("method", ["t", "bca", "percentile"])
def test_small_samples_have_no_interval(method):
    empty, one = mean_interval([], method=method), mean_interval([3.0], method=method)
    assert math.isnan(empty.value)
    assert empty.n == 0
    assert one.value == 3.0
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert "no interval" in str(one)


@pytest.mark.parametrize("method", ["t", "bca", "percentile"])
def test_equal_values_have_a_point_interval(method):
    got = mean_interval([0.25] * 9, method=method)
    assert got.low == got.value == got.high == 0.25
    assert got.to_dict()["n"] == 9


def test_empty_proportions_are_nan():
    assert math.isnan(wilson_interval(0, 0).value)
    assert math.isnan(proportion_difference(0, 0, 1, 2).value)
    assert math.isnan(paired_proportions([], []).difference.value)
    assert paired_proportions([], []).p_value == 1.0
    assert str(wilson_interval(3, 4)) == "0.75 [0.301, 0.954] (n = 4)"


def test_missing_pairs_count_as_absent():
    rng = np.random.default_rng(0)
    d = rng.normal(size=(14, 2))
    d[:4, 1] = np.nan
    full = sign_flip_p_values(d)
    assert full[1] == pytest.approx(sign_flip_p_values(d[4:, 1:])[0], abs=1e-12)
    assert math.isnan(sign_flip_p_values(np.full((3, 1), np.nan))[0])
    assert sign_flip_p_values(np.zeros((3, 1)))[0] == 1
    assert sign_flip_p_values(np.zeros((40, 1)))[0] == 1


def test_columns_do_not_influence_each_other():
    d = np.random.default_rng(1).normal(0.1, 1, size=(200, 5))
    together = sign_flip_p_values(d, seed=7)
    alone = [sign_flip_p_values(d[:, [k]], seed=7)[0] for k in range(5)]
    assert together == pytest.approx(alone, abs=0)


def test_wilcoxon_of_nothing():
    assert wilcoxon_p_value([0.0, 0.0]) == 1.0
    assert math.isnan(wilcoxon_p_value([]))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: mean_interval([1.0, math.nan]), "NaN or infinity in 1 of 2 values"),
        (lambda: mean_interval([[1.0]]), "values must be one-dimensional"),
        (lambda: mean_interval([1.0, 2.0], level=95), "level must be between 0 and 1"),
        (lambda: mean_interval([1.0, 2.0], method="z"), "method must be t, bca or percentile"),
        (lambda: bootstrap_interval([1.0, 2.0], method="t"), "method must be bca or percentile"),
        (lambda: bootstrap_interval([1.0, 2.0], resamples=3), "resamples must be at least 100"),
        (lambda: wilson_interval(5, 4), "successes must be between 0 and n = 4"),
        (lambda: mcnemar_exact(-1, 2), "Discordant counts must be >= 0"),
        (lambda: paired_proportions([1, 0], [1]), "a and b must be lists of equal length"),
        (lambda: paired_proportions([2, 0], [1, 1]), "a and b must be True or False"),
        (lambda: paired_difference([1.0], [1.0, 2.0]), "a and b must be lists of equal length"),
        (lambda: sign_flip_p_values([1.0]), "differences must be"),
        (lambda: sign_flip_p_values([[math.inf]]), "differences must be finite or NaN"),
        (lambda: sign_flip_p_values([[1.0]], permutations=5), "permutations must be at least 99"),
        (lambda: holm([0.2, 1.2]), r"p_values must be in \[0, 1\]"),
        (lambda: benjamini_hochberg([[0.2]]), "p_values must be one-dimensional"),
    ],
)
def test_wrong_input_is_said_in_plain_words(call, text):
    with pytest.raises(InputError, match=text):
        call()


@given(p_lists)
def test_corrections_keep_order_and_bounds(p):
    for correct in (holm, benjamini_hochberg):
        adjusted = correct(p)
        assert (adjusted >= np.array(p)).all()
        assert (adjusted <= 1).all()
        order = np.argsort(p, kind="stable")
        assert (np.diff(adjusted[order]) >= 0).all()
    assert (benjamini_hochberg(p) <= holm(p) + 1e-12).all()


@given(p_lists, st.integers(0, 5))
def test_corrections_do_not_count_missing_tests(p, position):
    position = min(position, len(p))
    with_gap = [*p[:position], math.nan, *p[position:]]
    for correct in (holm, benjamini_hochberg):
        adjusted = correct(with_gap)
        assert math.isnan(adjusted[position])
        assert np.delete(adjusted, position) == pytest.approx(correct(p), abs=0)


@settings(max_examples=30)
@given(st.lists(numbers, min_size=2, max_size=25), st.integers(0, 3))
def test_same_seed_same_result_and_sign_symmetry(values, seed):
    x, zero = np.array(values), np.zeros(len(values))
    first = paired_difference(x, zero, seed=seed, permutations=199)
    assert first == paired_difference(x, zero, seed=seed, permutations=199)
    swapped = paired_difference(zero, x, seed=seed, permutations=199)
    assert swapped.p_value == first.p_value
    assert swapped.difference.value == -first.difference.value
    assert (swapped.wins, swapped.losses) == (first.losses, first.wins)


@given(st.integers(0, 60), st.integers(0, 60))
def test_wilson_contains_the_share_and_stays_in_range(k, rest):
    got = wilson_interval(k, k + rest)
    if k + rest:
        assert 0 <= got.low <= got.value <= got.high <= 1
