"""Stratified statistics against scipy, exact convolution and slow loops over strata."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sundog.bias.class_images import ClassImages
from sundog.bias.strata import pooled_slices
from sundog.bias.strata_scores import null_law, stratum_moments
from sundog.bias.strata_tables import (
    cochran_mantel_haenszel,
    homogeneity,
    mantel_haenszel_gap,
    tabulate,
)
from sundog.core.errors import InputError


def draw(seed, sizes=(40, 25, 60), gap=-0.15):
    rng = np.random.default_rng(seed)
    strata = np.repeat(np.arange(len(sizes)), sizes)
    tag = rng.random(len(strata)) < rng.uniform(0.2, 0.6, len(sizes))[strata]
    base = rng.uniform(0.5, 0.9, len(sizes))[strata]
    right = rng.random(len(strata)) < base + gap * tag
    return strata, tag, right, rng


def cells(strata, tag, right):
    for k in np.unique(strata):
        here = strata == k
        a, b = (right & tag & here).sum(), (~right & tag & here).sum()
        yield a, b, (right & ~tag & here).sum(), (~right & ~tag & here).sum()


@pytest.mark.parametrize("correction", [False, True])
def test_cmh_by_the_book(correction):
    strata, tag, right, _ = draw(1)
    excess = variance = 0.0
    for a, b, c, d in cells(strata, tag, right):
        n = a + b + c + d
        excess += a - (a + b) * (a + c) / n
        variance += (a + b) * (c + d) * (a + c) * (b + d) / (n**2 * (n - 1))
    want = max(abs(excess) - 0.5 * correction, 0) ** 2 / variance
    table = tabulate(tag, ~tag, right, strata, count=3)
    statistic, p = cochran_mantel_haenszel(table, correction=correction)
    assert statistic == pytest.approx(want, rel=1e-12)
    assert p == pytest.approx(stats.chi2.sf(want, 1), rel=1e-12)


def test_cmh_of_one_pair_per_stratum_is_mcnemar_and_of_one_stratum_is_scaled_chi_square():
    rng = np.random.default_rng(0)
    strata = np.repeat(np.arange(50), 2)
    tag = np.tile([True, False], 50)
    right = rng.random(100) < np.where(tag, 0.4, 0.7)
    up = (right[tag] & ~right[~tag]).sum()
    down = (~right[tag] & right[~tag]).sum()
    table = tabulate(tag, ~tag, right, strata, count=50)
    statistic, _ = cochran_mantel_haenszel(table)
    assert statistic == pytest.approx((up - down) ** 2 / (up + down), rel=1e-12)
    one = tabulate(tag, ~tag, right, np.zeros(100, int), count=1)
    a, b, c, d = next(cells(np.zeros(100, int), tag, right))
    chi = stats.chi2_contingency([[a, b], [c, d]], correction=False).statistic
    assert cochran_mantel_haenszel(one)[0] == pytest.approx(chi * 99 / 100, rel=1e-12)


def test_cmh_of_a_real_outcome_is_the_stratified_permutation_variance():
    strata, tag, _, rng = draw(3, sizes=(6, 5))
    values = rng.normal(size=len(strata)) + strata
    table = tabulate(tag, ~tag, values, strata, count=2)
    sums = []
    parts = [list(itertools.permutations(values[strata == k])) for k in (0, 1)]
    tags = [tag[strata == k] for k in (0, 1)]
    each = [np.array([np.array(p)[t].sum() for p in part]) for part, t in zip(parts, tags)]  # noqa: B905
    sums = (each[0][:, None] + each[1][None, :]).ravel()
    want = (values[tag].sum() - sums.mean()) ** 2 / sums.var()
    assert cochran_mantel_haenszel(table)[0] == pytest.approx(want, rel=1e-9)
    moments = stratum_moments(values, strata, count=2)
    inside = np.array([[tags[0].sum(), tags[1].sum()]])
    law = null_law(inside, moments)
    assert law.expected[0] == pytest.approx(sums.mean(), abs=1e-9)
    assert law.deviation[0] == pytest.approx(sums.std(), rel=1e-9)
    assert law.skewness[0] == pytest.approx(stats.skew(sums), abs=1e-9)


def test_the_gap_and_its_greenland_robins_variance_by_hand():
    strata, tag, right, _ = draw(4, sizes=(80, 70, 90))
    top = bottom = spread = 0.0
    for a, b, c, d in cells(strata, tag, right):
        m1, m0 = a + b, c + d
        n = m1 + m0
        top += (a * m0 - c * m1) / n
        bottom += m1 * m0 / n
        spread += (a * b * m0**3 + c * d * m1**3) / (m1 * m0 * n**2)
    table = tabulate(tag, ~tag, right, strata, count=3)
    got = mantel_haenszel_gap(table, variance="greenland_robins")
    half = stats.norm.ppf(0.975) * np.sqrt(spread) / bottom
    assert got.value == pytest.approx(top / bottom, rel=1e-12)
    assert (got.low, got.high) == pytest.approx((got.value - half, got.value + half), rel=1e-9)
    sato = mantel_haenszel_gap(table)
    assert sato.value == got.value
    assert sato.high - sato.low == pytest.approx(got.high - got.low, rel=0.06)


def test_the_robust_variance_is_whites_with_strata_as_fixed_effects():
    strata, tag, _, rng = draw(5)
    values = rng.gamma(2, size=len(strata)) * (1 + tag) + strata
    design = np.column_stack([tag, *(strata == k for k in range(3))]).astype(float)
    beta, *_ = np.linalg.lstsq(design, values, rcond=None)
    residual = values - design @ beta
    size = np.bincount(strata)[strata]
    bread = np.linalg.inv(design.T @ design)
    meat = (design * (residual**2 * size / (size - 1))[:, None]).T @ design
    want = np.sqrt((bread @ meat @ bread)[0, 0])
    got = mantel_haenszel_gap(tabulate(tag, ~tag, values, strata, count=3))
    assert got.value == pytest.approx(beta[0], rel=1e-9)
    cut = (min(got.value + 1.96 * want, 1), max(got.value - 1.96 * want, -1))
    assert (got.high, got.low) == pytest.approx(cut, rel=1e-3)


def test_homogeneity_by_hand_and_where_it_cannot_be_asked():
    strata, tag, right, _ = draw(6, sizes=(80, 60, 70))
    gaps, weights = [], []
    for a, b, c, d in cells(strata, tag, right):
        p1, p0 = (a + 1) / (a + b + 2), (c + 1) / (c + d + 2)
        gaps.append(p1 - p0)
        weights.append(1 / (p1 * (1 - p1) / (a + b + 2) + p0 * (1 - p0) / (c + d + 2)))
    mean = np.average(gaps, weights=weights)
    q = (np.array(weights) * (np.array(gaps) - mean) ** 2).sum()
    p, asked = homogeneity(tabulate(tag, ~tag, right, strata, count=3))
    assert asked == 3
    assert p == pytest.approx(stats.chi2.sf(q, 2), rel=1e-9)
    alone = homogeneity(tabulate(tag, ~tag, right, np.zeros(210, int), count=1))
    assert np.isnan(alone[0])
    assert alone[1] == 1


def test_scores_are_the_exact_conditional_tails():
    """Sum of hypergeometrics by convolution; the score is never bolder and hardly weaker."""
    rng = np.random.default_rng(7)
    ratios = []
    for _ in range(150):
        sizes = rng.integers(20, 200, rng.integers(1, 5))
        right = (sizes * rng.uniform(0.6, 0.97, len(sizes))).astype(int)
        inside = np.array([rng.integers(1, max(2, n // 5)) for n in sizes])
        if inside.sum() < 10:
            continue
        mass, first = np.ones(1), 0
        for n, r, s in zip(sizes, right, inside, strict=True):
            low = max(0, s + r - n)
            mass = np.convolve(mass, stats.hypergeom.pmf(np.arange(low, min(s, r) + 1), n, r, s))
            first += low
        outcome = np.concatenate([np.arange(n) < r for n, r in zip(sizes, right, strict=True)])
        strata = np.repeat(np.arange(len(sizes)), sizes)
        law = null_law(inside[None], stratum_moments(outcome, strata, count=len(sizes)))
        assert law.expected[0] == pytest.approx((mass * (first + np.arange(len(mass)))).sum())
        scores = law.scores((first + np.arange(len(mass), dtype=float))[None])[0]
        for exact, got in (
            (np.cumsum(mass), stats.norm.cdf(scores)),
            (np.cumsum(mass[::-1])[::-1], stats.norm.sf(scores)),
        ):
            use = (exact > 1e-4) & (exact < 0.05)
            assert (got[use] / exact[use] > 0.97).all()
            assert (got[use] / exact[use] < 5).all()
            ratios.extend(got[use] / exact[use])
    assert len(ratios) > 300
    assert np.median(ratios) < 1.25


def world(seed, *, classes=4, n=60, tags=5):
    rng = np.random.default_rng(seed)
    made, present = [], {}
    for k in range(classes):
        table = rng.random((n, tags)) < rng.uniform(0.15, 0.5, tags)
        right = rng.random(n) < 0.9 - 0.1 * k - 0.25 * (table[:, 0] & table[:, 1])
        ids = tuple(f"{k}-{i}" for i in range(n))
        made.append(ClassImages(f"c{k}", ids, right, np.where(right, 0.8, 0.3)))
        present[f"c{k}"] = table
    return made, present


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
def test_westfall_young_within_classes_by_slow_loops(metric):
    made, present = world(8)
    names = list("abcde")
    got = pooled_slices(
        made,
        present,
        names,
        metric=metric,
        minimality="none",
        min_gap=0.0,
        alpha=1.0,
        permutations=3000,
        progress=False,
    )
    table = np.concatenate(list(present.values()))
    outcome = np.concatenate([one.outcome(metric) for one in made]).astype(float)
    strata = np.repeat(np.arange(4), 60)
    combos = [c for k in (1, 2) for c in itertools.combinations(range(5), k)]
    masks = np.array([table[:, list(c)].all(axis=1) for c in combos])
    keep = masks.sum(axis=1) >= 10
    masks, combos = masks[keep], [c for c, use in zip(combos, keep, strict=True) if use]
    assert got.tested == len(combos)
    inside = np.array([[(m & (strata == k)).sum() for k in range(4)] for m in masks])
    observed_outcome = outcome if metric == "confidence" else outcome.astype(bool)
    law = null_law(inside, stratum_moments(observed_outcome, strata, count=4))
    observed = np.abs(law.scores(masks @ outcome))
    rng, count, runs = np.random.default_rng(1), np.zeros(len(masks)), 3000
    order = np.argsort(observed)
    for _ in range(runs):
        shuffled = np.concatenate([rng.permutation(outcome[strata == k]) for k in range(4)])
        drawn = np.abs(law.scores(masks @ shuffled))
        count[order] += np.maximum.accumulate(drawn[order]) >= observed[order] - 1e-6
    slow = (1 + count) / (runs + 1)
    slow[order[::-1]] = np.maximum.accumulate(slow[order[::-1]])
    fast = {tuple(map("abcde".index, s.effect.concepts)): s.effect.p_adjusted for s in got.slices}
    for combo, value in zip(combos, slow, strict=True):
        assert fast[combo] == pytest.approx(value, abs=0.04)


def test_a_pooled_slice_tells_what_its_classes_tell():
    made, present = world(9, n=120)
    got = pooled_slices(made, present, list("abcde"), progress=False)
    first = got.slices[0]
    assert first.effect.concepts == ("a", "b")
    assert first.effect.class_name is None
    assert first.effect.direction == "hurts"
    table = np.concatenate(list(present.values()))
    mask = table[:, 0] & table[:, 1]
    right = np.concatenate([one.correct for one in made])
    assert first.effect.errors == (mask & ~right).sum()
    weights, gaps, expected, chance = [], [], 0.0, 0.0
    for one in made:
        here = present[one.name][:, 0] & present[one.name][:, 1]
        weights.append(here.sum() * (~here).sum() / 120)
        gaps.append(one.correct[here].mean() - one.correct[~here].mean())
        expected += here.sum() * (~one.correct[~here]).mean()
        chance += 120 * present[one.name][:, 0].mean() * present[one.name][:, 1].mean()
    assert first.effect.gap.value == pytest.approx(np.average(gaps, weights=weights))
    difference = first.effect.mean_present - first.effect.mean_absent
    assert difference == pytest.approx(first.effect.gap.value)
    assert first.effect.expected_errors == pytest.approx(expected)
    assert first.effect.expected_images == pytest.approx(chance)
    assert [c.gap.value for c in first.classes] == pytest.approx(gaps)
    assert sum(first.effect.shapley.values()) == pytest.approx(first.effect.gap.value)


def test_corrections_and_variances_that_do_not_exist_are_refused():
    table = tabulate(
        np.array([True, False]), np.array([False, True]), np.ones(2), np.zeros(2, int), count=1
    )
    with pytest.raises(InputError, match="False for a real outcome"):
        cochran_mantel_haenszel(table, correction=True)
    with pytest.raises(InputError, match="sato or greenland_robins"):
        mantel_haenszel_gap(table, variance="other")
