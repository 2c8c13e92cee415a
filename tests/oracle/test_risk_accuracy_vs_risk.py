"""Windows of risk, their scores, ends and mean images against slow loops; known-bad models."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, precision_score, recall_score

from sundog.core.errors import InputError
from sundog.core.statistics import proportion_difference, wilson_interval
from sundog.data.image_set import Batch
from sundog.risk.accuracy_vs_risk import accuracy_vs_risk
from sundog.risk.extremes import extreme_images, risk_extremes
from sundog.risk.output import RiskOutput
from sundog.risk.window_images import mean_images
from sundog.risk.windows import correctness_trend

CLASSES = ["cat", "dog", "fox"]


def _world(n=307, seed=0):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    labels = rng.integers(0, 3, n)
    wrong = rng.random(n) < 1 / (1 + np.exp(1 - 2 * risk))
    guess = np.where(wrong, (labels + rng.integers(1, 3, n)) % 3, labels)
    return risk, labels, guess


def test_windows_are_equal_keep_the_remainder_and_score_like_scikit_learn():
    risk, labels, guess = _world()
    got = accuracy_vs_risk(risk, labels, guess, class_names=CLASSES, classes=["dog", "fox"])
    assert [window.n for window in got.windows] == [31] * 7 + [30] * 3
    assert sum(window.n for window in got.windows) == 307
    order = np.argsort(risk)
    for window, rows in zip(got.windows, np.array_split(order, 10), strict=True):
        assert (got.membership[rows] == window.index).all()
        assert window.risk == pytest.approx(risk[rows].mean())
        assert (window.low, window.high) == (risk[rows].min(), risk[rows].max())
        right = guess[rows] == labels[rows]
        assert window.accuracy == wilson_interval(int(right.sum()), len(rows))
        more = {"labels": [1, 2], "average": "macro", "zero_division": 0}
        y, p = labels[rows], guess[rows]
        assert window.precision.value == pytest.approx(precision_score(y, p, **more))
        assert window.recall.value == pytest.approx(recall_score(y, p, **more))
        assert window.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(y, p))
    right = guess == labels
    assert got.trend.value == pytest.approx(stats.spearmanr(right, risk).statistic)
    assert got.trend.high < 0
    first, last = got.windows[0], got.windows[-1]
    hits = [int((right & (got.membership == index)).sum()) for index in (0, 9)]
    assert got.ends == proportion_difference(hits[0], first.n, hits[1], last.n)
    assert got.overall.accuracy.n == 307
    assert got.notes == ()
    assert got.table()["n"].sum() == 307
    json.dumps(got.to_dict())


def test_one_class_is_its_own_recall_and_precision_with_wilsons_ends():
    risk, labels, guess = _world()
    got = accuracy_vs_risk(risk, labels, guess, class_names=CLASSES, classes=["dog"], windows=4)
    for window in got.windows:
        rows = got.membership == window.index
        y, p = labels[rows] == 1, guess[rows] == 1
        precision = wilson_interval(int((y & p).sum()), int(p.sum()))
        recall = wilson_interval(int((y & p).sum()), int(y.sum()))
        assert (window.precision.low, window.precision.high) == pytest.approx(
            (precision.low, precision.high)
        )
        assert (window.recall.value, window.recall.n) == pytest.approx((recall.value, recall.n))


def test_frozen_windows_hold_the_same_images_and_the_same_values():
    risk, labels, guess = _world()
    first = accuracy_vs_risk(risk, labels, guess, class_names=CLASSES)
    other = np.random.default_rng(9).normal(size=307)
    same = accuracy_vs_risk(other, labels, guess, class_names=CLASSES, frozen=first.membership)
    assert (same.membership == first.membership).all()
    assert [w.accuracy for w in same.windows] == [w.accuracy for w in first.windows]
    cut = accuracy_vs_risk(risk, labels, guess, class_names=CLASSES, frozen=first.edges)
    assert (cut.membership == first.membership).all()
    assert cut.table().equals(first.table())
    moved = accuracy_vs_risk(risk + 10, labels, guess, class_names=CLASSES, frozen=first.edges)
    assert [w.n for w in moved.windows] == [0] * 9 + [307]
    assert math.isnan(moved.windows[0].accuracy.value)
    assert math.isnan(moved.ends.value)
    with pytest.raises(InputError, match="same 307 images"):
        accuracy_vs_risk(risk, labels, guess, class_names=CLASSES, frozen=first.membership[1:])
    with pytest.raises(InputError, match="rise"):
        accuracy_vs_risk(risk, labels, guess, class_names=CLASSES, frozen=[2.0, 1.0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12))
def test_rows_may_move_when_ids_break_the_ties(seed, n, windows):
    rng = np.random.default_rng(seed)
    risk, labels, guess = rng.integers(0, 4, n).astype(float), *rng.integers(0, 3, (2, n))
    ids = [f"image-{i:03d}" for i in rng.permutation(n)]
    moved = rng.permutation(n)
    first = accuracy_vs_risk(risk, labels, guess, class_names=CLASSES, ids=ids, windows=windows)
    again = accuracy_vs_risk(
        risk[moved],
        labels[moved],
        guess[moved],
        class_names=CLASSES,
        ids=[ids[i] for i in moved],
        windows=windows,
    )
    assert (again.membership == first.membership[moved]).all()
    assert again.table().equals(first.table())
    sizes = [window.n for window in first.windows]
    assert sum(sizes) == n
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == min(n, windows)
    assert all(a.high <= b.low for a, b in zip(first.windows, first.windows[1:], strict=False))
    swap = np.array([2, 0, 1])  # other names for the classes change nothing
    other = accuracy_vs_risk(
        risk, swap[labels], swap[guess], class_names=["x", "y", "z"], ids=ids, windows=windows
    )
    assert np.allclose(other.table().to_numpy(float), first.table().to_numpy(float), equal_nan=True)


def test_missing_values_ties_and_few_images_are_told():
    risk, labels, guess = _world(n=40)
    holes = np.where(np.arange(40) < 5, np.nan, risk)
    got = accuracy_vs_risk(holes, labels, guess, class_names=CLASSES)
    assert got.left_out == 5
    assert (got.membership[:5] == -1).all()
    assert sum(window.n for window in got.windows) == 35
    far = np.where(np.arange(40) < 2, np.inf, risk)
    assert math.isfinite(accuracy_vs_risk(far, labels, guess, class_names=CLASSES).windows[-1].risk)
    flat = accuracy_vs_risk(np.zeros(40), labels, guess, class_names=CLASSES)
    assert "9 of 9 borders" in flat.notes[0]
    assert math.isnan(flat.trend.value)
    few = accuracy_vs_risk(risk[:3], labels[:3], guess[:3], class_names=CLASSES)
    assert len(few.windows) == 3
    assert "fewer images" in few.notes[0]
    one = accuracy_vs_risk(risk[:1], labels[:1], guess[:1], class_names=CLASSES)
    assert one.windows[0].n == 1


def test_an_always_positive_model_is_exposed():
    """The lab's plot scores the recall of faces alone: 1 in every window for this model."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [500, 500])
    always = np.ones(1000, dtype=np.int64)
    risk = rng.normal(size=1000)
    names = ["other", "face"]
    got = accuracy_vs_risk(risk, labels, always, class_names=names, classes=["face"])
    for window in got.windows:
        assert window.recall.value == 1
        assert window.balanced_accuracy.value == 0.5
        assert window.precision.high < 0.7
        assert window.accuracy.high < 0.7
    assert "every prediction is 'face'" in got.notes[0]
    faces = accuracy_vs_risk(risk[:500], labels[:500], always[:500], class_names=names)
    assert all(window.accuracy.value == 1 for window in faces.windows)
    assert all(math.isnan(window.precision.value) for window in faces.windows)
    assert "always answers it" in faces.notes[0]


