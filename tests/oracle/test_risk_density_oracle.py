"""Density estimators against scipy, scikit-learn and slow loops in float64."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors as SlowNeighbours

from sundog.models.feature_table import table_from_arrays
from sundog.models.head import Head
from sundog.risk.estimator import Passed
from sundog.risk.gaussian import CentredRows, fit_gaussians, ledoit_wolf, scatter
from sundog.risk.gaussian_em import fit_mixture
from sundog.risk.gaussian_left_out import left_out_log_joint
from sundog.risk.gaussian_mixture import ClassGaussians, GaussianMixtureDensity
from sundog.risk.histogram import Histogram
from sundog.risk.nearest_neighbours import NearestNeighbours
from sundog.risk.relative_mahalanobis import RelativeMahalanobis
from sundog.risk.reverse_neighbours import ReverseNeighbours
from sundog.risk.virtual_logit import VirtualLogit


def rows_of(seed, n, d, *, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    centres, mixing = rng.normal(size=(classes, d)) * 2, rng.normal(size=(d, d))
    rows = centres[labels] + rng.normal(size=(n, d)) @ mixing + 3
    return rows.astype(np.float32), labels


def table_of(rows, labels=None, logits=None):
    return table_from_arrays(rows, np.zeros((len(rows), 3)) if logits is None else logits, labels)


def passed(rows, logits=None):
    given = torch.zeros(len(rows), 3) if logits is None else torch.as_tensor(logits)
    return Passed(features=torch.as_tensor(rows), logits=given)


def everyone(n):
    return [(torch.arange(n), torch.ones(n, dtype=torch.float64))]


def of_classes(labels):
    wheres = [torch.from_numpy(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    return [(w, torch.ones(len(w), dtype=torch.float64)) for w in wheres]


# ---- nearest neighbours --------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("k", [1, 7, 50])
def test_knn_is_the_distance_of_sklearns_search(normalise, k):
    rows, _ = rows_of(0, 700, 12)
    queries, _ = rows_of(1, 90, 12)

    def scaled(x):
        x = x.astype(np.float64)
        return x / np.linalg.norm(x, axis=1, keepdims=True) if normalise else x

    slow = SlowNeighbours(n_neighbors=k + 1, algorithm="brute").fit(scaled(rows))
    estimator = NearestNeighbours(k=k, normalise=normalise).fit(table_of(rows))
    got = estimator.score(passed(queries))
    want = slow.kneighbors(scaled(queries))[0][:, k - 1]
    np.testing.assert_allclose(got["epistemic"], want, rtol=2e-6)
    np.testing.assert_allclose(got["representation"], -np.log(want), atol=2e-6)
    own = estimator.score_own(table_of(rows))["epistemic"]
    np.testing.assert_allclose(own, slow.kneighbors(scaled(rows))[0][:, k], rtol=2e-6)


def test_knn_keeps_distances_that_float32_dot_products_lose():
    rng = np.random.default_rng(0)
    rows = (1000 + 1e-2 * rng.normal(size=(300, 8))).astype(np.float32)
    slow = SlowNeighbours(n_neighbors=4, algorithm="brute").fit(rows.astype(np.float64))
    want = slow.kneighbors(rows.astype(np.float64))[0][:, 3]
    got = NearestNeighbours(k=3, normalise=False).fit(table_of(rows)).score_own(table_of(rows))
    np.testing.assert_allclose(got["epistemic"], want, rtol=1e-4)


def test_knn_of_copies_is_the_floor_and_the_copy_left_out_is_one_of_them():
    rows, _ = rows_of(0, 60, 5)
    rows[:4] = rows[0]  # four equal rows
    estimator = NearestNeighbours(k=3).fit(table_of(rows))
    own = estimator.score_own(table_of(rows))
    assert own["epistemic"][:4].tolist() == [0, 0, 0, 0]
    assert own["representation"][0] == pytest.approx(-math.log(1e-7), rel=1e-3)
    assert (own["epistemic"][4:] > 0).all()
    further = NearestNeighbours(k=4).fit(table_of(rows)).score_own(table_of(rows))
    assert (further["epistemic"] > 0).all(), "a row is no neighbour of its own"


def test_knn_takes_a_row_of_zeros_as_it_is():
    rows, _ = rows_of(0, 60, 5)
    rows[0] = 0
    got = NearestNeighbours(k=1).fit(table_of(rows)).score(passed(np.zeros((1, 5), np.float32)))
    assert float(got["epistemic"]) == 0
    beside = NearestNeighbours(k=2).fit(table_of(rows)).score(passed(np.zeros((1, 5), np.float32)))
    assert float(beside["epistemic"]) == pytest.approx(1, rel=1e-6)  # every other has length 1


def slow_counts(rows, queries, *, k, m, own=None):
    """Mean log count of the m nearest; with own, the query's own row and list are left out."""
    lists = [
        [j for j in np.argsort(np.linalg.norm(rows - r, axis=1)) if j != i][:k]
        for i, r in enumerate(rows)
    ]
    found = []
    for i, query in enumerate(queries):
        near = [
            j for j in np.argsort(np.linalg.norm(rows - query, axis=1)) if own is None or j != i
        ]
        voters = [y for y in range(len(rows)) if own is None or y != i]
        counts = [sum(j in lists[y] for y in voters) for j in near[:m]]
        found.append(np.mean(np.log1p(counts)))
    return found


