"""Counts, sums and exact tests against brute force, exact fractions, scipy and R's rule of ties."""

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy import stats

from sundog.bias.search import (
    SliceCounts,
    count_slices,
    slice_p_values,
    sum_slices,
    welch_p_values,
)


def _world(n, tags, seed, low=0.05, high=0.7):
    rng = np.random.default_rng(seed)
    return rng.random((n, tags)) < rng.uniform(low, high, tags), rng.random(n) < 0.7


def _brute(tags, correct, max_tags, least, most):
    rows = []
    for size in range(1, max_tags + 1):
        for combo in itertools.combinations(range(tags.shape[1]), size):
            inside = tags[:, combo].all(axis=1)
            if least <= inside.sum() <= most:
                filled = combo + (-1,) * (max_tags - size)
                rows.append((*filled, inside.sum(), (inside & correct).sum()))
    return np.array(rows, dtype=np.int64).reshape(-1, max_tags + 2)


@pytest.mark.parametrize(
    ("n", "count", "max_tags", "least", "most"),
    [
        (1, 3, 2, 1, None),
        (63, 6, 3, 1, None),
        (64, 6, 4, 2, None),
        (65, 7, 3, 5, 40),
        (129, 9, 3, 10, None),
        (300, 8, 8, 1, 299),
        (300, 12, 4, 12, 30),
        (1000, 14, 3, 10, 990),
    ],
)
@pytest.mark.parametrize("packing", [0, 1 << 19])  # always, or not, among the first tag's images
def test_every_combination_and_its_counts_are_those_of_brute_force(
    n, count, max_tags, least, most, packing, monkeypatch
):
    monkeypatch.setattr("sundog.bias.search.lattice._PACKING", packing)
    tags, correct = _world(n, count, seed=n + count)
    tags[:, 0] = True
    found = count_slices(
        tags, correct, max_tags=max_tags, min_support=least, max_support=most, threads=2
    )
    expected = _brute(tags, correct, max_tags, least, n if most is None else most)
    np.testing.assert_array_equal(found.combos, expected[:, :max_tags])
    np.testing.assert_array_equal(found.support, expected[:, -2])
    np.testing.assert_array_equal(found.hits, expected[:, -1])
    assert (found.images, found.correct) == (n, correct.sum())
    assert found.combos.dtype == np.int32
    assert found.support.dtype == found.hits.dtype == np.int64


def test_many_tasks_in_many_threads_give_the_counts_of_one_thread_and_of_a_matrix_product():
    tags, correct = _world(400, 90, seed=5, low=0.1, high=0.5)
    runs = [count_slices(tags, correct, min_support=5, threads=k) for k in (1, 2, 7)]
    assert runs[0].support.size > 60_000  # more than one task
    for run in runs[1:]:
        for name in ("combos", "support", "hits"):
            np.testing.assert_array_equal(getattr(run, name), getattr(runs[0], name))
    pairs = [np.flatnonzero(tags[:, a] & tags[:, b]) for a in range(90) for b in range(a)]
    assert (runs[0].combos[:, 2] < 0).sum() - 90 == sum(x.size >= 5 for x in pairs)
    three = runs[0].combos[runs[0].combos[:, 2] >= 0]
    inside = tags[:, three[:, 0]] & tags[:, three[:, 1]] & tags[:, three[:, 2]]
    last = runs[0].support.size - three.shape[0]
    np.testing.assert_array_equal(inside.sum(axis=0), runs[0].support[last:])
    np.testing.assert_array_equal((inside & correct[:, None]).sum(axis=0), runs[0].hits[last:])


def test_memory_order_of_the_tags_does_not_matter():
    tags, correct = _world(200, 10, seed=3)
    plain = count_slices(tags, correct)
    turned = count_slices(np.asfortranarray(tags), correct)
    part = count_slices(np.repeat(tags, 2, axis=1)[:, ::2], correct)
    for other in (turned, part):
        np.testing.assert_array_equal(plain.combos, other.combos)
        np.testing.assert_array_equal(plain.hits, other.hits)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("packing", [0, 1 << 19])
def test_sums_are_those_of_brute_force(dtype, packing, monkeypatch):
    monkeypatch.setattr("sundog.bias.search.lattice._PACKING", packing)
    tags, _ = _world(333, 9, seed=8)
    values = np.random.default_rng(1).beta(5, 2, 333).astype(dtype)
    found = sum_slices(tags, values, max_tags=3, min_support=4, max_support=320, threads=2)
    counts = count_slices(tags, values > 0.5, max_tags=3, min_support=4, max_support=320)
    np.testing.assert_array_equal(found.combos, counts.combos)
    np.testing.assert_array_equal(found.support, counts.support)
    for row, combo in enumerate(found.combos):
        inside = values[tags[:, combo[combo >= 0]].all(axis=1)].astype(np.float64)
        assert found.means[row] == pytest.approx(inside.mean(), rel=1e-12)
        centred = inside - values.astype(np.float64).mean()
        assert found.sums[row] == pytest.approx(centred.sum(), abs=1e-11)
        assert found.squares[row] == pytest.approx((centred**2).sum(), rel=1e-11)


