"""What holds for every density and logit score, whatever the numbers."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.models.feature_table import table_from_arrays
from sundog.models.head import Head
from sundog.risk.estimator import Passed
from sundog.risk.gaussian_mixture import ClassGaussians, GaussianMixtureDensity
from sundog.risk.histogram import Histogram
from sundog.risk.logit_scores import (
    Energy,
    Entropy,
    GeneralisedEntropy,
    MaximumProbability,
    centre_single_logit,
    log_odds_parts,
    uncertainty,
)
from sundog.risk.nearest_neighbours import NearestNeighbours
from sundog.risk.relative_mahalanobis import RelativeMahalanobis
from sundog.risk.reverse_neighbours import ReverseNeighbours
from sundog.risk.virtual_logit import VirtualLogit

ALL = {
    "knn": lambda: NearestNeighbours(k=4),
    "knn raw": lambda: NearestNeighbours(k=4, normalise=False),
    "reverse knn": lambda: ReverseNeighbours(k=12, m=4),
    "ddu": ClassGaussians,
    "ddu tied": lambda: ClassGaussians(covariance="tied"),
    "gmm": GaussianMixtureDensity,
    "gmm tied": lambda: GaussianMixtureDensity(components=3, covariance="tied", shrinkage=0.1),
    "rmds": RelativeMahalanobis,
    "vim": VirtualLogit,
    "histogram": Histogram,
    "histogram max": lambda: Histogram(rule="max", queue_size=50, alpha=0.01),
    "msp": MaximumProbability,
    "entropy": Entropy,
    "gen": GeneralisedEntropy,
    "energy": lambda: Energy(temperature=2.0),
}


def world(seed=0, n=120, d=8, classes=3):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    rows = (rng.normal(size=(classes, d))[labels] * 2 + rng.normal(size=(n, d))).astype(np.float32)
    weight, bias = rng.normal(size=(classes, d)).astype(np.float32), np.full(classes, 9, np.float32)
    head = Head(layer="h", weight=torch.from_numpy(weight), bias=torch.from_numpy(bias))
    return table_from_arrays(rows, rows @ weight.T + bias, labels), head


def scores(estimator, table, where=slice(None)):
    return estimator.score(Passed(features=table.features[where], logits=table.logits[where]))


@pytest.mark.parametrize("name", ALL)
def test_a_score_does_not_depend_on_the_rest_of_the_batch(name):
    table, head = world()
    fresh, _ = world(1, n=37)
    estimator = ALL[name]().fit(table, head=head, seed=2)
    together = scores(estimator, fresh)
    order = torch.randperm(len(fresh), generator=torch.Generator().manual_seed(0))
    shuffled = scores(estimator, fresh, order)
    for field, values in together.items():
        alone = torch.cat([scores(estimator, fresh, slice(i, i + 1))[field] for i in range(37)])
        torch.testing.assert_close(alone, values, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(shuffled[field], values[order], rtol=1e-12, atol=1e-12)
        assert values.dtype == torch.float64
        assert values.shape == (37,)


@pytest.mark.parametrize("name", ALL)
def test_settings_and_tensors_rebuild_it_exactly(name):
    table, head = world()
    estimator = ALL[name]().fit(table, head=head, seed=2)
    settings_text = json.loads(json.dumps(estimator.settings()))
    again = type(estimator)(**settings_text)
    again.load_tensors({key: value.clone() for key, value in estimator.tensors().items()})
    assert again.fitted
    want, got = scores(estimator, table), scores(again, table)
    assert tuple(want) == estimator.gives
    for field in want:
        assert torch.equal(got[field], want[field])
        assert torch.equal(again.score_own(table)[field], estimator.score_own(table)[field])


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_fit(name):
    table, head = world()
    first, second = (scores(ALL[name]().fit(table, head=head, seed=5), table) for _ in range(2))
    for field in first:
        assert torch.equal(first[field], second[field])


@pytest.mark.parametrize("name", ALL)
def test_fitting_again_forgets_the_first_fit(name):
    table, head = world()
    other, other_head = world(7)
    twice = ALL[name]().fit(other, head=other_head).fit(table, head=head)
    once = ALL[name]().fit(table, head=head)
    for field, values in scores(once, table).items():
        assert torch.equal(scores(twice, table)[field], values)


def test_saved_sizes_are_what_the_method_needs():
    table, head = world(n=120, d=8)

    def size(estimator):
        kept = estimator.fit(table, head=head).tensors().values()
        return sum(t.numel() * t.element_size() for t in kept)

    assert size(NearestNeighbours(k=4)) <= 120 * 8 * 4 + 8 * 8 + 8
    assert size(ClassGaussians()) <= 8 * 3 * (8 * 8 + 8 + 4)
    assert size(ClassGaussians(covariance="tied")) <= 8 * (8 * 8 + 3 * 8 + 3 + 4)
    assert size(VirtualLogit()) <= 8 * (8 * 4 + 8 + 1)
    assert size(Histogram()) == 8 * 8 * (4 + 5)
    assert size(MaximumProbability()) == 0


@pytest.mark.parametrize("name", ["knn", "knn raw", "reverse knn", "ddu", "ddu tied", "gmm"])
def test_densities_do_not_depend_on_the_order_of_the_training_images(name):
    table, head = world()
    order = np.random.default_rng(0).permutation(len(table))
    estimator = ALL[name]()
    want = scores(estimator.fit(table, head=head), table)["representation"]
    got = scores(ALL[name]().fit(table.rows(order), head=head), table)["representation"]
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5))
@settings(max_examples=15)
def test_densities_keep_their_order_when_the_features_change_their_unit(scale, shift):
    table, _ = world(n=90)
    moved = table_from_arrays(table.features * scale + shift * scale, table.logits, table.labels)
    for estimator in (
        NearestNeighbours(k=4, normalise=False),
        ClassGaussians(),
        GaussianMixtureDensity(components=1),
    ):
        first = estimator.fit(table).score_own(table)["representation"]
        second = estimator.fit(moved).score_own(moved)["representation"]
        gap = second - first  # a constant: minus the log of the change of volume or of length
        assert float(gap.max() - gap.min()) < 1e-2


@given(
    logits=st.lists(st.lists(st.floats(-200, 200), min_size=4, max_size=4), min_size=1, max_size=5),
    shift=st.floats(-50, 50),
)
def test_logit_scores_are_those_of_exact_arithmetic(logits, shift):
    given_logits = torch.tensor(logits, dtype=torch.float64)
    log_p, log_rest = log_odds_parts(given_logits)
    for row, p_row, rest_row in zip(logits, log_p, log_rest, strict=True):
        wide = np.array(row, dtype=np.longdouble)
        e = np.exp(wide - wide.max())
        total = e.sum()
        others = np.array([e[[j for j in range(4) if j != k]].sum() for k in range(4)])
        np.testing.assert_allclose(p_row.numpy(), np.log(e / total).astype(float), atol=1e-9)
        with np.errstate(divide="ignore"):
            want = np.log(others / total).astype(float)
        np.testing.assert_allclose(rest_row.numpy(), want, atol=1e-9, rtol=1e-9)
        p = (e / total).astype(float)
        passed = Passed(features=torch.zeros(1, 1), logits=torch.tensor([row], dtype=torch.float64))
        got = MaximumProbability().score(passed)["epistemic"]
        smallest = float(others.min() / total)
        np.testing.assert_allclose(float(got), smallest, rtol=1e-9, atol=1e-300)
        entropy = -sum(x * np.log(x) for x in p if x > 0)
        assert float(Entropy().score(passed)["aleatoric"]) == pytest.approx(entropy, abs=1e-9)
        gen = np.sum(((e / total) * (others / total)) ** 0.1).astype(float)
        got_gen = float(GeneralisedEntropy().score(passed)["epistemic"])
        assert got_gen == pytest.approx(float(gen), rel=1e-7)
        energy = -float(wide.max() + np.log(total))
        assert float(Energy().score(passed)["epistemic"]) == pytest.approx(energy, abs=1e-9)
        moved = Passed(
            features=torch.zeros(1, 1), logits=torch.tensor([row], dtype=torch.float64) + shift
        )
        for make in (MaximumProbability, Entropy, GeneralisedEntropy):
            field = make.gives[0]
            one, two = make().score(passed)[field], make().score(moved)[field]
            assert float(two) == pytest.approx(float(one), rel=1e-6, abs=1e-9)


def test_uncertainty_is_told_apart_where_float32_probabilities_are_all_one():
    logits = torch.tensor([[40.0, 0.0], [60.0, 0.0], [80.0, 0.0]])
    assert (logits.softmax(dim=1).amax(dim=1) == 1).all()
    got = uncertainty(logits)
    assert got[0] > got[1] > got[2] > 0


@given(st.floats(-30, 30))
def test_a_single_logit_is_as_sure_of_one_class_as_of_the_other(z):
    both = torch.tensor([[0.0, z], [0.0, -z]])
    passed = Passed(features=torch.zeros(2, 1), logits=both)
    for make in (Energy, MaximumProbability, GeneralisedEntropy):
        got = make().score(passed)["epistemic"]
        assert float(got[0]) == pytest.approx(float(got[1]), rel=1e-6)
    assert torch.equal(centre_single_logit(torch.tensor([[1.0, 2.0]])), torch.tensor([[1.0, 2.0]]))
    assert torch.equal(centre_single_logit(torch.zeros(1, 3)), torch.zeros(1, 3))