def test_trend_covers_its_truth_and_shuffled_scores_have_none():
    rng = np.random.default_rng(1)
    big = rng.normal(size=400_000)
    lost = rng.random(400_000) < 1 / (1 + np.exp(1 - 2 * big))
    truth = stats.spearmanr(~lost, big).statistic
    hits = nulls = 0
    for seed in range(200):
        risk, labels, guess = _world(n=200, seed=seed)
        right = labels == guess
        part = correctness_trend(risk, right)
        hits += part.low <= truth <= part.high
        calm = correctness_trend(rng.permutation(risk), right)
        nulls += calm.low <= 0 <= calm.high
    assert 183 <= hits <= 198
    assert 183 <= nulls <= 198


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_trend_is_spearmans_correlation(rows):
    risk, right = np.array([r for r, _ in rows], float), np.array([c for _, c in rows])
    got = correctness_trend(risk, right)
    if right.all() or not right.any() or np.unique(risk).size == 1:
        assert math.isnan(got.value)
        return
    assert got.value == pytest.approx(stats.spearmanr(right, risk).statistic)
    assert got.low <= got.value <= got.high
    assert correctness_trend(-risk, right).value == pytest.approx(-got.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"labels": np.array([0, 1, -1])}, "unlabelled"),
        ({"predictions": np.array([0, 1, 3])}, "between 0 and 2"),
        ({"predictions": np.full((3, 3), np.nan)}, "NaN"),
        ({"predictions": np.zeros((3, 2))}, "integers or"),
        ({"classes": ["cow"]}, "cat, dog, fox"),
        ({"classes": "cat"}, "list of names"),
        ({"windows": 0}, "at least 1"),
        ({"risk": np.full(3, np.nan)}, "NaN throughout"),
        ({"ids": ["a"]}, "one per image"),
    ],
)
def test_bad_input_is_refused(more, message):
    given = {"risk": np.arange(3.0), "labels": np.arange(3), "predictions": np.arange(3)} | more
    with pytest.raises(InputError, match=message):
        accuracy_vs_risk(
            given.pop("risk"),
            given.pop("labels"),
            given.pop("predictions"),
            class_names=CLASSES,
            **given,
        )
    with pytest.raises(InputError, match="n >= 1"):
        accuracy_vs_risk([], np.empty(0, int), np.empty(0, int), class_names=CLASSES)


