"""A world without bias gives no finding, a planted pair of tags is found: small versions."""

import numpy as np
import pytest
from scipy import stats

from sundog.bias.search import Problem, count_slices, slice_p_values, westfall_young

RUNS = 60


def _tags(rng, n=250, count=14):
    return rng.random((n, count)) < np.exp(rng.uniform(np.log(0.05), np.log(0.4), count))


def _problem(rng, outcome_of, *, groups=None):
    tags = _tags(rng)
    outcome = outcome_of(rng, tags)
    combos = count_slices(tags, np.ones(len(tags), bool), max_support=240, threads=1).combos
    return Problem(tags, outcome, combos, groups)


@pytest.mark.parametrize(
    ("kind", "outcome_of"),
    [
        ("hits", lambda rng, tags: rng.random(len(tags)) < 0.8),
        ("confidence", lambda rng, tags: rng.beta(4, 1, len(tags))),
    ],
)
def test_random_tags_give_a_finding_in_at_most_five_percent_of_runs(kind, outcome_of):
    """Two classes per run; at most as many findings as a binomial with 5 % has in 99.9 %."""
    false, naive = 0, 0
    for run in range(RUNS):
        rng = np.random.default_rng([run, 7])
        problems = [_problem(rng, outcome_of), _problem(rng, outcome_of)]
        adjusted = westfall_young(problems, permutations=200, seed=run, threads=1)
        false += min(p.min() for p in adjusted) <= 0.05
        if kind == "hits":
            counts = count_slices(problems[0].tags, problems[0].outcome, max_support=240)
            naive += slice_p_values(counts).min() <= 0.05
    assert false <= stats.binom.ppf(0.999, RUNS, 0.05)
    assert kind != "hits" or naive > 0.5 * RUNS  # what no correction would have reported


def test_near_duplicates_deceive_single_images_but_not_blocks():
    """Four copies of each image carry one outcome: without groups nearly every run 'finds' bias."""
    alone = blocks = 0
    for run in range(30):
        rng = np.random.default_rng([run, 3])
        tags = np.repeat(_tags(rng, n=60, count=8), 4, axis=0)
        outcome = np.repeat(rng.random(60) < 0.7, 4)
        groups = np.repeat(np.arange(60), 4)
        combos = count_slices(tags, outcome, max_support=230, threads=1).combos
        options = {"permutations": 200, "seed": run, "threads": 1}
        plain = westfall_young([Problem(tags, outcome, combos)], **options)[0]
        moved = westfall_young([Problem(tags, outcome, combos, groups)], **options)[0]
        alone += plain.min() <= 0.05
        blocks += moved.min() <= 0.05
    assert alone >= 20
    assert blocks <= stats.binom.ppf(0.999, 30, 0.05)


@pytest.mark.parametrize("kind", ["hits", "confidence"])
def test_a_planted_pair_is_the_strongest_finding(kind):
    found = strangers = 0
    for run in range(10):
        rng = np.random.default_rng([run, 1])
        tags = rng.random((1000, 20)) < 0.3
        both = tags[:, 4] & tags[:, 11]
        if kind == "hits":
            outcome = rng.random(1000) < np.where(both, 0.45, 0.85)
        else:
            outcome = rng.beta(np.where(both, 2.5, 5.0), 2.0)
        counts = count_slices(tags, both, max_tags=2)
        adjusted = westfall_young([Problem(tags, outcome, counts.combos)], seed=run)[0]
        best = set(counts.combos[adjusted == adjusted.min()].ravel().tolist()) - {-1}
        pair = (counts.combos == [4, 11]).all(axis=1)
        found += bool(adjusted[pair][0] <= 0.05 and adjusted[pair][0] == adjusted.min())
        false = adjusted <= 0.05
        touching = np.isin(counts.combos, [4, 11]).any(axis=1)
        strangers += bool((false & ~touching).any())
        assert {4, 11} <= best
    assert found == 10
    assert strangers <= stats.binom.ppf(0.999, 10, 0.05)


def test_a_pair_is_found_in_confidence_as_skewed_as_that_of_a_network():
    """Nearly all images near 1: a statistic that trusts the variance of small slices finds 0."""
    found = 0
    for run in range(20):
        rng = np.random.default_rng([run, 5])
        tags = rng.random((1000, 30)) < np.exp(rng.uniform(np.log(0.04), np.log(0.3), 30))
        tags[:, :2] = rng.random((1000, 2)) < 0.3
        both = tags[:, 0] & tags[:, 1]
        logit = np.where(both, 1.5, 4.0) + 3 * rng.standard_normal(1000)
        combos = count_slices(tags, both, max_tags=2, max_support=990).combos
        problem = Problem(tags, 1 / (1 + np.exp(-logit)), combos)
        adjusted = westfall_young([problem], permutations=200, seed=run)[0]
        found += adjusted[(combos == [0, 1]).all(axis=1)][0] <= 0.05
    assert found >= 15
