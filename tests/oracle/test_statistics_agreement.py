"""Fleiss' kappa against textbook tables, scikit-learn and a slow re-implementation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from sundog.core.errors import InputError
from sundog.core.statistics import fleiss_kappa

TEN_BY_FIVE = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
FLEISS_1971 = [  # 30 patients, six psychiatrists each, five diagnoses
    [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0],
    [2, 0, 4, 0, 0], [0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6],
    [1, 0, 0, 5, 0], [1, 1, 0, 4, 0], [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1],
    [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0], [0, 2, 0, 4, 0], [1, 0, 2, 0, 3],
    [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0], [1, 0, 0, 4, 1],
    [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
]  # fmt: skip


def test_textbook_tables():
    wikipedia = fleiss_kappa(TEN_BY_FIVE)
    assert round(wikipedia.kappa.value, 3) == 0.210
    assert round(wikipedia.raw.value, 3) == 0.378
    fleiss = fleiss_kappa(FLEISS_1971)
    assert round(fleiss.kappa.value, 3) == 0.430
    assert round(fleiss.raw.value, 4) == 0.5556
    assert (fleiss.items, fleiss.single, fleiss.reason) == (30, 0, "")
    assert 0.3 < fleiss.kappa.low < 0.43 < fleiss.kappa.high < 0.56


def test_two_reviewers_with_equal_margins_have_cohens_kappa():
    first = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1, 2])
    second = np.array([0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 1, 2])
    counts = np.eye(3, dtype=int)[first] + np.eye(3, dtype=int)[second]
    assert fleiss_kappa(counts).kappa.value == pytest.approx(cohen_kappa_score(first, second))


def _slow(rows):
    verdicts = [[j for j, c in enumerate(row) for _ in range(c)] for row in rows]
    verdicts = [v for v in verdicts if len(v) >= 2]
    each = [np.mean([a == b for a, b in itertools.combinations(item, 2)]) for item in verdicts]
    everything = [j for item in verdicts for j in item]
    chance = sum((everything.count(j) / len(everything)) ** 2 for j in set(everything))
    return np.mean(each), (np.mean(each) - chance) / (1 - chance) if chance < 1 else None


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=8))
def test_any_table_is_the_slow_one_and_never_nan(rows):
    got = fleiss_kappa(rows)
    if all(sum(row) < 2 for row in rows):
        assert got.kappa is None
        assert got.raw is None
        assert "two reviewers" in got.reason
        return
    raw, kappa = _slow(rows)
    assert got.raw.value == pytest.approx(raw)
    assert got.single == sum(sum(row) == 1 for row in rows)
    if kappa is None:
        assert got.kappa is None
        assert got.raw.value == 1
        assert got.reason == "every verdict is the same"
    else:
        assert got.kappa.value == pytest.approx(kappa)
        assert not math.isnan(got.kappa.value)
        assert got.kappa.low <= got.kappa.value <= got.kappa.high or math.isnan(got.kappa.low)
        if sum(sum(row) >= 2 for row in rows) > 1:
            without = [
                [r for r in rows if sum(r) >= 2][:i] + [r for r in rows if sum(r) >= 2][i + 1 :]
                for i in range(got.items)
            ]
            values = np.array([1.0 if (k := _slow(w)[1]) is None else k for w in without])
            error = math.sqrt((got.items - 1) / got.items * ((values - values.mean()) ** 2).sum())
            if got.kappa.low > -1:
                from scipy import stats

                half = stats.t.ppf(0.975, got.items - 1) * error
                assert got.kappa.low == pytest.approx(kappa - half, abs=1e-9)


def test_interval_covers_the_true_kappa():
    rng = np.random.default_rng(0)
    worlds, covered = 300, 0
    # Every reviewer keeps the item's true verdict with probability q, else draws anew: kappa = q².
    q, shares = 0.7, [0.5, 0.3, 0.2]
    for _ in range(worlds):
        truth = rng.choice(3, size=60, p=shares)
        counts = np.zeros((60, 3), dtype=int)
        for item in range(60):
            for _ in range(rng.integers(2, 5)):
                keeps = rng.random() < q
                counts[item, truth[item] if keeps else rng.choice(3, p=shares)] += 1
        e = fleiss_kappa(counts).kappa
        covered += e.low <= q * q <= e.high
    assert 0.91 <= covered / worlds <= 0.985


def test_edges():
    assert fleiss_kappa(np.zeros((0, 3))).reason == "no item has verdicts of two reviewers"
    assert fleiss_kappa([[1, 0], [0, 1]]).to_dict()["single"] == 2
    one = fleiss_kappa([[2, 1]])
    assert one.to_dict()["kappa"]["low"] is None
    perfect = fleiss_kappa([[3, 0], [0, 3], [3, 0]])
    assert (perfect.kappa.value, perfect.kappa.high) == (1, 1)
    for wrong in ([[1.5, 1]], [[-1, 3]], [[math.nan, 1]]):
        with pytest.raises(InputError, match="whole numbers"):
            fleiss_kappa(wrong)
    with pytest.raises(InputError, match="categories"):
        fleiss_kappa([1, 2])
