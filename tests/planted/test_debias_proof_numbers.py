"""The proof's own arithmetic against loops, and against the library's scores."""

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="run from the repository: python -m pytest")
from benchmarks.debias.numbers import draws, measure
from benchmarks.debias.shown_ways import Answers

from sundog.models.calibration import ece
from sundog.models.group_scores import group_scores


@pytest.fixture
def answers():
    rng = np.random.default_rng(3)
    labels = np.sort(rng.integers(0, 3, 90))
    cue = (labels + rng.integers(1, 3, 90)) % 3
    made = rng.dirichlet(np.ones(3), size=(3, 90))
    made[:, np.arange(90), labels] += 0.4
    return Answers(made / made.sum(axis=2, keepdims=True), labels, cue)


def test_groups_equal_the_librarys(answers):
    found = {name: float(value[0]) for name, value in measure(answers).items()}
    labels = np.concatenate([answers.labels, answers.labels])
    groups = 2 * labels + np.repeat([0, 1], 90)
    names = [f"{c} {way}" for c in range(3) for way in ("aligned", "conflict")]
    classes = ["0", "1", "2"]
    scores = group_scores(
        np.concatenate(answers.probabilities[:2]), labels, groups, names, class_names=classes
    )
    assert found["worst"] == pytest.approx(scores.worst.value)
    assert found["gap"] == pytest.approx(scores.gap.value)
    assert found["average"] == pytest.approx(scores.adjusted.value)
    plain = group_scores(
        answers.probabilities[2], answers.labels, answers.labels, classes, class_names=classes
    )
    assert found["without"] == pytest.approx(plain.average.value)
    assert found["precision"] == pytest.approx(plain.overall.precision.value)
    assert found["ece"] == pytest.approx(ece(answers.probabilities[2], answers.labels))
    assert found["ece_conflict"] == pytest.approx(ece(answers.probabilities[1], answers.labels))


def test_flip_and_follow_by_hand(answers):
    guess = answers.probabilities.argmax(axis=2)
    flips = follows = 0
    for i in range(90):
        cue = answers.cue_class[i]
        follows += guess[1, i] == cue
        flips += guess[1, i] == cue and guess[2, i] != cue
    found = measure(answers)
    assert found["flip"][0] == pytest.approx(flips / 90)
    assert found["follow"][0] == pytest.approx(follows / 90)


def test_a_sample_is_scored_like_the_images_it_repeats(answers):
    weights = draws(answers.labels, 3, seed=5)
    found = measure(answers, weights)
    for row in range(3):
        rows = np.repeat(np.arange(90), weights[row].astype(int))
        part = Answers(
            answers.probabilities[:, rows], answers.labels[rows], answers.cue_class[rows]
        )
        plain = measure(part)
        for name, values in found.items():
            assert values[row] == pytest.approx(plain[name][0]), name


def test_samples_keep_the_size_of_each_class(answers):
    weights = draws(answers.labels, 200, seed=1)
    for label in range(3):
        assert (
            weights[:, answers.labels == label].sum(axis=1) == (answers.labels == label).sum()
        ).all()
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.35
    np.testing.assert_array_equal(weights, draws(answers.labels, 200, seed=1))