def test_reverse_neighbours_are_the_slow_counts():
    rows, _ = rows_of(0, 80, 5)
    queries, _ = rows_of(1, 15, 5)
    estimator = ReverseNeighbours(k=12, m=4).fit(table_of(rows))

    def scaled(x):
        return x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)

    got = estimator.score(passed(queries))["representation"]
    np.testing.assert_allclose(got, slow_counts(scaled(rows), scaled(queries), k=12, m=4))
    own = estimator.score_own(table_of(rows))["representation"]
    want = slow_counts(scaled(rows), scaled(rows), k=12, m=4, own=True)
    np.testing.assert_allclose(own, want)


def test_reverse_neighbours_of_many_images_keep_a_sample():
    rows, _ = rows_of(0, 300, 5)
    sample = ReverseNeighbours(k=12, m=4, most_rows=100).fit(table_of(rows), seed=3)
    own = sample.tensors()["own"]
    kept = (own >= 0).nonzero()[:, 0]
    assert len(kept) == 100
    assert kept.max() > 250, "drawn from the whole table"
    alone = ReverseNeighbours(k=12, m=4).fit(table_of(rows[kept]))
    fresh, _ = rows_of(1, 15, 5)
    got, want = (e.score(passed(fresh))["representation"] for e in (sample, alone))
    assert torch.equal(got, want)
    scored = sample.score_own(table_of(rows))["representation"]
    assert torch.equal(scored[kept], alone.score_own(table_of(rows[kept]))["representation"])
    others = (own < 0).nonzero()[:, 0]
    assert torch.equal(scored[others], alone.score(passed(rows[others]))["representation"])


def test_approximate_index_finds_nearly_the_same_distances_in_half_the_memory():
    pytest.importorskip("faiss")
    rows, _ = rows_of(0, 6000, 16)
    queries, _ = rows_of(0, 200, 16)
    exact = NearestNeighbours(k=10).fit(table_of(rows))
    near = NearestNeighbours(k=10, index="approximate").fit(table_of(rows), seed=1)
    want, got = (e.score(passed(queries))["epistemic"] for e in (exact, near))
    assert float(((got - want) / want).abs().median()) < 2e-3
    assert float((got / want).max()) < 1.25
    assert float((got / want).min()) > 0.99, "an approximate neighbour is never nearer"
    assert stats.spearmanr(got, want).statistic > 0.99
    same = NearestNeighbours(k=10, index="approximate").fit(table_of(rows), seed=1)
    assert torch.equal(same.score(passed(queries))["epistemic"], got)
    assert near.tensors()["bank"].dtype == torch.float16
    own = near.score_own(table_of(rows))["epistemic"]
    assert float(((own / exact.score_own(table_of(rows))["epistemic"]) - 1).abs().median()) < 2e-3


