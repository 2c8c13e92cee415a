"""Power and smallest detectable gaps against full enumeration, simulation and known sizes."""

import itertools
import math
import time

import numpy as np
import pytest
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics import (
    fisher_p_values,
    fisher_power,
    smallest_detectable_gap,
    smallest_detectable_mean_gap,
)
from sundog.core.statistics import power as power_file


def _slow_power(n_a, n_b, rate_a, rate_b, alpha, alternative):
    a, b = np.meshgrid(np.arange(n_a + 1), np.arange(n_b + 1), indexing="ij")
    p = fisher_p_values(a.ravel(), n_a, b.ravel(), n_b, alternative=alternative).reshape(a.shape)
    chance = stats.binom.pmf(a, n_a, rate_a) * stats.binom.pmf(b, n_b, rate_b)
    return chance[p <= alpha].sum()


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize("alpha", [0.05, 0.2, 1e-5])
def test_power_sums_every_rejected_table(alpha, alternative):
    sizes = [(1, 9), (5, 5), (12, 30), (30, 12), (8, 150), (90, 60)]
    rates = [(0.6, 0.8), (0.99, 0.7), (0.0, 1.0), (0.5, 0.5), (0.03, 0.01)]
    for (n_a, n_b), (rate_a, rate_b) in itertools.product(sizes, rates):
        got = fisher_power(n_a, n_b, rate_a, rate_b, alpha=alpha, alternative=alternative)
        want = _slow_power(n_a, n_b, rate_a, rate_b, alpha, alternative)
        assert got == pytest.approx(want, rel=1e-6, abs=1e-9)


def test_power_agrees_with_simulation():
    rng = np.random.default_rng(0)
    worlds = 20_000
    a, b = rng.binomial(60, 0.6, worlds), rng.binomial(700, 0.8, worlds)
    found = (fisher_p_values(a, 60, b, 700) <= 0.001).mean()
    got = fisher_power(60, 700, 0.6, 0.8, alpha=0.001)
    assert got == pytest.approx(found, abs=4 * math.sqrt(found * (1 - found) / worlds))


@pytest.mark.parametrize(("drop", "images"), [(0.1, 130), (0.2, 38), (0.3, 18)])
def test_known_slice_sizes_have_80_percent_power_one_sided_at_baseline_80(drop, images):
    got = fisher_power(images, 9000, 0.8 - drop, 0.8, alpha=0.05, alternative="less")
    assert got == pytest.approx(0.8, abs=0.02)
    # The same sizes for one of 4,000 tests: 537, 154 and 72 images are enough.
    more = {130: 537, 38: 154, 18: 72}[images]
    corrected = fisher_power(more, 9000, 0.8 - drop, 0.8, alpha=0.05 / 4000, alternative="less")
    assert 0.8 <= corrected < 0.93
    # The exact test of a proportion against a known 0.8 says nearly the same.
    hits = np.arange(more + 1)
    reject = stats.binom.cdf(hits, more, 0.8) <= 0.05 / 4000
    assert corrected == pytest.approx(
        stats.binom.pmf(hits, more, 0.8 - drop)[reject].sum(), abs=0.02
    )


@pytest.mark.parametrize("direction", ["drop", "rise"])
@pytest.mark.parametrize(("n_a", "n_b", "rate"), [(40, 200, 0.7), (100, 100, 0.5), (25, 900, 0.6)])
def test_the_smallest_gap_has_the_power_and_a_smaller_one_has_not(direction, n_a, n_b, rate):
    gap = smallest_detectable_gap(n_a, n_b, rate, alpha=0.01, direction=direction)
    sign = -1 if direction == "drop" else 1
    at = fisher_power(n_a, n_b, rate + sign * gap, rate, alpha=0.01)
    below = fisher_power(n_a, n_b, rate + sign * (gap - 0.002), rate, alpha=0.01)
    assert at >= 0.8 - 1e-9
    assert below < 0.8
    either = smallest_detectable_gap(n_a, n_b, rate, alpha=0.01)
    both = smallest_detectable_gap(n_a, n_b, rate, alpha=0.01, direction="both")
    other = "rise" if direction == "drop" else "drop"
    ways = (gap, smallest_detectable_gap(n_a, n_b, rate, alpha=0.01, direction=other))
    assert (either, both) == (min(ways), max(ways))


