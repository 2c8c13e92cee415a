"""Two independent groups against scipy, brute force and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sundog.core.errors import InputError
from sundog.core.statistics import (
    effective_size,
    fisher_p_values,
    mann_whitney,
    newcombe_gap,
    proportion_difference,
    studentised_permutation,
    welch_gap,
)
from sundog.core.statistics.mann_whitney import auroc_interval
from sundog.core.statistics.permutation import permutation_blocks


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_fisher_is_scipys_on_every_table_of_two_groups(alternative):
    for n_a, n_b in ((0, 3), (1, 1), (5, 5), (4, 11), (20, 7)):
        a, b = np.meshgrid(np.arange(n_a + 1), np.arange(n_b + 1))
        got = fisher_p_values(a.ravel(), n_a, b.ravel(), n_b, alternative=alternative)
        want = [
            stats.fisher_exact([[x, n_a - x], [y, n_b - y]], alternative=alternative).pvalue
            for x, y in zip(a.ravel(), b.ravel(), strict=True)
        ]
        assert got == pytest.approx(want, rel=1e-9)


def test_fisher_mixes_margins_and_stays_exact_for_large_classes():
    tables = [(30, 40, 900, 960), (700, 1000, 33_000, 49_000), (0, 12, 88, 88), (30, 40, 900, 960)]
    got = fisher_p_values(*np.array(tables).T)
    want = [stats.fisher_exact([[a, n_a - a], [b, n_b - b]]).pvalue for a, n_a, b, n_b in tables]
    assert got == pytest.approx(want, rel=1e-7)


def test_top_5_against_bottom_5_sees_only_gaps_of_60_points():
    gaps = {}
    for k, alpha in itertools.product((5, 10), (0.2, 0.05)):
        hits = np.arange(k + 1)
        p = fisher_p_values(k, k, hits, k)
        gaps[k, alpha] = (k - hits[p <= alpha].max()) / k
    assert gaps == pytest.approx({(5, 0.2): 0.6, (5, 0.05): 0.8, (10, 0.2): 0.4, (10, 0.05): 0.5})


def test_impossible_counts_are_refused():
    with pytest.raises(InputError, match="between 0 and the size"):
        fisher_p_values(5, 4, 1, 3)
    with pytest.raises(InputError, match="integers"):
        fisher_p_values(0.5, 4, 1, 3)
    with pytest.raises(InputError, match="less or greater"):
        fisher_p_values(1, 4, 1, 3, alternative="both")


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_newcombe_of_whole_numbers_is_the_difference_of_proportions(n_a, n_b, data):
    a, b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    got = newcombe_gap(a / n_a, n_a, b / n_b, n_b, level=0.9)
    want = proportion_difference(a, n_a, b, n_b, level=0.9)
    assert (got.value, got.low, got.high) == pytest.approx(
        (want.value, want.low, want.high), abs=1e-12
    )
    back = newcombe_gap(b / n_b, n_b, a / n_a, n_a, level=0.9)
    assert (back.low, back.high) == pytest.approx((-got.high, -got.low), abs=1e-12)


def test_newcombe_edges():
    assert math.isnan(newcombe_gap(0.5, 0, 0.5, 10).value)
    with pytest.raises(InputError, match=">= 0"):
        newcombe_gap(0.5, -1, 0.5, 10)
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        newcombe_gap(1.5, 1, 0.5, 10)


def test_effective_size_counts_groups():
    assert effective_size([1, 2, 3, 4]) == 4
    assert effective_size([7, 7, 7, 7]) == 1
    assert effective_size([1, 1, 2, 2, 3, 3]) == 3
    assert effective_size([1, 1, 1, 2]) == pytest.approx(16 / 10)
    assert effective_size([]) == 0


def test_welch_interval_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.gamma(2, size=13), rng.normal(size=31)
    want = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    got = welch_gap(a, b, level=0.9)
    assert got.value == pytest.approx(a.mean() - b.mean(), rel=1e-12)
    assert (got.low, got.high) == pytest.approx((want.low, want.high), rel=1e-10)
    wider = welch_gap(np.repeat(a, 2), np.repeat(b, 2), level=0.9, effective=(13, 31))
    assert wider.high - wider.low == pytest.approx(got.high - got.low, rel=0.05)


def test_welch_edges():
    assert math.isnan(welch_gap([], [1.0, 2.0]).value)
    single = welch_gap([3.0], [1.0, 2.0])
    assert single.value == 1.5
    assert math.isnan(single.low)
    flat = welch_gap([3.0, 3.0], [1.0, 1.0])
    assert (flat.low, flat.value, flat.high) == (2, 2, 2)
    with pytest.raises(InputError, match="finite"):
        welch_gap([1.0, math.nan], [1.0, 2.0])


def _slow_t(values, inside):
    return stats.ttest_ind(values[inside], values[~inside], equal_var=False).statistic


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_permutation_p_agrees_with_counting_every_split(alternative):
    rng = np.random.default_rng(1)
    values = rng.beta(2, 1, 9)
    members = np.zeros((9, 2), dtype=bool)
    members[:4, 0] = True
    members[[0, 2, 5], 1] = True
    values[members[:, 0]] -= 0.25
    t, p = studentised_permutation(
        values, members, permutations=20_000, seed=3, alternative=alternative
    )
    for column in range(2):
        inside = members[:, column]
        observed = _slow_t(values, inside)
        assert t[column] == pytest.approx(observed, rel=1e-9)
        drawn = []
        for chosen in itertools.combinations(range(9), int(inside.sum())):
            mask = np.zeros(9, dtype=bool)
            mask[list(chosen)] = True
            drawn.append(_slow_t(values, mask))
        drawn = np.array(drawn)
        extreme = {
            "two-sided": np.abs(drawn) >= abs(observed) - 1e-9,
            "less": drawn <= observed + 1e-9,
            "greater": drawn >= observed - 1e-9,
        }[alternative]
        want = extreme.mean()
        assert p[column] == pytest.approx(want, abs=4 * math.sqrt(want * (1 - want) / 20_000))


def test_permutation_of_right_and_wrong_agrees_with_scipys_permutation_test():
    rng = np.random.default_rng(4)
    inside = np.arange(60) < 20
    values = (rng.random(60) < np.where(inside, 0.5, 0.8)).astype(float)
    _, p = studentised_permutation(values, inside[:, None], permutations=20_000, seed=0)

    def gap(a, b, axis):
        variances = a.var(axis=axis, ddof=1) / 20 + b.var(axis=axis, ddof=1) / 40
        return np.abs((a.mean(axis=axis) - b.mean(axis=axis)) / np.sqrt(variances))

    want = stats.permutation_test(
        (values[inside], values[~inside]),
        gap,
        n_resamples=20_000,
        alternative="greater",
        vectorized=True,
        rng=np.random.default_rng(5),
    ).pvalue
    assert p[0] == pytest.approx(want, abs=0.006)


def test_permutation_edges():
    values = np.array([0.0, 1.0, 1.0, 1.0])
    members = np.array([[True, True, False], [False, True, False], [False] * 3, [False] * 3])
    t, p = studentised_permutation(values, members, permutations=99)
    assert np.isnan(t).tolist() == [True, False, True]
    assert np.isnan(p).tolist() == [True, False, True]
    t, p = studentised_permutation(np.ones(4), members[:, 1:2], permutations=99)
    assert (t[0], p[0]) == (0, 1)
    t, p = studentised_permutation([0, 0, 1, 1.0], members[:, 1:2], permutations=999)
    assert t[0] == -np.inf
    assert 0.25 < p[0] < 0.42  # 2 of 6 splits are as extreme
    with pytest.raises(InputError, match=r"bool\[4, columns\]"):
        studentised_permutation(values, members[:3])
    with pytest.raises(InputError, match="at least 99"):
        studentised_permutation(values, members, permutations=10)
    with pytest.raises(InputError, match="finite"):
        studentised_permutation([0, 1, np.nan, 1], members)


def test_permutation_p_does_not_depend_on_the_other_columns_or_on_the_scale():
    rng = np.random.default_rng(6)
    values, members = rng.random(80), rng.random((80, 5)) < 0.3
    _, together = studentised_permutation(values, members, permutations=500, seed=2)
    _, alone = studentised_permutation(values, members[:, 2:3], permutations=500, seed=2)
    _, scaled = studentised_permutation(7 * values - 3, members, permutations=500, seed=2)
    assert alone[0] == together[2]
    assert scaled.tolist() == together.tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=14), st.integers(0, 100))
def test_groups_move_as_one_and_every_image_has_one_place(groups, seed):
    labels = np.array(groups)
    rng = np.random.default_rng(seed)
    for row in np.concatenate(
        list(permutation_blocks(labels.size, permutations=7, rng=rng, groups=labels))
    ):
        assert sorted(row.tolist()) == list(range(labels.size))
        moved = {(a, b) for a, b in zip(labels.tolist(), labels[row].tolist(), strict=True)}
        assert len(moved) == len(set(groups))  # one group comes from exactly one group


def test_permutations_are_uniform():
    rng = np.random.default_rng(0)
    block = np.concatenate(list(permutation_blocks(3, permutations=6000, rng=rng)))
    counts = np.unique(block @ [9, 3, 1], return_counts=True)[1]
    assert counts.size == 6
    assert stats.chisquare(counts).pvalue > 0.001


def _slow_mann_whitney(scores, positive, alternative):
    ranks = stats.rankdata(scores)
    k, n = int(positive.sum()), len(scores)
    sums = np.array([ranks[list(c)].sum() for c in itertools.combinations(range(n), k)])
    observed, expected = ranks[positive].sum(), k * (n + 1) / 2
    return {
        "two-sided": np.abs(sums - expected) >= abs(observed - expected) - 1e-9,
        "less": sums <= observed + 1e-9,
        "greater": sums >= observed - 1e-9,
    }[alternative].mean()


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@given(scores=st.lists(st.integers(0, 4), min_size=2, max_size=9), bits=st.integers(1, 2**9 - 2))
def test_exact_mann_whitney_counts_every_split_under_ties(alternative, scores, bits):
    n = len(scores)
    positive = np.array([(bits >> i) & 1 for i in range(n)], dtype=bool)
    if positive.all() or not positive.any():
        return
    values = np.array(scores, dtype=float)
    got = mann_whitney(values, positive, alternative=alternative)
    assert got.method == "exact"
    assert got.p_value == pytest.approx(
        _slow_mann_whitney(values, positive, alternative), rel=1e-12
    )
    pairs = np.sign(values[positive][:, None] - values[~positive][None, :])
    assert got.auroc.value == pytest.approx((pairs.mean() + 1) / 2, abs=1e-12)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_mann_whitney_is_scipys_exact_and_asymptotic(alternative):
    rng = np.random.default_rng(7)
    small = rng.normal(size=30)
    inside = np.arange(30) < 11
    small[inside] += 0.8
    got = mann_whitney(small, inside, alternative=alternative)
    want = stats.mannwhitneyu(
        small[inside], small[~inside], alternative=alternative, method="exact"
    )
    assert got.p_value == pytest.approx(want.pvalue, rel=1e-9)
    large = np.round(rng.normal(size=3000), 1)
    inside = rng.random(3000) < 0.3
    large[inside] += 0.05
    got = mann_whitney(large, inside, alternative=alternative)
    assert got.method == "normal"
    want = stats.mannwhitneyu(
        large[inside], large[~inside], alternative=alternative, method="asymptotic"
    )
    assert got.p_value == pytest.approx(want.pvalue, rel=1e-9)
    assert got.auroc.value == pytest.approx(
        stats.mannwhitneyu(large[inside], large[~inside]).statistic
        / (inside.sum() * (~inside).sum()),
        rel=1e-12,
    )


def test_a_rare_high_score_does_not_fool_the_normal_distribution():
    # 10 of 4,000 images score 1, one of the five wrong ones among them: P = 0.0124, while the
    # normal distribution would say 1e-18.
    scores = np.zeros(4000)
    scores[:10] = 1
    wrong = np.zeros(4000, dtype=bool)
    wrong[[0, 500, 600, 700, 800]] = True
    got = mann_whitney(scores, wrong, permutations=4999, seed=0)
    assert got.method == "permutation"
    exact = 1 - stats.hypergeom.pmf(0, 4000, 10, 5)
    assert got.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact / 4999))


def test_mann_whitney_edges():
    none = mann_whitney([1.0, 2.0], np.array([True, True]))
    assert math.isnan(none.p_value)
    assert math.isnan(none.auroc.value)
    equal = mann_whitney(np.ones(9), np.arange(9) < 4)
    assert (equal.p_value, equal.auroc.value) == (1, 0.5)
    equal = mann_whitney(np.ones(9000), np.arange(9000) < 4000)
    assert (equal.p_value, equal.auroc.value, equal.method) == (1, 0.5, "normal")
    with pytest.raises(InputError, match="finite"):
        mann_whitney([1.0, math.nan], np.array([True, False]))
    with pytest.raises(InputError, match=r"bool\[2\]"):
        mann_whitney([1.0, 2.0], np.array([True]))


def test_mann_whitney_counts_near_duplicates_once():
    rng = np.random.default_rng(8)
    base = rng.normal(size=14)
    inside = np.arange(14) < 6
    base[inside] += 0.9
    single = mann_whitney(base, inside)
    groups = np.repeat(np.arange(14), 8)
    naive = mann_whitney(np.repeat(base, 8), np.repeat(inside, 8))
    grouped = mann_whitney(
        np.repeat(base, 8), np.repeat(inside, 8), groups=groups, permutations=20_000
    )
    assert naive.p_value < 1e-5 < single.p_value
    assert grouped.p_value == pytest.approx(single.p_value, abs=0.006)
    assert grouped.auroc == auroc_interval(single.auroc.value, 6, 8)


@pytest.mark.parametrize(("m", "n"), [(5, 95), (10, 10), (30, 70), (60, 400)])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_auroc_interval_covers_whatever_the_shape(m, n, shift):
    rng = np.random.default_rng(m * 31 + int(10 * shift))
    worlds, covered = 400, 0
    truth = stats.norm.cdf(shift / math.sqrt(2))
    positive = np.arange(m + n) < m
    for _ in range(worlds):
        scores = rng.normal(size=m + n)
        scores[positive] += shift
        u = stats.rankdata(scores)[positive].sum() - m * (m + 1) / 2
        e = auroc_interval(u / (m * n), m, n)
        covered += e.low <= truth <= e.high
    assert covered / worlds >= 0.95 - 3.5 * math.sqrt(0.95 * 0.05 / worlds)


def test_auroc_interval_solves_its_equation_and_is_symmetric():
    e = auroc_interval(0.8, 20, 33)
    z, m = stats.norm.ppf(0.975), 53 / 2 - 1
    for a in (e.low, e.high):
        v = a * (1 - a) * (1 + m * (1 - a) / (2 - a) + m * a / (1 + a)) / (20 * 33)
        assert abs(0.8 - a) == pytest.approx(z * math.sqrt(v), rel=1e-9)
    flipped = auroc_interval(0.2, 20, 33)
    assert (flipped.low, flipped.high) == pytest.approx((1 - e.high, 1 - e.low), abs=1e-9)
    perfect = auroc_interval(1.0, 6, 6)
    assert perfect.high == 1
    assert 0.5 < perfect.low < 0.9
    with pytest.raises(InputError, match="> 0"):
        auroc_interval(0.5, 0, 3)


def test_fisher_and_mann_whitney_keep_their_level():
    rng = np.random.default_rng(9)
    worlds = 1000
    inside = np.arange(60) < 15
    right = rng.random((worlds, 60)) < 0.85
    p = fisher_p_values(right[:, inside].sum(axis=1), 15, right[:, ~inside].sum(axis=1), 45)
    assert (p <= 0.05).mean() <= 0.05
    ranks = np.array(
        [mann_whitney(np.round(rng.normal(size=60)), inside).p_value for _ in range(worlds)]
    )
    assert 0.025 < (ranks <= 0.05).mean() < 0.07
