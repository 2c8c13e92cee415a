"""Shapley's axioms on arbitrary gaps."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sundog.bias.shapley import shapley_split
from sundog.core.errors import InputError


def subsets(tags):
    return [frozenset(s) for k in range(1, len(tags) + 1) for s in combinations(tags, k)]


@st.composite
def games(draw):
    tags = tuple(draw(st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True)))
    gap = st.floats(-1, 1)
    return tags, {s: draw(gap) for s in subsets(tags)}


@given(games())
def test_shares_sum_to_the_gap(game):
    tags, gaps = game
    shares = shapley_split(gaps, tags)
    assert set(shares) == set(tags)
    assert sum(shares.values()) == pytest.approx(gaps[frozenset(tags)], abs=1e-9)


@given(games())
def test_a_tag_that_adds_nothing_gets_nothing_and_equal_tags_get_equal_shares(game):
    tags, gaps = game
    idle, first, second = 100, 101, 102
    wide = {}
    for s in subsets((*tags, idle, first, second)):
        core = s & set(tags)
        extra = 0.3 * len(s & {first, second}) ** 2
        wide[s] = (gaps[core] if core else 0.0) + extra
    shares = shapley_split(wide, (*tags, idle, first, second))
    assert shares[idle] == pytest.approx(0, abs=1e-9)
    assert shares[first] == pytest.approx(shares[second], abs=1e-9)
    assert shares[first] == pytest.approx(0.6, abs=1e-9)
    for tag, share in shapley_split(gaps, tags).items():
        assert shares[tag] == pytest.approx(share, abs=1e-9)


def test_pair_by_hand():
    gaps = {frozenset({1}): -0.1, frozenset({2}): 0.0, frozenset({1, 2}): -0.4}
    assert shapley_split(gaps, (1, 2)) == pytest.approx({1: -0.25, 2: -0.15})


@pytest.mark.parametrize("tags", [(), (1, 1), tuple(range(13))])
def test_impossible_slices_are_refused(tags):
    with pytest.raises(InputError, match="1 to 12 distinct"):
        shapley_split({}, tags)


def test_a_missing_subset_is_refused():
    with pytest.raises(InputError, match="every subset"):
        shapley_split({frozenset({1, 2}): 0.1, frozenset({1}): 0.1}, (1, 2))
