"""Statistics against scipy, hand-made formulas and brute force."""

import itertools

import numpy as np
import pytest
from scipy import stats

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

RNG = np.random.default_rng(5)


def test_t_interval_is_scipys():
    x = RNG.gamma(2.0, size=23)
    got = mean_interval(x, level=0.9)
    want = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert got.value == pytest.approx(x.mean(), rel=1e-12)
    assert (got.low, got.high) == pytest.approx((want.low, want.high), rel=1e-12)
    assert got.n == 23


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_bootstrap_is_scipys_up_to_monte_carlo_error(method, statistic):
    x = RNG.lognormal(size=60)
    got = bootstrap_interval(x, statistic=statistic, method=method, resamples=20_000, seed=1)
    scipy_method = "BCa" if method == "bca" else "percentile"
    want = stats.bootstrap(
        (x,), statistic, n_resamples=20_000, method=scipy_method, rng=np.random.default_rng(2)
    ).confidence_interval
    width = want.high - want.low
    assert got.low == pytest.approx(want.low, abs=0.03 * width)
    assert got.high == pytest.approx(want.high, abs=0.03 * width)


def test_generic_jackknife_equals_the_closed_form_of_the_mean():
    x = RNG.exponential(size=30)

    def average(values, /, *, axis):
        return values.mean(axis=axis)

    closed = bootstrap_interval(x, statistic=np.mean, seed=4)
    generic = bootstrap_interval(x, statistic=average, seed=4)
    assert generic.low == pytest.approx(closed.low, rel=1e-9)
    assert generic.high == pytest.approx(closed.high, rel=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 7), (81, 263), (1, 1000)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_is_scipys(k, n, level):
    want = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    got = wilson_interval(k, n, level=level)
    assert (got.low, got.high) == pytest.approx((want.low, want.high), abs=1e-12)
    assert got.value == k / n


def test_newcombe_difference_of_his_published_example():
    # Newcombe 1998 (independent proportions), table II, 56/70 against 48/80, method 10.
    got = proportion_difference(56, 70, 48, 80)
    assert (got.value, got.low, got.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (3, 3), (10, 25), (1, 7)])
def test_mcnemar_is_the_binomial_test(b, c):
    want = stats.binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(want, rel=1e-12)


def _paired_newcombe(e, f, g, h, z=1.959963984540054):
    """Newcombe 1998 (paired), method 10, written from the paper's text."""
    n = e + f + g + h

    def score(x):
        half = z * np.sqrt(z * z + 4 * x * (1 - x / n))
        return (2 * x + z * z - half) / (2 * (n + z * z)), (2 * x + z * z + half) / (
            2 * (n + z * z)
        )

    p1, p2 = (e + f) / n, (e + g) / n
    (l1, u1), (l2, u2) = score(e + f), score(e + g)
    bottom = np.sqrt(float((e + f) * (g + h) * (e + g) * (f + h)))
    top = e * h - f * g
    if top > 0:
        top = max(top - n / 2, 0)
    phi = top / bottom if bottom else 0
    d1, d2 = p1 - l1, u2 - p2
    e1, e2 = u1 - p1, p2 - l2
    delta = np.sqrt(d1**2 - 2 * phi * d1 * d2 + d2**2)
    epsilon = np.sqrt(e1**2 - 2 * phi * e1 * e2 + e2**2)
    return p1 - p2, p1 - p2 - delta, p1 - p2 + epsilon


@pytest.mark.parametrize("cells", [(36, 12, 2, 0), (20, 12, 2, 16), (0, 5, 9, 4), (50, 0, 0, 3)])
def test_paired_proportions_follow_newcombe(cells):
    e, f, g, h = cells
    a = np.array([1] * (e + f) + [0] * (g + h))
    b = np.array([1] * e + [0] * f + [1] * g + [0] * h)
    got = paired_proportions(a, b)
    want = _paired_newcombe(e, f, g, h)
    estimate = got.difference
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(want, abs=1e-12)
    assert (got.both, got.only_a, got.only_b, got.neither) == cells