def test_predictions_may_be_logits():
    risk, labels, guess = _world(n=50)
    logits = np.eye(3)[guess] * 3 - 1
    a = accuracy_vs_risk(risk, labels, guess, class_names=CLASSES)
    b = accuracy_vs_risk(risk, labels, logits, class_names=CLASSES)
    assert a.table().equals(b.table())


def _batches(images, sizes, skip=()):
    start = 0
    for size in sizes:
        rows = [i for i in range(start, start + size) if i not in skip]
        start += size
        yield Batch(
            images=images[rows],
            labels=torch.zeros(len(rows), dtype=torch.int64),
            ids=tuple(str(i) for i in rows),
            indices=torch.tensor(rows),
        )


def test_mean_images_are_those_of_a_loop_whatever_the_batches():
    images = torch.rand(11, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    membership = np.array([0, 1, 2, 0, -1, 1, 2, 2, 0, 0, 1])
    got = mean_images(_batches(images, [4, 7]), membership, windows=4)
    assert got.shape == (4, 4, 5, 3)
    for window in range(3):
        want = images[membership == window].double().mean(dim=0).permute(1, 2, 0).numpy()
        assert np.abs(got[window] - want * 255).max() <= 0.5 + 1e-9
    assert (got[3] == 0).all()
    assert (mean_images(_batches(images, [1] * 11), membership, windows=4) == got).all()
    # rows of a table that lacks images 4 and 9, one of which cannot be decoded
    rows = np.array([i for i in range(11) if i not in (4, 9)])
    part = mean_images(
        _batches(images, [6, 5], skip=(9,)), membership[rows], indices=rows, windows=3
    )
    zero = images[[0, 3, 8]].double().mean(dim=0).permute(1, 2, 0).numpy()
    assert np.abs(part[0] - zero * 255).max() <= 0.5 + 1e-9
    with pytest.raises(InputError, match="at least one image"):
        mean_images(iter(()), membership)
    with pytest.raises(InputError, match="given twice"):
        mean_images(_batches(images, [11]), membership, indices=np.zeros(11, int))
    mixed = [*_batches(images, [5]), *_batches(images[:, :, :3], [5])]
    with pytest.raises(InputError, match="one size"):
        mean_images(mixed, membership)


def test_extremes_are_the_sorted_ends():
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=60), 1)
    scores[[3, 7]] = np.nan
    scores[5] = -np.inf
    labels = rng.integers(0, 3, 60)
    ids = [f"{i:02d}" for i in rng.permutation(60)]
    got = extreme_images(scores, count=6, ids=ids)
    rows = [i for i in range(60) if not np.isnan(scores[i])]
    assert got.lowest.tolist() == sorted(rows, key=lambda i: (scores[i], ids[i]))[:6]
    assert got.highest.tolist() == sorted(rows, key=lambda i: (-scores[i], ids[i]))[:6]
    assert got.lowest[0] == 5
    assert (got.n, got.left_out) == (58, 2)
    one = extreme_images(scores, count=100, labels=labels, label=1)
    assert (labels[one.lowest] == 1).all()
    assert one.lowest.size == one.n == (labels[rows] == 1).sum()
    moved = rng.permutation(60)
    again = extreme_images(scores[moved], count=6, ids=[ids[i] for i in moved])
    assert moved[again.lowest].tolist() == got.lowest.tolist()
    assert extreme_images(np.full(4, np.nan)).lowest.size == 0
    for more in ({"count": 0}, {"label": 1}, {"ids": ["a"]}, {"label": 1, "labels": [1]}):
        with pytest.raises(InputError):
            extreme_images(scores, **more)
    logits = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    output = RiskOutput(logits, logits.softmax(1), epistemic=torch.tensor(scores))
    ends = risk_extremes(output, count=6, ids=ids)
    assert list(ends) == ["epistemic"]
    assert ends["epistemic"].highest.tolist() == got.highest.tolist()
