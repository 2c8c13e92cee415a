"""Known densities and planted rare groups; scores that were shuffled or turned round are caught."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from sundog.core.statistics import mann_whitney
from sundog.models.feature_table import table_from_arrays
from sundog.risk.estimator import Passed
from sundog.risk.gaussian_mixture import ClassGaussians, GaussianMixtureDensity
from sundog.risk.histogram import Histogram
from sundog.risk.nearest_neighbours import NearestNeighbours
from sundog.risk.reverse_neighbours import ReverseNeighbours

GROUPS = 10


class Mixture:
    """Ten Gaussian groups, the largest a hundred times the smallest, correlated features."""

    def __init__(self, seed, *, features, spread, largest=5000):
        rng = np.random.default_rng(seed)
        steps = -np.arange(GROUPS) / (GROUPS - 1)
        self.sizes = np.round(largest * 100**steps).astype(int)
        self.weights = self.sizes / self.sizes.sum()
        self.means = rng.normal(size=(GROUPS, features)) * spread
        self.covariances = []
        for _ in range(GROUPS):
            turned = np.linalg.qr(rng.normal(size=(features, features)))[0]
            values = np.exp(rng.normal(size=features))
            values /= np.exp(np.log(values).mean())  # groups differ in shape, not in volume
            self.covariances.append(turned * values @ turned.T)
        self.rng = rng

    def draw(self, sizes=None):
        sizes = self.sizes if sizes is None else sizes
        rows = [
            self.rng.multivariate_normal(m, c, size=n)
            for m, c, n in zip(self.means, self.covariances, sizes, strict=True)
        ]
        return np.concatenate(rows).astype(np.float32), np.repeat(np.arange(GROUPS), sizes)

    def log_density(self, rows):
        joint = [
            np.log(w) + stats.multivariate_normal(m, c).logpdf(rows)
            for w, m, c in zip(self.weights, self.means, self.covariances, strict=True)
        ]
        return special.logsumexp(joint, axis=0)


def representation(estimator, rows, fresh, *, labels=None):
    table = table_from_arrays(rows, np.zeros((len(rows), 2)), labels)
    passed = Passed(features=torch.from_numpy(fresh), logits=torch.zeros(len(fresh), 2))
    return estimator.fit(table).score(passed)["representation"].numpy()


def follows(score, truth):
    return float(stats.spearmanr(score, truth).statistic)


def knn(k):
    return NearestNeighbours(k=k, normalise=False, small_classes="allow")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_dimensions_density_is_found(seed):
    world = Mixture(seed, features=2, spread=4.0, largest=2000)
    rows, _ = world.draw()
    fresh, _ = world.draw(world.sizes // 4)
    truth = world.log_density(fresh)
    for estimator in (knn(50), GaussianMixtureDensity(), GaussianMixtureDensity(components=10)):
        score = representation(estimator, rows, fresh)
        assert follows(score, truth) >= 0.95, estimator.name
    rng = np.random.default_rng(seed)
    score = representation(knn(50), rows, fresh)
    assert follows(-score, truth) <= -0.95, "turned round"
    assert abs(follows(rng.permutation(score), truth)) < 0.1, "shuffled"


@pytest.mark.parametrize("seed", [0, 1])
def test_in_32_dimensions_neighbours_and_mixtures_beat_histograms(seed):
    world = Mixture(seed, features=32, spread=0.7, largest=2000)
    rows, groups = world.draw()
    fresh, _ = world.draw(world.sizes // 4)
    truth = world.log_density(fresh)
    found = {
        "knn": follows(representation(knn(10), rows, fresh), truth),
        "gmm": follows(representation(GaussianMixtureDensity(components=10), rows, fresh), truth),
        "classes": follows(representation(ClassGaussians(), rows, fresh, labels=groups), truth),
        "product": follows(representation(Histogram(), rows, fresh), truth),
        "max": follows(representation(Histogram(num_bins=10, rule="max"), rows, fresh), truth),
    }
    assert found["knn"] >= 0.65, found
    assert found["gmm"] >= 0.78, found
    assert found["classes"] >= 0.95, found  # it knows the groups
    assert max(found["product"], found["max"]) < min(found["knn"], found["gmm"]), found


@pytest.mark.parametrize("seed", [0, 1])
def test_members_of_rare_groups_are_found_among_fresh_and_fitted_images(seed):
    world = Mixture(seed, features=16, spread=2.5, largest=600)
    rows, groups = world.draw()
    fresh, fresh_groups = world.draw(np.full(GROUPS, 60))
    for estimator in (knn(10), GaussianMixtureDensity(components=10, covariance="tied")):
        score = representation(estimator, rows, fresh)
        own = estimator.score_own(table_from_arrays(rows, np.zeros((len(rows), 2))))
        for values, of in ((score, fresh_groups), (own["representation"].numpy(), groups)):
            assert mann_whitney(-values, of >= 7).auroc.value >= 0.85, estimator.name
            shuffled = np.random.default_rng(seed).permutation(values)
            assert mann_whitney(-shuffled, of >= 7).auroc.value < 0.65, "shuffled"
            assert mann_whitney(values, of >= 7).auroc.value < 0.15, "turned round"


def test_rows_left_out_of_the_fit_score_like_fresh_ones():
    """With fewer images than features, the fitted rows look far more common than they are."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(60, 60))
    rows, fresh = ((rng.normal(size=(80, 60)) @ mixing).astype(np.float32) for _ in range(2))
    labels = np.arange(80) % 2
    for estimator in (
        ClassGaussians(),
        ClassGaussians(covariance="tied"),
        GaussianMixtureDensity(components=1),
    ):
        table = table_from_arrays(rows, np.zeros((80, 2)), labels)
        score = representation(estimator, rows, fresh, labels=labels).mean()
        own = estimator.score_own(table)["representation"].numpy().mean()
        naive = representation(estimator, rows, rows, labels=labels).mean()
        assert naive - score > 5
        assert abs(own - score) < 0.2 * (naive - score)


