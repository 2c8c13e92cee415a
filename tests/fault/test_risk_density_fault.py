"""Bad input to the density estimators: a clear error that says what to try."""

import sys

import numpy as np
import pytest
import torch

from sundog.core.errors import InputError, MissingExtraError, ModelStateError
from sundog.models.feature_table import table_from_arrays
from sundog.models.head import Head
from sundog.risk.estimator import Passed
from sundog.risk.gaussian_mixture import ClassGaussians, GaussianMixtureDensity
from sundog.risk.histogram import Histogram
from sundog.risk.logit_scores import Energy, Entropy, GeneralisedEntropy, MaximumProbability
from sundog.risk.nearest_neighbours import NearestNeighbours
from sundog.risk.relative_mahalanobis import RelativeMahalanobis
from sundog.risk.reverse_neighbours import ReverseNeighbours
from sundog.risk.virtual_logit import VirtualLogit

FEATURES, CLASSES = 6, 3
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(200, FEATURES)).astype(np.float32)
WEIGHT = RNG.normal(size=(CLASSES, FEATURES)).astype(np.float32)
HEAD = Head(layer="h", weight=torch.from_numpy(WEIGHT), bias=torch.full((CLASSES,), 5.0))
LABELS = np.arange(200) % CLASSES
DENSITIES = [
    lambda: NearestNeighbours(k=5),
    lambda: ReverseNeighbours(k=12),
    ClassGaussians,
    GaussianMixtureDensity,
    RelativeMahalanobis,
    VirtualLogit,
    Histogram,
]
LOGIT_SCORES = [MaximumProbability, Entropy, Energy, GeneralisedEntropy]


def table(rows=ROWS, labels=LABELS, logits=None):
    made = rows @ WEIGHT.T + 5 if logits is None else logits
    return table_from_arrays(rows, made, labels)


def passed(rows=ROWS, logits=None):
    made = rows @ WEIGHT.T + 5 if logits is None else logits
    return Passed(features=torch.as_tensor(rows), logits=torch.as_tensor(made))


@pytest.mark.parametrize("make", DENSITIES)
def test_scoring_before_the_fit(make):
    estimator = make()
    assert not estimator.fitted
    for call in (lambda: estimator.score(passed()), estimator.tensors):
        with pytest.raises(ModelStateError, match="not fitted"):
            call()


@pytest.mark.parametrize("make", DENSITIES)
def test_features_of_another_network(make):
    estimator = make().fit(table(), head=HEAD)
    other = Passed(features=torch.zeros(4, FEATURES + 1), logits=torch.zeros(4, CLASSES))
    with pytest.raises(InputError, match=rf"\[batch, {FEATURES}\].*got \(4, 7\)"):
        estimator.score(other)


