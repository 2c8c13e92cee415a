"""Step-down min-p against a slow re-implementation with the same permutations, in float64."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sundog.bias.search import Problem, count_slices, westfall_young
from sundog.bias.search.permutations import drawn_orders, make_blocks


def _orders(problem, *, number, permutations, seed):
    groups = problem.groups
    if groups is None:
        groups = np.arange(len(problem.outcome))
    drawn = [
        order
        for batch in range(-(-permutations // 64))
        for order in drawn_orders(make_blocks(groups), seed=seed, problem=number, batch=batch)
    ]
    return np.concatenate(drawn)[:permutations]


def _fisher(inside, outcome):
    """Two-sided p by scipy's hypergeometric weights."""
    images, correct, support = outcome.size, int(outcome.sum()), int(inside.sum())
    weights = stats.hypergeom(images, correct, support).pmf(np.arange(support + 1))
    own = weights[int((inside & outcome).sum())]
    return min(float(weights[weights <= own * (1 + 1e-7)].sum()), 1.0)


def _strength(inside, outcome):
    """The squared normal score of the test of one slice."""
    if not 0 < inside.sum() < inside.size:
        return 0.0
    if outcome.dtype == bool:
        p = _fisher(inside, outcome)
        return 0.0 if p > 1 - 1e-9 else stats.norm.isf(max(p, 1e-40) / 2) ** 2
    t = stats.ttest_ind(outcome[inside], outcome[~inside]).statistic  # pooled variance
    return t**2 * (outcome.size - 1) / (outcome.size - 2 + t**2)


def _slow(problems, *, permutations, seed):
    """Algorithm 2.8: one permutation after the other, successive maxima, then monotone."""
    observed, permuted = [], []
    for number, problem in enumerate(problems):
        orders = _orders(problem, number=number, permutations=permutations, seed=seed)
        for combo in problem.combos:
            inside = problem.tags[:, combo[combo >= 0]].all(axis=1)
            observed.append(_strength(inside, problem.outcome))
            permuted.append([_strength(inside, problem.outcome[order]) for order in orders])
    observed, permuted = np.array(observed), np.array(permuted)
    order = np.argsort(-observed, kind="stable")  # strongest first
    adjusted = np.empty(observed.size)
    previous = 0.0
    for place, item in enumerate(order):
        hits = 0
        for one in range(permutations):
            strongest = max(permuted[j, one] for j in order[place:])
            hits += strongest >= observed[item] * (1 - 1e-9)
        previous = max(previous, (1 + hits) / (1 + permutations))
        adjusted[item] = previous
    return np.split(adjusted, np.cumsum([len(p.combos) for p in problems])[:-1])


def _problem(n, tags, seed, *, real=False, groups=None, max_tags=2, drop=0.0):
    rng = np.random.default_rng(seed)
    carried = rng.random((n, tags)) < rng.uniform(0.1, 0.8, tags)
    outcome = rng.random(n) < 0.75 - drop * carried[:, 0]
    if real:
        outcome = np.clip(rng.beta(4, 2, n) - drop * carried[:, 0], 0, 1)
    combos = count_slices(carried, rng.random(n) < 0.5, max_tags=max_tags, min_support=3).combos
    return Problem(carried, outcome, combos, groups)


@pytest.mark.parametrize(
    "problems",
    [
        [_problem(40, 4, 1)],
        [_problem(64, 4, 2, drop=0.5), _problem(65, 3, 3), _problem(30, 3, 4, max_tags=3)],
        [_problem(50, 4, 5, real=True, drop=0.2)],
        [_problem(45, 3, 6, real=True), _problem(45, 3, 7, drop=0.4)],  # one common scale
        [_problem(60, 4, 8, groups=np.arange(60) // 3, drop=0.3)],
        [_problem(61, 3, 9, real=True, groups=np.sqrt(np.arange(61)).astype(int))],
    ],
    ids=["one", "three", "real", "mixed", "groups", "unequal groups"],
)
def test_adjusted_p_values_are_exactly_those_of_the_slow_algorithm(problems):
    found = westfall_young(problems, permutations=70, seed=11, threads=2)
    expected = _slow(problems, permutations=70, seed=11)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_more_images_than_a_byte_counts_and_slices_larger_than_half():
    rng = np.random.default_rng(0)
    tags = rng.random((1500, 3)) < [0.3, 0.55, 0.9]
    outcome = rng.random(1500) < 0.6 + 0.08 * tags[:, 1]
    for values in (outcome, outcome + rng.random(1500)):
        problem = Problem(tags, values, count_slices(tags, outcome, max_tags=2).combos)
        found = westfall_young([problem], permutations=64, seed=3)[0]
        np.testing.assert_array_equal(found, _slow([problem], permutations=64, seed=3)[0])


def test_fewer_permutations_are_the_first_of_more():
    """P-values of 100 and of 200 permutations count the same first hundred."""
    problem = _problem(80, 5, 3)
    few = westfall_young([problem], permutations=100, seed=1)[0] * 101 - 1
    more = westfall_young([problem], permutations=200, seed=1)[0] * 201 - 1
    assert ((more >= few - 1e-9) & (more <= few + 100 + 1e-9)).all()


def test_orders_are_uniform_over_all_permutations():
    blocks = make_blocks(np.arange(4))
    seen = [
        tuple(row)
        for batch in range(150)
        for orders in drawn_orders(blocks, seed=0, problem=0, batch=batch)
        for row in orders
    ]
    counts = [seen.count(p) for p in itertools.permutations(range(4))]
    assert sum(counts) == 9600
    assert stats.chisquare(counts).pvalue > 1e-3


def test_blocks_of_equal_size_change_places_and_keep_their_inner_order():
    groups = np.array([5, 1, 5, 2, 1, 9, 7, 7, 7, 2, 8])  # three pairs, two singles, one triple
    blocks = make_blocks(groups)
    places = {g: np.flatnonzero(groups == g) for g in np.unique(groups)}
    seen = set()
    for orders in drawn_orders(blocks, seed=4, problem=1, batch=0):
        for order in orders:
            assert sorted(order) == list(range(11))
            sources = {g: groups[order[where]] for g, where in places.items()}
            for g, where in places.items():
                assert len(set(sources[g])) == 1
                np.testing.assert_array_equal(order[where], places[sources[g][0]])
            seen.add(tuple(int(sources[g][0]) for g in (1, 2, 5)))
            assert sources[7][0] == 7
    assert seen == set(itertools.permutations((1, 2, 5)))