@pytest.mark.parametrize("n", [1, 2, 5, 9, 13])
def test_sign_flips_are_counted_exactly(n):
    d = np.round(RNG.normal(size=n), 1)
    sums = [abs(np.dot(s, d)) for s in itertools.product((1, -1), repeat=n)]
    want = np.mean(np.array(sums) >= abs(d.sum()) - 1e-9)
    assert sign_flip_p_values(d[:, None])[0] == pytest.approx(want, abs=1e-12)


def test_sign_flips_are_scipys_permutation_test():
    a, b = RNG.normal(0.3, 1, 12), RNG.normal(0, 1, 12)
    want = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
    ).pvalue
    got = paired_difference(a, b)
    assert got.exact
    assert got.p_value == pytest.approx(want, abs=1e-12)


def test_monte_carlo_sign_flips_agree_with_the_t_test_on_normal_data():
    d = RNG.normal(0.15, 1, size=(300, 4))
    got = sign_flip_p_values(d, permutations=20_000, seed=3)
    want = stats.ttest_1samp(d, 0).pvalue
    assert got == pytest.approx(want, abs=0.015)


def test_paired_difference_reports_scipys_t_interval_and_wilcoxon():
    a, b = RNG.normal(0.3, 1, 40), RNG.normal(0, 1, 40)
    got = paired_difference(a, b)
    interval = stats.ttest_rel(a, b).confidence_interval()
    assert (got.difference.low, got.difference.high) == pytest.approx(tuple(interval), rel=1e-12)
    want = stats.wilcoxon(a, b, method="approx").pvalue
    assert got.p_wilcoxon == pytest.approx(want, rel=1e-9)
    assert got.wins + got.losses == 40


@pytest.mark.parametrize("n", [3, 8, 13])
def test_wilcoxon_is_exact_for_small_samples(n):
    d = RNG.normal(0.4, 1, n)
    assert wilcoxon_p_value(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, rel=1e-9)
    tied = np.array([1.0, 1.0, -1.0, 2.0, 2.0, 0.0, 3.0])
    ranks = np.array([2, 2, 2, 4.5, 4.5, 6])
    sums = [abs(np.dot(s, ranks)) for s in itertools.product((1, -1), repeat=6)]
    assert wilcoxon_p_value(tied) == pytest.approx(np.mean(np.array(sums) >= 17), rel=1e-12)


def test_wilcoxon_with_ties_is_scipys_normal_approximation():
    d = RNG.integers(-3, 5, 60).astype(float)
    want = stats.wilcoxon(d, method="approx").pvalue
    assert wilcoxon_p_value(d) == pytest.approx(want, rel=1e-9)


def test_benjamini_hochberg_is_scipys():
    p = RNG.uniform(size=50) ** 2
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), rel=1e-12)


def test_weighted_holm_by_its_step_down_definition():
    random = np.random.default_rng(4)
    for _ in range(20):
        p, w = random.random(7) ** 3, random.random(7) + 0.05
        adjusted = holm(p, weights=w)
        for alpha in (0.01, 0.05, 0.2):
            rejected, order = set(), np.argsort(p / w)
            for rank, index in enumerate(order):
                if p[index] > alpha * w[index] / w[order[rank:]].sum():
                    break
                rejected.add(int(index))
            assert {int(i) for i in np.flatnonzero(adjusted <= alpha + 1e-12)} == rejected
    assert holm(p, weights=np.full(7, 3.0)) == pytest.approx(holm(p), rel=1e-12)
    assert np.isnan(holm([0.01, np.nan], weights=[1, 5])).tolist() == [False, True]
    assert holm([0.01, np.nan], weights=[1, 5])[0] == pytest.approx(0.01)
    for bad in ([1.0], [1.0, 0.0], [1.0, np.nan]):
        with pytest.raises(InputError, match="positive"):
            holm([0.1, 0.2], weights=bad)


def test_holm_by_its_step_down_definition():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.9])
    # Ascending: .005*5, .01*4, .03*3, .04*2 (raised to .09), .9*1.
    assert holm(p) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9], rel=1e-12)
    for alpha in (0.01, 0.03, 0.05, 0.095, 0.5):
        rejected, order = set(), np.argsort(p)
        for rank, index in enumerate(order):
            if p[index] > alpha / (len(p) - rank):
                break
            rejected.add(int(index))
        assert {int(i) for i in np.flatnonzero(holm(p) <= alpha + 1e-12)} == rejected