def test_approximate_index_visits_all_cells_where_its_own_are_too_few():
    pytest.importorskip("faiss")
    rows, _ = rows_of(0, 3000, 4)
    queries, _ = rows_of(1, 20, 4)
    k = 2900
    want = NearestNeighbours(k=k).fit(table_of(rows)).score(passed(queries))["epistemic"]
    near = NearestNeighbours(k=k, index="approximate").fit(table_of(rows))
    np.testing.assert_allclose(near.score(passed(queries))["epistemic"], want, rtol=5e-3)


# ---- Gaussians -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(200, 4), (25, 40), (3, 6), (60, 2)])
def test_shrunk_gaussian_is_sklearns_ledoit_wolf_and_scipys_density(n, d):
    rows, _ = rows_of(2, n, d)
    x = rows.astype(np.float64)
    covariance, share = sklearn_ledoit_wolf(x)
    fitted = fit_gaussians(torch.from_numpy(rows), everyone(n), tied=False)
    assert float(fitted.shrinkages[0]) == pytest.approx(share, abs=1e-12)
    want = stats.multivariate_normal(x.mean(axis=0), covariance).logpdf(x)
    np.testing.assert_allclose(fitted.log_joint(torch.from_numpy(x))[:, 0], want, rtol=1e-9)


def test_weighted_ledoit_wolf_and_scatter_are_the_slow_sums():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(30, 5)), rng.uniform(0.1, 1, size=30)
    mean = w @ x / w.sum()
    c = x - mean
    s = sum(wi * np.outer(ci, ci) for wi, ci in zip(w, c, strict=True)) / w.sum()
    delta = np.linalg.norm(s - np.trace(s) / 5 * np.eye(5)) ** 2
    b = sum(wi**2 * np.linalg.norm(np.outer(ci, ci) - s) ** 2 for wi, ci in zip(w, c, strict=True))
    group = [((torch.arange(30), torch.from_numpy(w)), torch.from_numpy(mean))]
    centred = CentredRows(torch.from_numpy(x), group)
    np.testing.assert_allclose(scatter(centred), s, rtol=1e-12)
    got = ledoit_wolf(centred, torch.from_numpy(s))
    assert got == pytest.approx(b / w.sum() ** 2 / delta, rel=1e-12)
    assert 0 < got < 1


def test_jitter_is_added_only_where_the_covariance_is_singular():
    rows, _ = rows_of(0, 6, 10)
    singular = fit_gaussians(torch.from_numpy(rows), everyone(6), tied=False, shrinkage=0.0)
    regular = fit_gaussians(
        torch.from_numpy(rows_of(0, 600, 10)[0]), everyone(600), tied=False, shrinkage=0.0
    )
    assert float(regular.ridges[0]) == 0
    assert float(singular.ridges[0]) > 0
    assert torch.isfinite(singular.whiteners).all()


def test_a_class_of_equal_images_gets_a_narrow_gaussian_not_an_error():
    rows, labels = rows_of(0, 90, 4)
    rows[labels == 1] = rows[labels == 1][0]
    fitted = ClassGaussians().fit(table_of(rows, labels))
    got = fitted.score(passed(rows))["representation"]
    assert torch.isfinite(got).all()
    assert got[labels == 1].min() > got[labels != 1].max()


