"""Traversals, densities and accuracy by latent against slow re-implementations."""

import numpy as np
import pytest
import torch
from scipy import stats

from sundog.core.errors import InputError
from sundog.risk.latent_traversal import accuracy_by_latent, latent_density, latent_traversal


def codes(count=200, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 4)) * [1, 3, 0, 0.5] + [0, 1, 2, -1]


def painted(latent):
    """An image whose pixel k is latent k."""
    return torch.stack([torch.stack([row.reshape(2, 2)] * 3) for row in latent]).sigmoid()


def test_a_traversal_moves_one_latent_from_minus_to_plus_three_deviations():
    mu = codes()
    found = latent_traversal(painted, mu)
    assert found.latents.tolist() == [1, 0, 3]  # by spread; the constant one has no row
    assert found.grid.shape == (3, 15, 2, 2, 3)
    for row, latent in enumerate(found.latents):
        mean, sd = mu[:, latent].mean(), mu[:, latent].std(ddof=1)
        np.testing.assert_allclose(
            found.values[row], [mean + sd * 3 * (i - 7) / 7 for i in range(15)], rtol=1e-9
        )
        for step in range(15):
            vector = mu.mean(axis=0)
            vector[latent] = found.values[row, step]
            expected = 1 / (1 + np.exp(-vector.reshape(2, 2)))
            np.testing.assert_allclose(found.grid[row, step, :, :, 1], expected, rtol=1e-5)
    np.testing.assert_allclose(found.grid[:, 7] - found.grid[0, 7], 0, atol=1e-6)
    chosen = latent_traversal(painted, mu, latents=[3, 2, 0], steps=3, reach=1)
    assert chosen.latents.tolist() == [3, 0]
    assert latent_traversal(painted, mu, most=1).latents.tolist() == [1]


def test_densities_count_every_image_and_integrate_to_one():
    mu = codes()
    found = latent_density(mu, bins=7)
    assert (found.counts.sum(axis=1) == 200).all()
    np.testing.assert_allclose((found.density * np.diff(found.edges, axis=1)).sum(axis=1), 1)
    for k in (0, 1, 3):
        low, high = mu[:, k].min(), mu[:, k].max()
        slow = [0] * 7
        for value in mu[:, k]:
            slow[min(6, int((value - low) / (high - low) * 7))] += 1
        assert found.counts[k].tolist() == slow


def test_accuracy_by_latent_equals_a_slow_count():
    mu, random = codes(), np.random.default_rng(1)
    correct = random.random(200) < 0.8
    found = accuracy_by_latent(mu, correct, bins=5)
    for k in (0, 1, 3):
        low, high = np.quantile(mu[:, k], [0.05, 0.95])
        for b in range(5):
            left, right = low + b * (high - low) / 5, low + (b + 1) * (high - low) / 5
            inside = [
                bool(c)
                for v, c in zip(mu[:, k], correct, strict=True)
                if left <= v < right or (b == 4 and v == right)
            ]
            assert found.counts[k, b] == len(inside)
            assert found.share[k, b] == len(inside) / 200
            assert found.accuracy[k, b] == pytest.approx(np.mean(inside))
            ends = stats.binomtest(sum(inside), len(inside)).proportion_ci(method="wilson")
            assert found.low[k, b] == pytest.approx(ends.low, abs=1e-9)
            assert found.high[k, b] == pytest.approx(ends.high, abs=1e-9)
    # The constant latent has all its images in the bin in the middle, and counts there alone.
    assert found.counts[2].tolist() == [0, 0, 200, 0, 0]
    assert found.accuracy[2, 2] == pytest.approx(correct.mean())
    assert np.isnan(found.accuracy[2, 0])
    assert found.mean_accuracy[0] == pytest.approx(found.accuracy[[0, 1, 3], 0].mean())
    assert found.mean_accuracy[2] == pytest.approx(found.accuracy[:, 2].mean())
    assert found.mean_share[2] == pytest.approx(found.share[:, 2].mean())


def test_a_planted_weakness_at_rare_values_is_seen_and_a_null_world_is_flat():
    random = np.random.default_rng(2)
    mu = random.normal(size=(6000, 3))
    weak = random.random(6000) < np.where(np.abs(mu[:, 0]) > 1.2, 0.5, 0.95)
    found = accuracy_by_latent(mu, weak)
    assert found.accuracy[0, [0, -1]].max() < 0.6 < 0.9 < found.accuracy[0, 6:8].min()
    assert found.counts[0, [0, -1]].max() < found.counts[0, 6:8].min()
    flat = accuracy_by_latent(mu, random.random(6000) < 0.8)
    inside = (flat.low <= 0.8) & (flat.high >= 0.8)
    assert inside.mean() > 0.85


def test_bad_input():
    mu = codes()
    with pytest.raises(InputError, match="NaN or infinity in 1 of 200"):
        latent_density(np.where(np.arange(800).reshape(200, 4) == 5, np.nan, mu))
    with pytest.raises(InputError, match="collapsed"):
        latent_traversal(painted, np.ones((5, 4)))
    for call, message in (
        (lambda: latent_traversal(painted, mu, steps=1), "steps"),
        (lambda: latent_traversal(painted, mu, most=0), "most"),
        (lambda: latent_traversal(painted, mu, reach=0), "reach"),
        (lambda: latent_traversal(painted, mu, latents=[4]), r"0..3"),
        (lambda: latent_density(mu[:1]), "two images"),
        (lambda: latent_density(mu, bins=0), "bins"),
        (lambda: accuracy_by_latent(mu, np.ones(200)), "one bool per image"),
        (lambda: accuracy_by_latent(mu, np.ones(3, dtype=bool)), "one bool per image"),
        (lambda: accuracy_by_latent(mu, np.ones(200, dtype=bool), bins=0), "bins"),
        (lambda: accuracy_by_latent(mu, np.ones(200, dtype=bool), tail=0.5), "tail"),
    ):
        with pytest.raises(InputError, match=message):
            call()
