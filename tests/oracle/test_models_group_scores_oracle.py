"""Group scores and their comparison against scikit-learn, slow loops, and each other."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, precision_score

from sundog.core.errors import InputError
from sundog.core.statistics import (
    mean_interval,
    paired_proportions,
    proportion_difference,
    wilson_interval,
)
from sundog.models.calibration import brier, ece, image_scores, nll
from sundog.models.group_comparison import compare_group_scores
from sundog.models.group_extremes import largest_gap, lowest_proportion, mean_of_proportions
from sundog.models.group_resampling import resample_pairs
from sundog.models.group_scores import group_scores
from sundog.models.seed_spread import over_seeds, seed_spread

CLASSES = ["a", "b", "c"]
GROUPS = ["g0", "g1", "g2", "g3"]


def _world(n=300, seed=0, k=3, groups=4):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.7), n)
    y = np.array([rng.choice(k, p=row) for row in p], dtype=np.int64)
    return p, y, rng.integers(-1, groups, n)


def _scores(p, y, g, **more):
    return group_scores(p, y, g, GROUPS, class_names=CLASSES, resamples=100, **more)


def test_every_group_is_scikit_learns():
    p, y, g = _world()
    got = _scores(p, y, g)
    guess = p.argmax(axis=1)
    for index, part in enumerate((*got.groups, got.overall)):
        rows = g == index if index < 4 else np.ones(len(g), dtype=bool)
        assert part.n == rows.sum()
        assert part.accuracy == wilson_interval(int((guess == y)[rows].sum()), int(rows.sum()))
        assert part.recall.value == pytest.approx(balanced_accuracy_score(y[rows], guess[rows]))
        assert part.precision.value == pytest.approx(
            precision_score(
                y[rows], guess[rows], labels=np.unique(y[rows]), average="macro", zero_division=0
            )
        )
        assert part.nll.value == pytest.approx(nll(p[rows], y[rows]))
        assert part.nll == mean_interval(image_scores(p, y).nll[rows])
        assert part.brier.value == pytest.approx(brier(p[rows], y[rows]))
        assert part.ece.value == pytest.approx(ece(p[rows], y[rows]))
    shares = [part.accuracy.value for part in got.groups]
    assert got.worst_group == GROUPS[int(np.argmin(shares))]
    assert got.best_group == GROUPS[int(np.argmax(shares))]
    assert got.worst.value == min(shares)
    assert got.gap.value == pytest.approx(max(shares) - min(shares))
    assert got.variance == pytest.approx(np.var(np.array(shares) * 100, ddof=1))
    assert got.adjusted.value == pytest.approx(np.mean(shares))
    assert got.unknown == (g == -1).sum()
    for index, part in enumerate(got.classes):
        assert part.recall.value == pytest.approx((guess == y)[y == index].mean())
        assert part.precision.value == pytest.approx((guess == y)[guess == index].mean())
    assert got.worst_recall.value == min(part.recall.value for part in got.classes)


def test_simultaneous_intervals_by_hand():
    hits, sizes = [40, 10, 28], [50, 20, 30]
    each = 0.95 ** (1 / 3)
    parts = [wilson_interval(h, n, level=each) for h, n in zip(hits, sizes, strict=True)]
    got = lowest_proportion(hits, sizes, level=0.95)
    assert (got.value, got.n) == (0.5, 20)
    assert (got.low, got.high) == (min(q.low for q in parts), min(q.high for q in parts))
    gap = largest_gap(hits, sizes, level=0.95)
    pairs = [(2, 1), (2, 0), (0, 1)]
    ends = [
        proportion_difference(hits[a], sizes[a], hits[b], sizes[b], level=1 - 0.05 / 3)
        for a, b in pairs
    ]
    assert gap.value == pytest.approx(28 / 30 - 0.5)
    assert gap.low == pytest.approx(max(q.low for q in ends))
    assert gap.high == pytest.approx(max(q.high for q in ends))
    two = largest_gap([40, 10], [50, 20], level=0.95)
    plain = proportion_difference(40, 50, 10, 20)
    assert (two.low, two.high) == pytest.approx((max(0, plain.low), plain.high))
    # one group: the plain interval; the mean of one is that one
    alone, wilson = lowest_proportion([7], [9], level=0.9), wilson_interval(7, 9, level=0.9)
    assert (alone.low, alone.high) == (wilson.low, wilson.high)
    mean = mean_of_proportions([7], [9], level=0.9)
    assert (mean.low, mean.high) == pytest.approx((wilson.low, wilson.high))
    assert mean_of_proportions([0, 3], [0, 4], level=0.95).value == pytest.approx(0.375)


def test_small_empty_unknown_and_single_label_groups_are_told():
    p, y, _ = _world(n=100)
    g = np.where(np.arange(100) < 10, 0, np.where(np.arange(100) < 90, 1, -1))
    g[np.flatnonzero((y == 2) & (g == 1))] = 3
    got = _scores(p, y, g)
    assert got.empty == ("g2",)
    assert "g0" in got.small
    assert got.unknown == 10
    assert got.groups[2].n == 0
    assert math.isnan(got.groups[2].accuracy.value)
    assert math.isnan(got.groups[3].precision.value)  # one label: precision says nothing
    assert got.groups[3].recall.value == pytest.approx(got.groups[3].accuracy.value)
    assert got.table()["n"].tolist() == [part.n for part in (*got.groups, got.overall)]
    assert json.loads(json.dumps(got.to_dict(), allow_nan=False))["empty"] == ["g2"]
    nothing = _scores(p[:0], y[:0], g[:0])
    assert nothing.worst_group == ""
    assert math.isnan(nothing.worst.value)
    one = _scores(p[:1], y[:1], np.array([1]))
    assert one.worst_group == "g1"
    assert math.isnan(one.gap.value)
    assert math.isnan(one.variance)


def test_an_always_positive_model_is_exposed():
    """Right on every positive: its recall and its accuracy on positives are 1."""
    rng = np.random.default_rng(0)
    y = np.repeat([1, 0], [500, 500])
    g = rng.integers(0, 2, 1000)
    p = np.tile([0.02, 0.98], (1000, 1))
    got = group_scores(p, y, g, ["dark", "light"], class_names=["other", "face"])
    assert got.worst_class == "other"
    assert got.worst_recall.value == 0
    assert got.balanced_accuracy.value == pytest.approx(0.5)
    assert got.overall.precision.value == pytest.approx(0.25)
    for part in got.groups:
        assert part.recall.value == pytest.approx(0.5)
        assert part.precision.value < 0.3
        assert part.ece.low > 0.4
    crossed = group_scores(p, y, 2 * y + g, ["od", "ol", "fd", "fl"], class_names=["other", "face"])
    assert crossed.worst.value == 0
    assert crossed.gap.value == 1


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_rows_and_groups_may_move(seed):
    p, y, g = _world(n=60, seed=seed)
    q = _world(n=60, seed=seed + 1)[0]
    first = compare_group_scores(p, q, y, g, GROUPS, class_names=CLASSES, resamples=100, seed=2)
    moved = np.random.default_rng(seed).permutation(60)
    names = ["g2", "g0", "g3", "g1"]
    relabel = np.array([names.index(name) for name in GROUPS] + [-1])
    again = compare_group_scores(
        p[moved],
        q[moved],
        y[moved],
        relabel[g[moved]],
        names,
        class_names=CLASSES,
        resamples=100,
        seed=2,
    )
    for score in ("average", "worst", "gap", "precision", "ece", "worst_recall", "adjusted", "nll"):
        a, b = getattr(first, score), getattr(again, score)
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), nan_ok=True)
    assert {c.name: c.p_value for c in first.groups} == {c.name: c.p_value for c in again.groups}
    for part in first.before.groups:
        twin = next(other for other in again.before.groups if other.name == part.name)
        assert twin.ece.low == pytest.approx(part.ece.low, nan_ok=True)


def test_splitting_a_group_keeps_the_rest_and_can_only_lower_the_worst():
    p, y, g = _world(n=400, seed=4)
    whole = _scores(p, y, g)
    names = [*GROUPS, "g4"]
    split = np.where((g == 1) & (np.arange(400) % 2 == 0), 4, g)
    parts = group_scores(p, y, split, names, class_names=CLASSES, resamples=100)
    assert parts.overall == whole.overall
    assert parts.groups[0] == whole.groups[0]
    a, b = parts.groups[1], parts.groups[4]
    assert a.n + b.n == whole.groups[1].n
    assert (a.n * a.brier.value + b.n * b.brier.value) / (a.n + b.n) == pytest.approx(
        whole.groups[1].brier.value
    )
    assert parts.worst.value <= whole.worst.value
    assert parts.gap.value >= whole.gap.value


def test_comparison_differences_and_paired_intervals():
    p, y, g = _world(n=300, seed=5)
    q = 0.5 * p + 0.5 * _world(n=300, seed=6)[0]
    got = compare_group_scores(p, q, y, g, GROUPS, class_names=CLASSES, resamples=200)
    old, new = image_scores(p, y), image_scores(q, y)
    pair = paired_proportions(new.correct, old.correct)
    assert got.average == pair.difference
    assert got.p_value == pair.p_value
    for index, change in enumerate(got.groups):
        want = paired_proportions(new.correct[g == index], old.correct[g == index])
        assert (change.accuracy, change.p_value) == (want.difference, want.p_value)
        assert (change.gained, change.lost) == (want.only_a, want.only_b)
    assert got.nll == mean_interval(new.nll - old.nll)
    assert got.changed == (old.prediction != new.prediction).sum()
    for name, part in (
        ("worst", "worst"),
        ("gap", "gap"),
        ("adjusted", "adjusted"),
        ("balanced_accuracy", "balanced_accuracy"),
        ("worst_recall", "worst_recall"),
    ):
        value = getattr(got.after, part).value - getattr(got.before, part).value
        assert getattr(got, name).value == pytest.approx(value), name
    assert got.ece.value == pytest.approx(
        got.after.overall.ece.value - got.before.overall.ece.value
    )
    assert got.table()["score"].tolist()[-1] == "group g3"
    json.dumps(got.to_dict(), allow_nan=False)


def test_the_same_model_has_not_changed():
    p, y, g = _world(n=120, seed=7)
    got = compare_group_scores(p, p, y, g, GROUPS, class_names=CLASSES, resamples=100)
    for name in ("worst", "gap", "precision", "ece", "worst_recall", "nll", "brier"):
        part = getattr(got, name)
        assert (part.value, part.low, part.high) == (0, 0, 0), name
    assert got.changed == 0
    assert got.p_value == 1


def test_resampled_scores_are_those_of_a_loop():
    """Draws are compared with a slow recomputation through their distribution."""
    p, y, g = _world(n=80, seed=8)
    q = _world(n=80, seed=9)[0]
    old, new = image_scores(p, y), image_scores(q, y)
    drawn = resample_pairs(
        old, new, y, g, group_names=GROUPS, class_count=3, resamples=3000, seed=0
    )
    rng = np.random.default_rng(1)
    strata = [np.flatnonzero(g == index) for index in range(-1, 4)]
    slow = {"precision": [], "ece": [], "accuracy": [], "recall": []}
    for _ in range(600):
        rows = np.concatenate([rng.choice(part, part.size) for part in strata])
        slow["precision"].append(
            precision_score(
                y[rows], new.prediction[rows], labels=[0, 1, 2], average="macro", zero_division=0
            )
        )
        slow["ece"].append(ece(q[rows], y[rows]))
        slow["accuracy"].append(new.correct[rows][g[rows] == 2].mean())
        slow["recall"].append(new.correct[rows][y[rows] == 1].mean())
    fast = {
        "precision": drawn.precision[1],
        "ece": np.abs(drawn.gaps[1]).sum(axis=1),
        "accuracy": drawn.accuracy[1, :, 2],
        "recall": drawn.recall[1, :, 1],
    }
    for name, values in slow.items():
        assert stats.ks_2samp(values, fast[name]).pvalue > 1e-3, name
    for index in range(4):
        binomial = old.correct[g == index].mean()
        n = (g == index).sum()
        spread = math.sqrt(binomial * (1 - binomial) / n)
        assert drawn.accuracy[0, :, index].mean() == pytest.approx(binomial, abs=spread / 10)
        assert drawn.accuracy[0, :, index].std() == pytest.approx(spread, rel=0.1)
    both = np.corrcoef(drawn.accuracy[0, :, 0], drawn.accuracy[1, :, 0])[0, 1]
    rows = g == 0
    assert both == pytest.approx(np.corrcoef(old.correct[rows], new.correct[rows])[0, 1], abs=0.08)


def test_seeds():
    values = [0.7, 0.75, 0.71]
    got = over_seeds(values)
    want = mean_interval(values)
    assert (got.value, got.low, got.high, got.n) == (want.value, want.low, want.high, 3)
    runs = [wilson_interval(round(100 * v), 100) for v in values]
    both = seed_spread(runs)
    assert both.seeds_sd == pytest.approx(np.std(values, ddof=1))
    assert (both.lowest, both.highest) == (0.7, 0.75)
    half = [(run.high - run.low) / 2 for run in runs]
    assert both.images_half_width == pytest.approx(np.sqrt(np.mean(np.square(half))))
    assert math.isnan(seed_spread(runs[:1]).seeds_sd)
    assert math.isnan(over_seeds([0.5]).low)
    with pytest.raises(InputError, match="at least one"):
        seed_spread([])
    with pytest.raises(InputError, match="finite"):
        over_seeds([0.5, math.nan])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"groups": np.zeros(5, dtype=int)}, "one per image"),
        ({"groups": np.full(6, 4)}, "between -1"),
        ({"groups": np.full(6, -2)}, "between -1"),
        ({"groups": np.zeros(6)}, "integers"),
        ({"group_names": ["x", "x", "y", "z"]}, "different"),
        ({"class_names": ["a", "b"]}, "one per column"),
        ({"level": 1.0}, "level"),
    ],
)
def test_bad_groups_are_refused(more, message):
    p, y, _ = _world(n=6)
    given = {"groups": np.zeros(6, dtype=int), "group_names": GROUPS, "class_names": CLASSES} | more
    with pytest.raises(InputError, match=message):
        group_scores(p, y, given.pop("groups"), given.pop("group_names"), **given)


def test_comparison_refuses_other_images_and_too_few_resamples():
    p, y, g = _world(n=6)
    with pytest.raises(InputError, match="same images"):
        compare_group_scores(p, p[:5], y, g, GROUPS, class_names=CLASSES)
    with pytest.raises(InputError, match="at least 100"):
        compare_group_scores(p, p, y, g, GROUPS, class_names=CLASSES, resamples=10)