@pytest.mark.parametrize("covariance", ["full", "tied"])
@pytest.mark.parametrize(("n", "d"), [(300, 5), (30, 12)])
def test_ddu_is_the_log_of_the_mixture_with_priors(covariance, n, d):
    rows, labels = rows_of(3, n, d)
    labels[: n // 2] = 0  # classes of different sizes
    x = rows.astype(np.float64)
    parts = [x[labels == c] for c in range(3)]
    centred = np.concatenate([part - part.mean(axis=0) for part in parts])
    pooled, _ = sklearn_ledoit_wolf(centred, assume_centered=True)
    joint = [
        math.log(len(part) / n)
        + stats.multivariate_normal(
            part.mean(axis=0), pooled if covariance == "tied" else sklearn_ledoit_wolf(part)[0]
        ).logpdf(x)
        for part in parts
    ]
    want = special.logsumexp(joint, axis=0)
    got = ClassGaussians(covariance=covariance).fit(table_of(rows, labels)).score(passed(rows))
    np.testing.assert_allclose(got["representation"], want, rtol=1e-8)
    np.testing.assert_array_equal(got["epistemic"], -got["representation"])


def test_ddu_leaves_unlabelled_images_out_of_the_fit():
    rows, labels = rows_of(3, 90, 4)
    strange = np.concatenate([rows, 100 + rows[:20]])
    known = ClassGaussians().fit(table_of(rows, labels))
    both = ClassGaussians().fit(table_of(strange, np.concatenate([labels, np.full(20, -1)])))
    np.testing.assert_allclose(
        both.score(passed(rows))["representation"], known.score(passed(rows))["representation"]
    )


def refitted(rows, labels, left, *, shares, ridges, tied):
    """The joint log-densities of one row, everything computed anew without it."""
    kept = np.arange(len(rows)) != left
    x, y = rows[kept], labels[kept]
    classes = np.unique(labels)
    covariances = [np.cov(x[y == c].T, bias=True) for c in classes]
    if tied:
        pooled = sum(c * (y == k).sum() for c, k in zip(covariances, classes, strict=True)) / len(x)
        covariances = [pooled] * len(classes)
        shares, ridges = np.repeat(shares, len(classes)), np.repeat(ridges, len(classes))
    return [
        math.log((y == c).mean())
        + stats.multivariate_normal(
            x[y == c].mean(axis=0),
            (1 - shares[i]) * covariances[i] + ridges[i] * np.eye(x.shape[1]),
        ).logpdf(rows[left])
        for i, c in enumerate(classes)
    ]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("n", "d"), [(90, 4), (24, 15)])
def test_a_row_left_out_in_closed_form_equals_a_fit_without_it(tied, n, d):
    rows, labels = rows_of(5, n, d)
    members = of_classes(labels)
    fitted = fit_gaussians(torch.from_numpy(rows), members, tied=tied)
    got = left_out_log_joint(torch.from_numpy(rows), members, fitted)
    for left in range(0, n, 7):
        want = refitted(
            rows.astype(np.float64),
            labels,
            left,
            shares=fitted.shrinkages.numpy(),
            ridges=fitted.ridges.numpy(),
            tied=tied,
        )
        np.testing.assert_allclose(got[left], want, rtol=1e-7)


def test_part_of_a_row_left_out_equals_a_weighted_fit_without_it():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(40, 3)), rng.uniform(0.05, 1, size=40)
    members = [
        (torch.arange(40), torch.from_numpy(w)),
        (torch.arange(40), torch.from_numpy(1 - w)),
    ]
    fitted = fit_gaussians(torch.from_numpy(x), members, tied=False)
    got = left_out_log_joint(torch.from_numpy(x), members, fitted)
    for left in (0, 11):
        kept = np.arange(40) != left
        for index, weight in enumerate((w, 1 - w)):
            mean = np.average(x[kept], axis=0, weights=weight[kept])
            covariance = np.cov(x[kept].T, aweights=weight[kept], ddof=0)
            share, ridge = float(fitted.shrinkages[index]), float(fitted.ridges[index])
            shrunk = (1 - share) * covariance + ridge * np.eye(3)
            want = math.log(weight[kept].sum() / 39) + stats.multivariate_normal(
                mean, shrunk
            ).logpdf(x[left])
            assert float(got[left, index]) == pytest.approx(want, rel=1e-9)