def test_k_is_the_size_of_the_smallest_group_that_can_look_common():
    rng = np.random.default_rng(0)
    big, small = rng.normal(size=(400, 8)), 30 + 0.5 * rng.normal(size=(20, 8))
    rows = np.concatenate([big, small]).astype(np.float32)
    fresh = np.concatenate([rng.normal(size=(50, 8)), 30 + 0.5 * rng.normal(size=(50, 8))])
    within, beyond = (representation(knn(k), rows, fresh.astype(np.float32)) for k in (10, 30))
    assert within[50:].mean() > within[:50].mean()
    assert beyond[50:].max() < beyond[:50].min()


def test_reverse_neighbours_rank_groups_by_size_where_densities_rank_them_by_spread():
    rng = np.random.default_rng(0)
    sizes, spreads = [400, 200, 100, 50, 25, 12], [3.0, 0.3, 2.0, 0.5, 1.0, 0.2]
    centres = rng.normal(size=(6, 8)) * 12
    of = np.repeat(np.arange(6), sizes)

    def draw(groups):
        spread = np.array(spreads)[groups, None]
        return (centres[groups] + spread * rng.normal(size=(len(groups), 8))).astype(np.float32)

    rows, fresh_of = draw(of), np.repeat(np.arange(6), 40)
    fresh = draw(fresh_of)
    counts = ReverseNeighbours(k=100, normalise=False)
    means = {}
    for name, estimator in (("density", knn(10)), ("counts", counts)):
        score = representation(estimator, rows, fresh)
        means[name] = [score[fresh_of == g].mean() for g in range(6)]
        own = estimator.score_own(table_from_arrays(rows, np.zeros((len(rows), 2))))
        own = own["representation"].numpy()
        means[f"{name}, own"] = [own[of == g].mean() for g in range(6)]
    assert follows(means["counts"], sizes) >= 0.9
    assert follows(means["counts, own"], sizes) >= 0.9
    assert follows(means["density"], spreads) <= -0.8
    assert follows(means["density"], sizes) < 0.2


def test_without_groups_no_part_looks_rare():
    """The null world: labels drawn at random have nothing to do with the density."""
    rng = np.random.default_rng(0)
    rows, fresh = (rng.normal(size=(800, 8)).astype(np.float32) for _ in range(2))
    rejected = 0
    for estimator in (knn(20), ReverseNeighbours(), GaussianMixtureDensity(), Histogram()):
        score = representation(estimator, rows, fresh)
        for _ in range(40):
            rejected += mann_whitney(-score, rng.random(800) < 0.2).p_value <= 0.05
    assert rejected <= 18  # of 160: 8 expected; P(> 18) < 0.001