def test_welch_p_values_are_those_of_scipy():
    tags, _ = _world(250, 8, seed=2)
    values = 0.999 + 1e-4 * np.random.default_rng(1).standard_normal(250)  # digits are lost here
    found = sum_slices(tags, values, min_support=2, max_support=248)
    p_values = welch_p_values(found)
    for row, combo in enumerate(found.combos):
        inside = tags[:, combo[combo >= 0]].all(axis=1)
        expected = stats.ttest_ind(values[inside], values[~inside], equal_var=False).pvalue
        assert p_values[row] == pytest.approx(expected, rel=1e-7)


def test_welch_has_no_p_value_where_nothing_varies_or_a_side_is_too_small():
    tags = np.zeros((20, 4), dtype=bool)
    tags[0, 0] = tags[:, 1] = tags[:10, 2] = tags[:19, 3] = True
    flat = sum_slices(tags, np.full(20, 0.1), max_tags=1, min_support=1)
    assert np.isnan(welch_p_values(flat)).all()
    varied = sum_slices(tags, np.linspace(0, 1, 20), max_tags=1, min_support=1)
    np.testing.assert_array_equal(np.isnan(welch_p_values(varied)), [True, True, False, True])


def _counts(images, correct, support, hits):
    return SliceCounts(
        combos=np.zeros((len(support), 1), np.int32),
        support=np.asarray(support, np.int64),
        hits=np.asarray(hits, np.int64),
        images=images,
        correct=correct,
    )


def _all_tables(images, correct):
    """Every slice size with every number of hits it can have."""
    rows = [
        (s, h)
        for s in range(1, images + 1)
        for h in range(max(0, s + correct - images), min(s, correct) + 1)
    ]
    return np.array(rows).T


@pytest.mark.parametrize(
    ("images", "correct"), [(1, 0), (1, 1), (7, 3), (12, 6), (20, 10), (30, 27), (41, 20), (36, 18)]
)
def test_fisher_is_that_of_exact_fractions_for_every_table(images, correct):
    support, hits = _all_tables(images, correct)
    p_values = slice_p_values(_counts(images, correct, support, hits))
    for s in range(1, images + 1):
        ways = {
            h: comb(correct, h) * comb(images - correct, s - h)
            for h in range(max(0, s + correct - images), min(s, correct) + 1)
        }
        for h, own in ways.items():
            total = sum(w for w in ways.values() if w <= own * (1 + 1e-7))
            expected = float(Fraction(total, comb(images, s)))
            found = p_values[(support == s) & (hits == h)]
            assert found == pytest.approx(expected, rel=1e-12)
            assert (found == 1.0) == (total == comb(images, s))


def test_fisher_is_that_of_scipy_on_random_and_extreme_tables():
    rng = np.random.default_rng(0)
    cases = [(n, int(rng.integers(0, n + 1))) for n in (50, 313, 2000, 20_000)]
    cases += [(5000, 1), (5000, 4999), (5000, 0), (5000, 5000), (20_000, 16_000)]
    for images, correct in cases:
        support = rng.integers(1, images + 1, 60)
        low, high = np.maximum(0, support + correct - images), np.minimum(support, correct)
        hits = np.concatenate([rng.integers(low, high + 1)[:40], low[40:50], high[50:]])
        p_values = slice_p_values(_counts(images, correct, support, hits))
        for s, h, p in zip(support, hits, p_values, strict=True):
            table = [[h, s - h], [correct - h, images - correct - s + h]]
            expected = stats.fisher_exact(table).pvalue
            assert p == pytest.approx(max(expected, 1e-290), rel=1e-6), (images, correct, s, h)


def test_fisher_of_a_million_images_is_that_of_scipy():
    support = np.array([10, 1000, 500_000, 500_000, 999_990])
    hits = np.array([3, 700, 400_500, 399_000, 799_990])
    p_values = slice_p_values(_counts(1_000_000, 800_000, support, hits))
    for s, h, p in zip(support, hits, p_values, strict=True):
        table = [[h, s - h], [800_000 - h, 200_000 - s + h]]
        assert p == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-6)


def test_p_values_do_not_depend_on_how_many_tables_are_held_at_once(monkeypatch):
    tags, correct = _world(500, 12, seed=4)
    counts = count_slices(tags, correct)
    whole = slice_p_values(counts)
    monkeypatch.setattr("sundog.bias.search.tests._ENTRIES", 300)
    np.testing.assert_array_equal(slice_p_values(counts), whole)
