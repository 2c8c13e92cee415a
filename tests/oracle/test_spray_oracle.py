"""SpRAy's parts against slow and independent versions of each."""

import numpy as np
import pytest
import torch
from scipy import linalg
from scipy.spatial.distance import cdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sundog.bias import spray_graph
from sundog.bias.spray_features import free_features, hottest_windows, pool_maps, window_sums
from sundog.bias.spray_graph import assign, embed, neighbour_graph, separabilities
from sundog.bias.spray_null import blended, step_down_maximum


def three_groups(seed, sizes=(30, 40, 30), far=6.0):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(3, 12)) * far
    labels = np.repeat([0, 1, 2], sizes)
    return centres[labels] + random.normal(size=(len(labels), 12)), labels


def slow_laplacian(points, neighbours):
    """One loop per point over sorted distances; nothing shared with the code under test."""
    n = len(points)
    distance = cdist(points, points)
    links = np.zeros((n, n))
    for i in range(n):
        others = [j for j in np.argsort(distance[i], kind="stable") if j != i]
        links[i, others[:neighbours]] = 1
    links = (links + links.T) / 2
    root = np.diag(1 / np.sqrt(links.sum(axis=1)))
    return links, np.eye(n) - root @ links @ root


@pytest.mark.parametrize("dense", [10_000, 0])
def test_the_graph_and_its_eigenvalues(dense, monkeypatch):
    monkeypatch.setattr(spray_graph, "DENSE", dense)
    points, _ = three_groups(0, far=0.4)
    links, laplacian = slow_laplacian(points, 7)
    graph = neighbour_graph(points, 7)
    np.testing.assert_array_equal(graph.toarray(), links)
    found = embed(graph)
    values, vectors = linalg.eigh(laplacian)
    np.testing.assert_allclose(found.values, values[:9], atol=1e-9)
    gaps = np.diff(values[:8])[1:]
    assert found.clusters == 2 + gaps.argmax()
    assert found.gap == pytest.approx(gaps.max())
    overlap = np.linalg.svd(vectors[:, : found.clusters].T @ found.vectors)[1]
    np.testing.assert_allclose(overlap, 1, atol=1e-7)


@pytest.mark.parametrize("dense", [10_000, 0])
def test_a_graph_in_pieces_has_an_eigenvalue_zero_for_each(dense, monkeypatch):
    monkeypatch.setattr(spray_graph, "DENSE", dense)
    points, labels = three_groups(1, far=30)
    found = embed(neighbour_graph(points, 6))
    np.testing.assert_allclose(found.values[:3], 0, atol=1e-9)
    assert found.clusters == 3
    groups = assign(found)
    assert len({(a, b) for a, b in zip(groups, labels, strict=True)}) == 3


def test_tau_is_fishers_criterion_of_linear_discriminant_analysis():
    random = np.random.default_rng(2)
    rows = random.normal(size=(60, 3)) + np.repeat([[0, 0, 0], [2, 1, 0]], [20, 40], axis=0)
    labels = np.repeat([0, 1], [20, 40])
    tau = separabilities(rows, labels, smallest=5)
    direction = LinearDiscriminantAnalysis(solver="eigen").fit(rows, labels).scalings_[:, 0]
    along = rows @ direction
    one, two = along[labels == 0], along[labels == 1]
    within = (20 * one.var() + 40 * two.var()) / 60
    assert tau == pytest.approx([(one.mean() - two.mean()) ** 2 / within] * 2, rel=1e-4)
    assert separabilities(rows, labels, smallest=21).tolist() == [0, 0]


def test_pooling_is_the_mean_over_the_area_of_a_cell():
    random = np.random.default_rng(3)
    maps = random.normal(size=(2, 12, 15)).astype(np.float32)
    square = torch.from_numpy(maps[:, :, :12])
    even = torch.nn.functional.adaptive_avg_pool2d(square[:, None], 4)[:, 0]
    np.testing.assert_allclose(pool_maps(square.numpy(), 4), even, atol=1e-6)
    fine = maps.repeat(5, axis=1).repeat(5, axis=2)  # 60 x 75: 5 x 5 cells fall on whole pixels
    whole = fine.reshape(2, 5, 12, 5, 15).mean(axis=(2, 4))
    np.testing.assert_allclose(pool_maps(maps, 5), whole, atol=1e-6)
    assert pool_maps(maps, 99).tolist() == maps.tolist()


def test_the_hottest_window_and_what_is_cut_out():
    random = np.random.default_rng(4)
    shares = random.random((3, 9, 11)).astype(np.float32)
    slow = np.array(
        [[[m[r : r + 2, c : c + 3].sum() for c in range(9)] for r in range(8)] for m in shares]
    )
    np.testing.assert_allclose(window_sums(shares, 2, 3), slow, rtol=1e-5)
    spot = np.zeros((2, 20, 20))
    pattern = random.random((3, 3)) + 0.5
    spot[0, 0:3, 17:20], spot[1, 8:11, 5:8] = pattern, pattern
    top, left = hottest_windows(spot, 3)
    assert (top.tolist(), left.tolist()) == ([0, 8], [17, 5])
    here, there = free_features(spot, grid=20, spot=0.15)
    np.testing.assert_allclose(here, there, atol=1e-6)
    assert here.sum() == pytest.approx(1, abs=1e-5)


def test_blends_keep_mean_and_covariance_and_fill_the_gaps():
    random = np.random.default_rng(5)
    points = np.repeat([[0.0, 0.0], [8.0, 4.0]], [300, 300], axis=0) + random.normal(size=(600, 2))
    many = np.concatenate([blended(points, random) for _ in range(40)])
    np.testing.assert_allclose(many.mean(axis=0), points.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(many.T), np.cov(points.T), rtol=0.06)
    between = [np.mean((x[:, 0] > 3) & (x[:, 0] < 5)) for x in (points, many)]
    assert between[0] < 0.01
    assert between[1] > 0.1


def test_the_correction_is_the_step_down_maximum():
    random = np.random.default_rng(6)
    observed = np.array([3.0, 0.2, 9.0])
    null = random.normal(size=(39, 3)) * [1, 2, 3]
    both = np.vstack([observed, null])
    z = (both - both.mean(axis=0)) / both.std(axis=0)
    order = sorted(range(3), key=lambda c: -z[0, c])
    expected, floor = [0.0] * 3, 0.0
    for step, index in enumerate(order):
        left = order[step:]
        above = sum(max(z[b, c] for c in left) >= z[0, index] for b in range(1, 40))
        floor = max(floor, (1 + above) / 40)
        expected[index] = floor
    assert step_down_maximum(observed, null).tolist() == pytest.approx(expected)
