"""The solver against scikit-learn and against its own optimality conditions."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sundog.debias.softmax_regression import softmax_regression


def world(n=300, d=7, k=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    return rng.normal(size=(n, d)) + rng.normal(size=(k, d))[y] * 0.7, y


def objective(x, y, share, w, b):
    logits = x @ w.T + b
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]
    return float(share @ loss)


def test_l2_equals_scikit_learn_with_weights():
    x, y = world()
    weight = np.random.default_rng(1).uniform(0, 3, len(y))
    strength = 0.2
    ours = softmax_regression(
        x,
        y,
        classes=3,
        decay=1 / (strength * weight.sum()),
        sample_weight=weight,
        tolerance=1e-9,
    )
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10000).fit(x, y, weight)
    np.testing.assert_allclose(ours.weight, theirs.coef_, atol=2e-5)
    np.testing.assert_allclose(
        ours.bias - ours.bias.mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=2e-5
    )
    assert ours.converged


def test_two_classes_equal_the_binary_model_at_twice_its_strength():
    """The penalty of two rows (-w/2, w/2) is half that of one row w."""
    x, y = world(k=2)
    ours = softmax_regression(x, y, classes=2, decay=2 / (0.3 * len(y)), tolerance=1e-9)
    theirs = LogisticRegression(C=0.3, tol=1e-10, max_iter=10000).fit(x, y)
    np.testing.assert_allclose(ours.weight[1] - ours.weight[0], theirs.coef_[0], atol=2e-5)
    np.testing.assert_allclose(ours.bias[1] - ours.bias[0], theirs.intercept_[0], atol=2e-5)


def test_l1_equals_liblinear_on_two_classes():
    x, y = world(k=2, seed=3)
    ours = softmax_regression(
        x, y, classes=2, decay=1 / (0.05 * len(y)), penalty="l1", tolerance=1e-9
    )
    theirs = LogisticRegression(C=0.05, l1_ratio=1.0, solver="saga", tol=1e-9, max_iter=100000).fit(
        x, y
    )
    found = ours.weight[1] - ours.weight[0]
    np.testing.assert_allclose(found, theirs.coef_[0], atol=1e-4)
    assert (found == 0).sum() == (theirs.coef_[0] == 0).sum() > 0


def test_l1_with_many_classes_fulfils_the_optimality_conditions():
    """|gradient| <= decay where a weight is 0, = -decay * sign where it is not."""
    x, y = world(k=4, d=20, seed=5)
    decay = 0.03
    found = softmax_regression(x, y, classes=4, decay=decay, penalty="l1", tolerance=1e-9)
    logits = x @ found.weight.T + found.bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    gradient = p.T @ x / len(y)
    at_zero = found.weight == 0
    assert 0 < at_zero.sum() < at_zero.size
    assert np.abs(gradient[at_zero]).max() <= decay + 1e-6
    np.testing.assert_allclose(
        gradient[~at_zero], -decay * np.sign(found.weight[~at_zero]), atol=1e-6
    )
    np.testing.assert_allclose(p.mean(axis=0), 0, atol=1e-6)


def test_the_centre_is_where_strong_pulls_end_and_the_minimum_is_one():
    x, y = world(seed=8)
    rng = np.random.default_rng(0)
    centre = (rng.normal(size=(3, 7)), rng.normal(size=3))
    share = rng.uniform(0, 1, len(y))
    strong = softmax_regression(x, y, classes=3, decay=1e7, centre=centre)
    np.testing.assert_allclose(strong.weight, centre[0], atol=1e-5)
    np.testing.assert_allclose(strong.bias, centre[1], atol=1e-5)

    def total(w, b):
        apart = ((w - centre[0]) ** 2).sum() + ((b - centre[1]) ** 2).sum()
        return objective(x, y, share / share.sum(), w, b) + 0.05 / 2 * apart

    found = softmax_regression(
        x, y, classes=3, decay=0.05, centre=centre, sample_weight=share, tolerance=1e-9
    )
    best = total(found.weight, found.bias)
    assert found.loss == pytest.approx(best, abs=1e-12)
    for _ in range(50):
        step = (rng.normal(size=(3, 7)) * 1e-3, rng.normal(size=3) * 1e-3)
        assert total(found.weight + step[0], found.bias + step[1]) > best


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_the_start_does_not_matter(penalty):
    x, y = world(seed=2)
    rng = np.random.default_rng(4)
    plain = softmax_regression(x, y, classes=3, decay=0.02, penalty=penalty, tolerance=1e-9)
    other = softmax_regression(
        x,
        y,
        classes=3,
        decay=0.02,
        penalty=penalty,
        start=(rng.normal(size=(3, 7)), rng.normal(size=3)),
        tolerance=1e-9,
    )
    np.testing.assert_allclose(plain.weight, other.weight, atol=1e-5)
    assert plain.loss == pytest.approx(other.loss, abs=1e-9)
