"""RISE against a slow copy, and against its expectation on a linear model."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from sundog.explain.rise import draw_masks, rise, rise_with_error
from sundog.models.classifier import Classifier


def make_images(count: int, height: int, width: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(3)
    return torch.rand(count, 3, height, width, generator=source, dtype=torch.float64)


def make_classifier() -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)
        )
    return Classifier(network, mean=(0.5,) * 3, std=(0.25,) * 3).double()


def slow_mask(grid: torch.Tensor, cell: tuple[int, int], shift, size) -> torch.Tensor:
    """Bilinear enlargement with half-pixel centres, written out pixel by pixel."""
    down, across = grid.shape
    tall, wide = (down + 1) * cell[0], (across + 1) * cell[1]
    mask = torch.zeros(size, dtype=torch.float64)
    for y in range(size[0]):
        for x in range(size[1]):
            v = min(max((y + shift[0] + 0.5) * down / tall - 0.5, 0), down - 1)
            h = min(max((x + shift[1] + 0.5) * across / wide - 0.5, 0), across - 1)
            v0, h0 = math.floor(v), math.floor(h)
            v1, h1 = min(v0 + 1, down - 1), min(h0 + 1, across - 1)
            top = (1 - (h - h0)) * grid[v0, h0] + (h - h0) * grid[v0, h1]
            bottom = (1 - (h - h0)) * grid[v1, h0] + (h - h0) * grid[v1, h1]
            mask[y, x] = (1 - (v - v0)) * top + (v - v0) * bottom
    return mask


def test_masks_equal_the_slow_enlargement():
    masks = draw_masks((11, 14), n_samples=4, grid=(3, 4), keep=0.5, seed=7)
    assert masks.cell == (4, 4)
    like = torch.zeros(1, dtype=torch.float64)
    made = masks.make(torch.arange(4), like)[:, 0]
    for k in range(4):
        expected = slow_mask(masks.grids[k, 0], masks.cell, masks.shifts[k].tolist(), (11, 14))
        torch.testing.assert_close(made[k], expected, rtol=0, atol=1e-6)
    assert bool(((masks.grids == 0) | (masks.grids == 1)).all())
    assert bool((masks.shifts >= 0).all())
    assert bool((masks.shifts < 4).all())


def test_map_and_error_equal_a_slow_copy():
    classifier, images = make_classifier(), make_images(2, 10, 12)
    found = rise_with_error(
        classifier, images, n_samples=20, grid=3, keep=0.4, baseline=0.3, seed=5
    )
    masks = draw_masks((10, 12), n_samples=20, grid=3, keep=0.4, seed=5)
    target = classifier.predict(images).argmax(1)
    terms = []
    for k in range(20):
        mask = masks.make(torch.tensor([k]), images)
        shown = images * mask + 0.3 * (1 - mask)
        score = classifier.predict(shown).softmax(1).gather(1, target[:, None])[:, 0]
        terms.append(score[:, None, None] * mask[:, 0] / 0.4)
    stacked = torch.stack(terms)
    torch.testing.assert_close(found.maps, stacked.mean(0), rtol=0, atol=1e-12)
    error = stacked.std(0) / math.sqrt(20)
    torch.testing.assert_close(found.standard_error, error, rtol=1e-7, atol=1e-9)


def test_expectation_on_a_linear_model():
    """E[f(x M) M_i] / p = (b p + sum_j a_j E[M_j M_i]) / p, with E by enumeration of the shifts."""
    size, cells, keep = (6, 8), (2, 3), 0.3
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 48, 2)).double()
    with torch.no_grad():
        source = torch.Generator().manual_seed(0)
        network[1].weight.copy_(torch.randn(2, 144, generator=source))
        network[1].bias.fill_(0.7)
    classifier, images = Classifier(network), make_images(1, *size)
    cell = (3, 3)
    basis = torch.eye(6, dtype=torch.float64).reshape(6, 1, *cells)
    large = F.interpolate(basis, size=(9, 12), mode="bilinear", align_corners=False)[:, 0]
    second = torch.zeros(48, 48, dtype=torch.float64)
    for top in range(cell[0]):
        for left in range(cell[1]):
            weight = large[:, top : top + 6, left : left + 8].reshape(6, 48)
            spread = weight.T @ weight
            mean = weight.sum(0)
            second += (keep - keep**2) * spread + keep**2 * mean[:, None] * mean
    second /= cell[0] * cell[1]
    share = (images[0] * network[1].weight[1].reshape(3, *size)).sum(0).flatten().detach()
    expected = (0.7 * keep + second @ share) / keep
    found = rise_with_error(
        classifier, images, 1, n_samples=4000, grid=cells, keep=keep, output="logit"
    )
    z = (found.maps[0].flatten() - expected) / found.standard_error[0].flatten()
    # 48 correlated standard normal variables: |z| > 4.5 has probability 3e-4 in all.
    assert float(z.abs().max()) < 4.5
    assert float(found.standard_error.max()) < 0.1 * float(expected.std() + 1)
    assert float(z.abs().max()) > 0.05


def test_same_masks_for_every_image_and_batch():
    classifier, images = make_classifier(), make_images(3, 10, 10)
    together = rise(classifier, images, n_samples=30, grid=3, seed=2)
    alone = torch.cat([rise(classifier, one[None], n_samples=30, grid=3, seed=2) for one in images])
    tight = rise(classifier, images, n_samples=30, grid=3, seed=2, budget=1)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-13)
    torch.testing.assert_close(tight, together, rtol=0, atol=1e-13)
    twin = rise(classifier, images[:1].expand(2, -1, -1, -1), n_samples=30, grid=3, seed=2)
    assert torch.equal(twin[0], twin[1])
    other = rise(classifier, images, n_samples=30, grid=3, seed=3)
    assert float((other - together).abs().max()) > 1e-4


def test_the_global_generator_is_not_touched():
    classifier, images = make_classifier(), make_images(1, 9, 9)
    before = torch.get_rng_state()
    rise(classifier, images, n_samples=5, grid=3)
    assert torch.equal(torch.get_rng_state(), before)
