"""Calibration against slow loops, scikit-learn and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from sundog.core.errors import InputError
from sundog.core.statistics import wilson_interval
from sundog.models.calibration import (
    adaptive_ece,
    brier,
    calibration_table,
    ece,
    image_scores,
    nll,
)
from sundog.models.calibration_interval import calibration_interval

EYE = np.eye(4)


def _world(n=400, k=4, seed=0, sharp=1.0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, sharp), n)
    y = np.array([rng.choice(k, p=row) for row in p], dtype=np.int64)
    return p, y


def _slow_ece(p, y, bins):
    n, total = len(y), 0.0
    edges = np.linspace(0, 1, bins + 1)
    for b in range(bins):
        inside = [
            i
            for i in range(n)
            if (edges[b] < max(p[i]) <= edges[b + 1]) or (b == 0 and max(p[i]) == 0)
        ]
        if inside:
            right = sum(int(np.argmax(p[i])) == y[i] for i in inside) / len(inside)
            total += len(inside) / n * abs(right - sum(max(p[i]) for i in inside) / len(inside))
    return total


def _slow_adaptive(p, y, bins):
    """Equal bins of the sorted images, each image as right as its equals on average."""
    top = [max(row) for row in p]
    right = [int(np.argmax(row)) == label for row, label in zip(p, y, strict=True)]
    shared = [
        np.mean([r for r, other in zip(right, top, strict=True) if other == mine]) for mine in top
    ]
    order = sorted(range(len(y)), key=lambda i: top[i])
    parts = np.array_split(order, min(bins, len(y)))
    return sum(
        abs(sum(shared[i] for i in part) - sum(top[i] for i in part)) for part in parts
    ) / len(y)


def test_scores_are_scikit_learns_and_a_loops():
    p, y = _world()
    assert nll(p, y) == pytest.approx(log_loss(y, p, labels=range(4)), rel=1e-12)
    assert brier(p, y) == pytest.approx(((p - EYE[y]) ** 2).sum(axis=1).mean(), rel=1e-12)
    two, label = _world(k=2, seed=1)
    assert brier(two, label) == pytest.approx(2 * brier_score_loss(label, two[:, 1]), rel=1e-12)
    for bins in (1, 5, 15):
        assert ece(p, y, bins=bins) == pytest.approx(_slow_ece(p, y, bins), abs=1e-12)
        assert adaptive_ece(p, y, bins=bins) == pytest.approx(_slow_adaptive(p, y, bins), abs=1e-12)


def test_ece_is_torchmetrics_where_torchmetrics_is_right():
    from torchmetrics.functional.classification import multiclass_calibration_error

    for seed in range(5):
        p, y = _world(seed=seed)
        want = multiclass_calibration_error(torch.tensor(p), torch.tensor(y), 4, n_bins=15)
        assert ece(p, y) == pytest.approx(float(want), abs=1e-6)
    # a confidence of exactly 1 gets a sixteenth bin there, which the definition does not have
    p = np.array([[1.0, 0.0], [0.94, 0.06]])
    y = np.array([1, 0])
    assert ece(p, y) == pytest.approx(abs(1 - 1.94) / 2)
    want = float(multiclass_calibration_error(torch.tensor(p), torch.tensor(y), 2, n_bins=15))
    assert want == pytest.approx((1 + 0.06) / 2, abs=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.5, 0.6, 2 / 3, 0.8, 0.9, 14 / 15, 1.0]), st.integers(0, 1)),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([1, 3, 10, 15]),
    st.randoms(use_true_random=False),
)
def test_errors_on_borders_and_ties_are_the_loops_and_rows_may_move(rows, bins, random):
    p = np.array([[c, 1 - c] for c, _ in rows])
    y = np.array([label for _, label in rows])
    p = p / p.sum(axis=1, keepdims=True)
    assert ece(p, y, bins=bins) == pytest.approx(_slow_ece(p, y, bins), abs=1e-12)
    assert adaptive_ece(p, y, bins=bins) == pytest.approx(_slow_adaptive(p, y, bins), abs=1e-12)
    moved = list(range(len(y)))
    random.shuffle(moved)
    for score in (nll, brier, ece, adaptive_ece):
        assert score(p[moved], y[moved]) == pytest.approx(score(p, y), abs=1e-12)
        doubled = score(np.tile(p, (2, 1)), np.tile(y, 2))
        if score is not adaptive_ece:  # its bins move with n
            assert doubled == pytest.approx(score(p, y), abs=1e-12)


def test_known_values():
    uniform = np.full((8, 4), 0.25)
    y = np.arange(8) % 4
    assert nll(uniform, y) == pytest.approx(math.log(4))
    assert brier(uniform, y) == pytest.approx(0.75)
    assert ece(uniform, y) == pytest.approx(0)  # a quarter right, first class of equal ones
    sure = EYE[y]
    assert (nll(sure, y), brier(sure, y), ece(sure, y), adaptive_ece(sure, y)) == (0, 0, 0, 0)
    wrong = EYE[(y + 1) % 4]
    assert nll(wrong, y) == pytest.approx(-math.log(np.finfo(float).tiny))
    assert (brier(wrong, y), ece(wrong, y), adaptive_ece(wrong, y)) == (2, 1, 1)
    for score in (nll, brier, ece, adaptive_ece):
        assert math.isnan(score(np.empty((0, 4)), np.empty(0, dtype=int)))


def test_table_sums_to_the_errors_and_holds_wilsons_intervals():
    p, y = _world(n=300, seed=2)
    for scheme, score in (("width", ece), ("mass", adaptive_ece)):
        table = calibration_table(p, y, scheme=scheme)
        filled = table[table["n"] > 0]
        assert table["n"].sum() == 300
        assert (filled["n"] * filled["gap"].abs()).sum() / 300 == pytest.approx(score(p, y))
        assert (filled["n"] * filled["accuracy"]).sum() == pytest.approx(
            image_scores(p, y).correct.sum()
        )
        for row in filled.itertuples():
            want = wilson_interval(round(row.n * row.accuracy), row.n)
            assert (row.accuracy_low, row.accuracy_high) == pytest.approx((want.low, want.high))
    assert calibration_table(p, y, scheme="mass", bins=7)["n"].tolist() == [43] * 6 + [42]
    empty = calibration_table(p, y)
    assert (empty["n"] == 0).any()
    assert empty.loc[empty["n"] == 0, "accuracy"].isna().all()
    assert len(calibration_table(p[:3], y[:3], scheme="mass")) == 3
    assert len(calibration_table(p[:0], y[:0], scheme="mass")) == 0
    assert calibration_table(p[:0], y[:0])["n"].sum() == 0


def test_float32_rows_are_taken_and_rescaled():
    p, y = _world(n=50)
    single = p.astype(np.float32)
    assert nll(single, y) == pytest.approx(nll(p, y), rel=1e-6)
    assert nll(p * (1 + 2e-5), y) == pytest.approx(nll(p, y), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y: (np.where(np.arange(6)[:, None] == 2, np.nan, p), y), "NaN or infinity in 1"),
        (lambda p, y: (p * 2, y), "sum to 1"),
        (lambda p, y: (np.log(p), y), "Logits"),
        (lambda p, y: (p, 0 * y - 1), "-1 means unlabelled"),
        (lambda p, y: (p, y + 4), "between 0 and 3"),
        (lambda p, y: (p, y[:-1]), "one per row"),
        (lambda p, y: (p, y.astype(float)), "integers"),
        (lambda p, y: (p[:, :1], y), "classes >= 2"),
    ],
)
def test_bad_input_is_refused(change, message):
    p, y = _world(n=6)
    for score in (nll, brier, ece, adaptive_ece, calibration_table):
        with pytest.raises(InputError, match=message):
            score(*change(p, y))


def test_bins_and_schemes_are_checked():
    p, y = _world(n=6)
    for score in (ece, adaptive_ece):
        with pytest.raises(InputError, match="at least 1"):
            score(p, y, bins=0)
    with pytest.raises(InputError, match="width or mass"):
        calibration_table(p, y, scheme="height")


@pytest.mark.parametrize(
    ("accuracy", "truth", "scheme"),
    [
        (lambda s: s, 0.0, "width"),  # calibrated: the plain bootstrap never covers 0
        (lambda s: s, 0.0, "mass"),
        (lambda s: s - 0.1, 0.1, "width"),
        (lambda s: s - 0.1, 0.1, "mass"),
    ],
)
def test_interval_of_the_error_covers_the_truth(accuracy, truth, scheme):
    rng = np.random.default_rng(0)
    hits = 0
    for run in range(150):
        confidence = 0.5 + rng.random(200) / 2
        correct = rng.random(200) < accuracy(confidence)
        got = calibration_interval(
            confidence, correct, scheme=scheme, bins=10, resamples=200, seed=run
        )
        hits += got.low <= truth <= got.high
    assert hits >= 133  # 95 % of 150 less two standard errors and a half


def test_interval_is_of_the_error_itself_and_blind_to_the_order():
    p, y = _world(n=200, seed=3)
    scores = image_scores(p, y)
    moved = np.random.default_rng(0).permutation(200)
    for scheme, score in (("width", ece), ("mass", adaptive_ece)):
        got = calibration_interval(scores.confidence, scores.correct, scheme=scheme, seed=5)
        assert got.value == pytest.approx(score(p, y), abs=1e-12)
        assert 0 <= got.low <= got.value <= got.high <= 1
        again = calibration_interval(
            scores.confidence[moved], scores.correct[moved], scheme=scheme, seed=5
        )
        assert again == got
    one = calibration_interval(scores.confidence[:1], scores.correct[:1])
    assert math.isnan(one.low)
    assert math.isnan(calibration_interval(scores.confidence[:0], scores.correct[:0]).value)
