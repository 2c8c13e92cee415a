"""Coverage of intervals and false-alarm rates of tests, by simulation with a fixed seed."""

import numpy as np
import pytest

from sundog.core.statistics import (
    benjamini_hochberg,
    holm,
    mcnemar_exact,
    mean_interval,
    paired_difference,
    paired_proportions,
    sign_flip_p_values,
    wilson_interval,
)


def _within(rate, nominal, worlds, slack=0.0):
    """Three and a half standard errors around the nominal rate."""
    error = 3.5 * np.sqrt(nominal * (1 - nominal) / worlds)
    return nominal - error - slack <= rate <= nominal + error + slack


def test_t_interval_covers_the_mean_at_the_stated_rate():
    rng = np.random.default_rng(0)
    worlds = 2000
    hits = sum(
        (e := mean_interval(rng.normal(2.0, 1, 12))).low <= 2.0 <= e.high for _ in range(worlds)
    )
    assert _within(hits / worlds, 0.95, worlds)


@pytest.mark.parametrize(("method", "floor"), [("bca", 0.925), ("percentile", 0.91)])
def test_bootstrap_covers_the_mean_of_skewed_curve_scores(method, floor):
    # Beta(0.8, 2.5) looks like deletion areas: mean 0.24, standard deviation as large.
    rng = np.random.default_rng(1)
    worlds, mean = 500, 0.8 / 3.3
    hits = 0
    for world in range(worlds):
        e = mean_interval(rng.beta(0.8, 2.5, 60), method=method, resamples=600, seed=world)
        hits += e.low <= mean <= e.high
    assert floor <= hits / worlds <= 0.975


def test_wilson_covers_on_average():
    rng = np.random.default_rng(2)
    worlds = 4000
    p, k = rng.uniform(0.02, 0.98, worlds), np.zeros(worlds, dtype=int)
    k = rng.binomial(40, p)
    hits = [
        (e := wilson_interval(int(x), 40)).low <= q <= e.high for x, q in zip(k, p, strict=True)
    ]
    assert _within(np.mean(hits), 0.95, worlds, slack=0.005)


def test_paired_newcombe_covers_and_mcnemar_keeps_its_level():
    rng = np.random.default_rng(3)
    worlds, n = 1500, 80
    covered = alarms = 0
    for _ in range(worlds):
        base = rng.random(n) < 0.7
        a = np.where(rng.random(n) < 0.15, rng.random(n) < 0.7, base)
        b = np.where(rng.random(n) < 0.15, rng.random(n) < 0.7, base)
        result = paired_proportions(a, b)
        covered += result.difference.low <= 0 <= result.difference.high
        alarms += result.p_value <= 0.05
    assert covered / worlds >= 0.94
    assert alarms / worlds <= 0.05


@pytest.mark.parametrize("n", [12, 80])
def test_sign_flips_raise_false_alarms_at_the_stated_rate(n):
    rng = np.random.default_rng(4)
    worlds = 3000
    d = rng.standard_t(3, size=(n, worlds))
    p = sign_flip_p_values(d, permutations=999, seed=1)
    assert _within(np.mean(p <= 0.05), 0.05, worlds, slack=0.002)
    assert np.mean(p <= 0.2) == pytest.approx(0.2, abs=0.03)


def test_sign_flips_find_a_planted_difference():
    rng = np.random.default_rng(5)
    a = rng.beta(0.8, 2.5, 400)
    result = paired_difference(a + rng.normal(0.02, 0.05, 400), a, seed=0)
    assert result.p_value == 1 / 10_000
    assert result.difference.low < 0.02 < result.difference.high


def test_holm_keeps_the_family_wise_rate_and_bh_the_false_discovery_rate():
    rng = np.random.default_rng(6)
    worlds, m, real = 2000, 20, 5
    family, discoveries = 0, []
    for _ in range(worlds):
        p = rng.uniform(size=m)
        p[:real] = rng.beta(0.05, 3, size=real)
        family += bool((holm(p)[real:] <= 0.05).any())
        found = benjamini_hochberg(p) <= 0.1
        discoveries.append(found[real:].sum() / max(found.sum(), 1))
    assert family / worlds <= 0.06
    assert np.mean(discoveries) <= 0.1 * (m - real) / m + 0.01


def test_mcnemar_is_symmetric():
    assert mcnemar_exact(3, 11) == mcnemar_exact(11, 3)