@pytest.mark.parametrize("make", DENSITIES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite(make, bad):
    rows = ROWS[:4].copy()
    rows[2, 1] = bad
    with pytest.raises(InputError, match="NaN or infinity in 1 of 4 images"):
        make().fit(table(), head=HEAD).score(passed(rows, np.zeros((4, 3), np.float32)))


@pytest.mark.parametrize("make", LOGIT_SCORES)
def test_logits_that_are_not_finite_or_of_one_class(make):
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(InputError, match="NaN or infinity in 1 of 2"):
            make().score(passed(ROWS[:2], np.array([[0, 1.0], [bad, 0]], np.float32)))
    with pytest.raises(InputError, match=r"at least 2 classes.*binary_logit"):
        make().score(passed(ROWS[:2], np.zeros((2, 1), np.float32)))


@pytest.mark.parametrize("make", DENSITIES)
def test_one_training_image(make):
    with pytest.raises(InputError, match="at least 2, with features; got 1 images"):
        make().fit(table(ROWS[:1], LABELS[:1]), head=HEAD)


@pytest.mark.parametrize("make", DENSITIES)
def test_a_batch_without_images_gives_no_scores(make):
    estimator = make().fit(table(), head=HEAD)
    for values in estimator.score(passed(ROWS[:0])).values():
        assert values.shape == (0,)


@pytest.mark.parametrize("make", [ClassGaussians, RelativeMahalanobis])
def test_labels_that_are_missing_or_too_few(make):
    with pytest.raises(InputError, match=r"labelled; got 200 unlabelled images.*knn"):
        make().fit(table(labels=None))
    lone = np.where(np.arange(200) == 7, 2, 0)
    with pytest.raises(InputError, match="at least 2 images; got 1 of class 2"):
        make().fit(table(labels=lone))


def test_rmds_with_one_class():
    with pytest.raises(InputError, match="at least 2 classes"):
        RelativeMahalanobis().fit(table(labels=np.zeros(200)))


@pytest.mark.parametrize("make", [ClassGaussians, GaussianMixtureDensity, RelativeMahalanobis])
def test_training_images_that_are_all_equal(make):
    same = np.ones((20, FEATURES), np.float32)
    with pytest.raises(InputError, match="images that differ; got 20 equal rows"):
        make().fit(table(same, np.arange(20) % 2))


def test_knn_needs_more_than_k_images_in_all_and_in_every_class():
    with pytest.raises(InputError, match=r"below the number of training images, 40.*Try k=19"):
        NearestNeighbours(k=50).fit(table(ROWS[:40], LABELS[:40]))
    small = np.where(np.arange(200) < 10, 1, 0)
    with pytest.raises(InputError, match=r"10 images of class 1.*Try k=9.*small_classes='allow'"):
        NearestNeighbours(k=50).fit(table(labels=small))
    allowed = NearestNeighbours(k=50, small_classes="allow").fit(table(labels=small))
    assert allowed.fitted
    assert NearestNeighbours(k=9).fit(table(labels=small)).fitted
    assert NearestNeighbours(k=50).fit(table(labels=None)).fitted, "unlabelled images have no class"


def test_own_rows_must_be_the_fitted_ones():
    for make in (NearestNeighbours, ReverseNeighbours):
        estimator = make(k=10).fit(table())
        for other in (table(ROWS[:-1], LABELS[:-1]), table(ROWS[::-1].copy())):
            with pytest.raises(InputError, match="in the same order"):
                estimator.score_own(other)
    with pytest.raises(InputError, match="other numbers of images per class"):
        ClassGaussians().fit(table()).score_own(table(ROWS[:-1], LABELS[:-1]))


def test_queue_larger_than_the_data():
    with pytest.raises(InputError, match="at most the number of training images, 200; got 2000"):
        Histogram(queue_size=2000).fit(table())


def test_vim_without_a_head_or_a_residual_or_a_level():
    with pytest.raises(InputError, match="linear head of 6 features; got none"):
        VirtualLogit().fit(table())
    other = Head(layer="h", weight=torch.zeros(3, 9), bias=torch.zeros(3))
    with pytest.raises(InputError, match="got one of 9 features"):
        VirtualLogit().fit(table(), head=other)
    with pytest.raises(InputError, match="below 6"):
        VirtualLogit(directions=6).fit(table(), head=HEAD)
    flat = ROWS.copy()
    flat[:, 2:] = flat[:, :1] + 1  # two dimensions and an offset
    origin = Head(layer="h", weight=HEAD.weight, bias=torch.zeros(3))
    with pytest.raises(InputError, match="outside 4 directions; got none"):
        VirtualLogit(directions=4).fit(table(flat, logits=flat @ WEIGHT.T), head=origin)
    with pytest.raises(InputError, match="positive on average"):
        VirtualLogit().fit(table(logits=ROWS @ WEIGHT.T - 50), head=HEAD)


@pytest.mark.parametrize("make", [Energy, VirtualLogit])
def test_log_probabilities_have_no_energy(make):
    logits = torch.from_numpy(ROWS @ WEIGHT.T).log_softmax(dim=1).numpy()
    with pytest.raises(InputError, match="log-probabilities, whose level says nothing"):
        make().fit(table(logits=logits), head=HEAD)


def test_covariances_that_do_not_fit_in_memory():
    rows = RNG.normal(size=(80, 6000)).astype(np.float32)
    wide = table_from_arrays(rows, np.zeros((80, 20)), np.arange(80) % 20)
    with pytest.raises(InputError, match=r"20 of 6000 x 6000: 5\.4 GiB.*tied"):
        ClassGaussians().fit(wide)


def test_faiss_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sundog\[knn\]'"):
        NearestNeighbours(k=5, index="approximate").fit(table())
    assert NearestNeighbours(k=5).fit(table()).fitted


def test_a_million_vectors_and_one_take_the_approximate_index(monkeypatch):
    monkeypatch.setattr("sundog.risk.feature_neighbours.MOST_EXACT", 199)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError):
        NearestNeighbours(k=5).fit(table())
    assert NearestNeighbours(k=5, index="exact").fit(table()).fitted


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: NearestNeighbours(k=0), "k must be >= 1"),
        (lambda: NearestNeighbours(index="faiss"), "auto, exact, approximate"),
        (lambda: NearestNeighbours(small_classes="no"), "refuse, allow"),
        (lambda: ReverseNeighbours(k=0), "k must be >= 1"),
        (lambda: ReverseNeighbours(k=5, m=6), "m must be in 1..k = 5"),
        (lambda: ReverseNeighbours(k=5, m=2, most_rows=5), "above k = 5"),
        (lambda: ReverseNeighbours(small_classes="no"), "refuse, allow"),
        (lambda: ClassGaussians(covariance="diag"), "full or tied"),
        (lambda: ClassGaussians(shrinkage=1.5), r"in \[0, 1\]"),
        (lambda: RelativeMahalanobis(shrinkage="oas"), "ledoit-wolf"),
        (lambda: GaussianMixtureDensity(components=0), "components"),
        (lambda: GaussianMixtureDensity(most_rows=1), "most_rows"),
        (lambda: VirtualLogit(directions=0), "directions"),
        (lambda: Histogram(num_bins=1), "num_bins"),
        (lambda: Histogram(queue_size=1), "queue_size"),
        (lambda: Histogram(rule="max-m"), "product or max"),
        (lambda: Histogram(alpha=0.0), "alpha"),
        (lambda: GeneralisedEntropy(gamma=1.0), "gamma"),
        (lambda: GeneralisedEntropy(top=1), "top"),
        (lambda: Energy(temperature=float("nan")), "temperature"),
    ],
)
def test_settings_out_of_range(make, match):
    with pytest.raises(InputError, match=match):
        make()