def test_a_lone_image_left_out_of_its_component_leaves_nothing_there():
    rows = torch.cat([torch.zeros(1, 2), 5 + torch.from_numpy(rows_of(0, 30, 2)[0])])
    members = [
        (torch.arange(1), torch.ones(1, dtype=torch.float64)),
        (torch.arange(1, 31), torch.ones(30, dtype=torch.float64)),
    ]
    for tied in (True, False):
        fitted = fit_gaussians(rows, members, tied=tied)
        got = left_out_log_joint(rows, members, fitted)
        assert got[0, 0] == -torch.inf
        assert torch.isfinite(got[0, 1])
        assert torch.isfinite(got[1:]).all()


@pytest.mark.parametrize("tied", [False, True])
def test_mixture_without_shrinkage_is_sklearns(tied):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=(300, 3)) * 0.7 + c for c in (0, 6, -7)])
    slow = GaussianMixture(
        3, covariance_type="tied" if tied else "full", tol=1e-9, reg_covar=0, random_state=0
    ).fit(x)
    mine = fit_mixture(torch.from_numpy(x), components=3, tied=tied, shrinkage=0.0)
    np.testing.assert_allclose(
        mine.gaussians.log_joint(torch.from_numpy(x)).logsumexp(dim=1),
        slow.score_samples(x),
        atol=2e-2,
    )
    assert mine.log_likelihood == pytest.approx(slow.score(x), abs=1e-4)
    assert mine.bic == pytest.approx(slow.bic(x), rel=1e-4)


def test_bic_finds_the_number_of_components():
    rng = np.random.default_rng(0)
    for true in (1, 2, 5):
        centres = rng.normal(size=(true, 3)) * 12
        x = (centres[np.arange(1500) % true] + rng.normal(size=(1500, 3))).astype(np.float32)
        assert len(GaussianMixtureDensity().fit(table_of(x)).gaussians.means) == true


# ---- RMDS and ViM --------------------------------------------------------------------------------