def test_a_perfect_class_can_only_drop_and_five_images_show_nothing():
    assert math.isnan(smallest_detectable_gap(50, 500, 1.0, direction="rise"))
    drop = smallest_detectable_gap(50, 500, 1.0, direction="drop")
    assert drop == smallest_detectable_gap(50, 500, 1.0)
    assert drop == smallest_detectable_gap(50, 500, 1.0, direction="both")
    assert 0.02 < drop < 0.12
    # A rise from 0.8 to 1 happens to 5 of 5 images by chance too often ever to be found.
    assert math.isnan(smallest_detectable_gap(5, 500, 0.8, direction="rise"))
    assert math.isnan(smallest_detectable_gap(1, 3, 0.8))
    assert math.isnan(smallest_detectable_gap(0, 3, 0.8))


def test_more_images_and_a_looser_level_see_smaller_gaps():
    gaps = [smallest_detectable_gap(n, 1000, 0.8) for n in (20, 50, 100, 300)]
    assert gaps == sorted(gaps, reverse=True)
    gaps = [smallest_detectable_gap(80, 1000, 0.8, alpha=a) for a in (1e-6, 1e-4, 0.01, 0.2)]
    assert gaps == sorted(gaps, reverse=True)


@pytest.mark.parametrize(("n_a", "n_b"), [(1500, 1500), (200, 8000), (2000, 500)])
@pytest.mark.parametrize("alpha", [0.05, 1e-4])
def test_large_groups_are_nearly_exact(monkeypatch, n_a, n_b, alpha):
    monkeypatch.setattr(power_file, "_EXACT_CELLS", 50_000_000)
    power_file._rejected.cache_clear()
    exact = smallest_detectable_gap(n_a, n_b, 0.8, alpha=alpha, direction="drop")
    rate = 0.8 - exact
    in_full = fisher_power(n_a, n_b, rate, 0.8, alpha=alpha)
    monkeypatch.setattr(power_file, "_EXACT_CELLS", 0)
    power_file._rejected.cache_clear()
    assert fisher_power(n_a, n_b, rate, 0.8, alpha=alpha) == pytest.approx(in_full, abs=0.04)
    normal = smallest_detectable_gap(n_a, n_b, 0.8, alpha=alpha, direction="drop")
    assert normal == pytest.approx(exact, abs=0.005)
    power_file._rejected.cache_clear()


def test_a_thousand_classes_of_tags_take_seconds():
    start = time.perf_counter()
    for n in range(10, 260):
        smallest_detectable_gap(n, 1000 - n, 0.8, alpha=0.05 / 2000)
    assert time.perf_counter() - start < 6


def test_means_agree_with_the_noncentral_t():
    for n_a, n_b, alpha in ((10, 200, 0.05), (30, 30, 1e-4), (400, 90, 0.001)):
        gap = smallest_detectable_mean_gap(n_a, n_b, 0.25, alpha=alpha)
        df, shift = n_a + n_b - 2, gap / (0.25 * math.sqrt(1 / n_a + 1 / n_b))
        t = stats.t.isf(alpha / 2, df)
        assert stats.nct.sf(t, df, shift) == pytest.approx(0.8, abs=0.01)
    assert math.isnan(smallest_detectable_mean_gap(1, 100, 0.2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_present": -1},
        {"rate_absent": 1.2},
        {"alpha": 0.0},
        {"power": 1.0},
        {"direction": "up"},
    ],
)
def test_bad_arguments_are_refused(wrong):
    given = {"n_present": 10, "n_absent": 10, "rate_absent": 0.5} | wrong
    with pytest.raises(InputError):
        smallest_detectable_gap(**given)
