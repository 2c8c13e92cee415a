"""What must hold for every input of the search."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.bias.search import Problem, count_slices, slice_p_values, sum_slices, westfall_young


@st.composite
def worlds(draw):
    n = draw(st.integers(1, 150))
    count = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    right = draw(st.sampled_from([0.0, 0.05, 0.5, 0.9, 1.0]))
    return rng.random((n, count)) < share, rng.random(n) < right


@given(worlds(), st.integers(1, 4), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_counts_are_consistent(world, max_tags, least):
    tags, correct = world
    found = count_slices(tags, correct, max_tags=max_tags, min_support=least, threads=1)
    inverse = count_slices(tags, ~correct, max_tags=max_tags, min_support=least, threads=2)
    np.testing.assert_array_equal(found.combos, inverse.combos)
    np.testing.assert_array_equal(found.hits + inverse.hits, found.support)
    np.testing.assert_allclose(slice_p_values(found), slice_p_values(inverse), rtol=1e-12)
    sums = sum_slices(tags, correct.astype(float), max_tags=max_tags, min_support=least)
    np.testing.assert_array_equal(sums.support, found.support)
    np.testing.assert_allclose(sums.means * sums.support, found.hits, atol=1e-9)
    sizes = (found.combos >= 0).sum(axis=1)
    assert (np.diff(sizes) >= 0).all()
    rows = [tuple(row) for row in found.combos[sizes == 1].tolist()]
    assert rows == sorted(set(rows))
    assert ((found.hits >= 0) & (found.support >= least)).all()


@given(worlds(), st.integers(0, 5), st.booleans())
@settings(max_examples=40, deadline=None)
def test_adjusted_p_values_ignore_threads_and_order_and_grow_with_the_raw_ones(world, seed, real):
    tags, correct = world
    counts = count_slices(tags, correct, min_support=1, max_tags=2)
    noise = np.random.default_rng(seed).random(len(tags))
    outcome = correct + noise if real else correct
    options = {"permutations": 65, "seed": seed}
    one = westfall_young([Problem(tags, outcome, counts.combos)], threads=1, **options)[0]
    three = westfall_young([Problem(tags, outcome, counts.combos)], threads=3, **options)[0]
    np.testing.assert_array_equal(one, three)
    turned = westfall_young([Problem(tags, outcome, counts.combos[::-1])], **options)[0]
    np.testing.assert_array_equal(one, turned[::-1])
    assert ((one >= 1 / 66) & (one <= 1)).all()
    if not real and one.size:
        raw = slice_p_values(counts)
        order = np.argsort(raw, kind="stable")
        assert (np.diff(one[order]) >= 0).all()


@given(worlds(), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_more_hypotheses_never_make_a_p_value_smaller(world, seed):
    tags, correct = world
    combos = count_slices(tags, correct, min_support=1, max_tags=2).combos
    few = westfall_young([Problem(tags, correct, combos[::2])], permutations=64, seed=seed)[0]
    all_ = westfall_young([Problem(tags, correct, combos)], permutations=64, seed=seed)[0]
    assert (all_[::2] >= few).all()