def test_rmds_is_the_difference_of_two_mahalanobis_distances():
    rows, labels = rows_of(4, 200, 6)
    queries = rows_of(9, 30, 6)[0].astype(np.float64)
    x = rows.astype(np.float64)
    centred = np.concatenate([x[labels == c] - x[labels == c].mean(axis=0) for c in range(3)])
    within = np.linalg.inv(sklearn_ledoit_wolf(centred, assume_centered=True)[0])
    total = np.linalg.inv(sklearn_ledoit_wolf(x)[0])
    want = []
    for q in queries:
        gaps = [q - x[labels == c].mean(axis=0) for c in range(3)]
        everything = q - x.mean(axis=0)
        want.append(min(g @ within @ g for g in gaps) - everything @ total @ everything)
    estimator = RelativeMahalanobis().fit(table_of(rows, labels))
    got = estimator.score(passed(queries.astype(np.float32)))["epistemic"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def head_and_logits(rows, *, classes=3, seed=0, shift=20.0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(classes, rows.shape[1])).astype(np.float32)
    bias = (rng.normal(size=classes) + shift).astype(np.float32)
    head = Head(layer="h", weight=torch.from_numpy(weight), bias=torch.from_numpy(bias))
    return head, rows @ weight.T + bias


def test_vim_is_the_papers_recipe():
    rows, labels = rows_of(4, 200, 9)
    queries, _ = rows_of(8, 25, 9)
    head, logits = head_and_logits(rows)
    query_logits = queries @ head.weight.numpy().T + head.bias.numpy()
    weight, bias = head.weight.numpy().astype(np.float64), head.bias.numpy().astype(np.float64)
    origin = -np.linalg.pinv(weight) @ bias
    _, _, directions = np.linalg.svd(rows - origin, full_matrices=True)
    outside = directions[4:].T  # 9 features: 4 directions are kept
    alpha = logits.max(axis=1).mean() / np.linalg.norm((rows - origin) @ outside, axis=1).mean()
    residual = np.linalg.norm((queries - origin) @ outside, axis=1)
    want = alpha * residual - special.logsumexp(query_logits.astype(np.float64), axis=1)
    estimator = VirtualLogit().fit(table_of(rows, labels, logits), head=head)
    got = estimator.score(passed(queries, query_logits))["epistemic"]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


# ---- histograms ----------------------------------------------------------------------------------


def slow_shares(rows, bins, alpha):
    """Per feature: log share of the bin of each row, and the same for other rows."""
    tables = []
    for column in rows.T:
        counts, edges = np.histogram(column, bins=bins)
        edges = edges.copy()
        edges[0], edges[-1] = -np.inf, np.inf
        tables.append((edges, (counts / len(rows) + alpha) / (1 + bins * alpha)))

    def log_shares(x):
        found = np.empty(x.shape)
        for i, row in enumerate(x):
            for d, (edges, shares) in enumerate(tables):
                place = max(b for b in range(bins) if row[d] >= edges[b])
                found[i, d] = math.log(shares[place])
        return found

    return log_shares


@pytest.mark.parametrize("bins", [2, 5, 10])
def test_histogram_is_the_slow_loop_for_both_rules(bins):
    rows = rows_of(0, 120, 6)[0].astype(np.float64)
    queries = 3 * rows_of(1, 40, 6)[0].astype(np.float64)  # many beyond the range
    log_shares = slow_shares(rows, bins, 1e-8)
    estimator = Histogram(num_bins=bins).fit(table_of(rows))
    got = estimator.score(passed(queries))["representation"]
    np.testing.assert_allclose(got, log_shares(queries).sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(
        estimator.per_dimension(torch.from_numpy(queries)), log_shares(queries), rtol=1e-9
    )
    for alpha in (1e-3, 0.5):
        log_shares = slow_shares(rows, bins, alpha)
        fitted_inverse = np.exp(-log_shares(rows))
        weights = np.exp(-log_shares(queries)) / fitted_inverse.mean(axis=0)
        lab = Histogram(num_bins=bins, rule="max", alpha=alpha).fit(table_of(rows))
        got = lab.score(passed(queries))["representation"]
        np.testing.assert_allclose(got, -np.log(weights.max(axis=1)), rtol=1e-9, atol=1e-12)


def test_the_labs_weights_come_back_from_the_max_rule():
    """p(i) = max_k p_k(i), p_k(i) = 1 / h_k normalised over the images: the seed's own step."""
    rows = rows_of(0, 200, 5)[0].astype(np.float64)
    each = np.exp(-slow_shares(rows, 10, 1e-3)(rows))
    p = (each / each.sum(axis=0)).max(axis=1)
    lab = Histogram(num_bins=10, rule="max").fit(table_of(rows))
    score = lab.score(passed(rows))["representation"].numpy()
    np.testing.assert_allclose(np.exp(-score) / np.exp(-score).sum(), p / p.sum(), rtol=1e-9)


def test_histogram_of_a_hundred_features_does_not_underflow():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 400))
    got = Histogram().fit(table_of(rows)).score(passed(rows))["representation"].numpy()
    assert got.max() < -300, "as a product, this is 0 in float32"
    assert len(np.unique(got)) == 500
    constant = np.concatenate([rows, np.ones((500, 7))], axis=1)
    same = Histogram().fit(table_of(constant)).score(passed(constant))["representation"]
    np.testing.assert_allclose(same, got, atol=1e-3)  # features that are all equal say nothing


def test_a_queue_is_a_sample_without_zeros_in_it():
    rows = np.concatenate([np.full((50, 2), 10.0), np.full((50, 2), 11.0)]) + np.linspace(
        0, 0.5, 100
    ).reshape(-1, 1)
    estimator = Histogram(queue_size=40).fit(table_of(rows), seed=3)
    assert float(estimator.tensors()["edges"].min()) > 10, "no zero has widened the range"
    shares = estimator.tensors()["shares"]
    np.testing.assert_allclose(shares.sum(dim=1), 1)
    np.testing.assert_allclose(shares * 40, (shares * 40).round(), atol=1e-9)
    half = float(shares[0, -2:].sum())
    assert 0.2 < half < 0.8, "drawn from the whole table, not from its end"
