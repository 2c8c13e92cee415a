"""Noisy linear imputation against a dense solve, pixel by pixel."""

import numpy as np
import pytest
import torch

from sundog.faithfulness.deletion import deletion
from sundog.faithfulness.fills import make_substrate
from sundog.faithfulness.imputation import NOISE, imputation_noise, impute_noisy_linear
from sundog.models.classifier import Classifier


def _dense(image, keep):
    """image [3, h, w] numpy, keep [h, w]; the equations written out one by one."""
    _, h, w = image.shape
    removed = [(y, x) for y in range(h) for x in range(w) if not keep[y, x]]
    place = {pixel: k for k, pixel in enumerate(removed)}
    matrix, right = np.zeros((len(removed),) * 2), np.zeros((len(removed), 3))
    for (y, x), k in place.items():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                q = (y + dy, x + dx)
                if (dy, dx) == (0, 0) or not (0 <= q[0] < h and 0 <= q[1] < w):
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                matrix[k, k] += weight
                if q in place:
                    matrix[k, place[q]] -= weight
                else:
                    right[k] += weight * image[:, q[0], q[1]]
    result = image.copy()
    for (y, x), value in zip(removed, np.linalg.solve(matrix, right), strict=True):
        result[:, y, x] = value
    return result


def _images(n, h, w, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, h, w, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize(("h", "w"), [(6, 9), (1, 8), (5, 1), (2, 2)])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_equals_the_dense_solution_on_rgb(h, w, share):
    images = _images(3, h, w)
    keep = torch.rand(3, h, w, generator=torch.Generator().manual_seed(1)) > share
    keep[:, 0, 0] = True
    got = impute_noisy_linear(images, keep, torch.zeros_like(images))
    for k in range(3):
        want = _dense(images[k].numpy(), keep[k].numpy())
        assert got[k].numpy() == pytest.approx(want, abs=1e-12)


def test_a_hole_in_a_plane_is_filled_with_the_plane():
    y, x = torch.meshgrid(torch.linspace(0, 1, 9), torch.linspace(0, 1, 7), indexing="ij")
    plane = torch.stack([0.3 * x, 0.5 * y, 0.1 + 0.2 * x + 0.4 * y])[None].double()
    keep = torch.ones(1, 9, 7, dtype=torch.bool)
    keep[0, 2:6, 2:5] = False
    got = impute_noisy_linear(plane, keep, torch.zeros_like(plane))
    assert torch.allclose(got, plane, atol=1e-12)


def test_noise_is_small_belongs_to_the_image_and_touches_removed_pixels_only():
    images = _images(4, 60, 60)
    noise = imputation_noise(images, seed=3)
    assert float(noise.std()) == pytest.approx(NOISE, rel=0.02)
    alone = torch.cat([imputation_noise(image[None], seed=3) for image in images])
    assert torch.equal(noise, alone)
    assert torch.equal(noise.flip(0), imputation_noise(images.flip(0), seed=3))
    assert not torch.equal(noise, imputation_noise(images, seed=4))
    keep = torch.rand(4, 60, 60, generator=torch.Generator().manual_seed(2)) > 0.3
    got = impute_noisy_linear(images, keep, noise)
    clean = impute_noisy_linear(images, keep, torch.zeros_like(noise))
    kept = keep[:, None].expand_as(images)
    assert torch.equal(got[kept], images[kept])
    assert torch.allclose((got - clean)[~kept], noise[~kept], atol=1e-12)


def test_nothing_removed_and_everything_removed_are_defined():
    images = _images(2, 4, 5)
    noise = imputation_noise(images, seed=0)
    every = torch.ones(2, 4, 5, dtype=torch.bool)
    assert torch.equal(impute_noisy_linear(images, every, noise), images)
    mean = images.mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(impute_noisy_linear(images, ~every, noise), mean + noise, atol=1e-12)


def test_the_curve_uses_the_imputed_images_over_several_batches():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 6 * 5, 3)).double()
    with torch.no_grad():
        rng = torch.Generator().manual_seed(9)
        net[1].weight.copy_(torch.randn(3, 90, generator=rng, dtype=torch.float64))
    classifier, images = Classifier(net).double(), _images(5, 6, 5)
    maps = torch.rand(5, 6, 5, generator=torch.Generator().manual_seed(6))
    got = deletion(classifier, images, maps, steps=4, fill="noisy_linear", seed=8)
    noise = imputation_noise(images, seed=8)
    for k in range(5):
        order = np.argsort(maps[k].flatten().numpy(), kind="stable")[::-1]
        target = int(classifier.predict(images[k : k + 1]).argmax())
        want = [float(classifier.predict(images[k : k + 1]).softmax(1)[0, target])]
        keep = np.ones(30, dtype=bool)
        for section in np.array_split(order, 3):
            keep[section] = False
            if keep.any():
                filled = _dense(images[k].numpy(), keep.reshape(6, 5))
            else:
                filled = np.broadcast_to(
                    images[k].mean(dim=(1, 2), keepdim=True).numpy(), (3, 6, 5)
                ).copy()
            filled = torch.from_numpy(filled)
            removed = torch.from_numpy(~keep).view(6, 5)
            filled[:, removed] += noise[k][:, removed]
            want.append(float(classifier.predict(filled[None]).softmax(1)[0, target]))
        assert got.values[k] == pytest.approx(want, abs=1e-9)
    halves = [
        deletion(classifier, images[s], maps[s], steps=4, fill="noisy_linear", seed=8).values
        for s in (slice(0, 2), slice(2, 5))
    ]
    assert np.concatenate(halves) == pytest.approx(got.values, abs=1e-12)


def test_the_filled_end_is_shared_by_deletion_and_insertion():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 2)).double()
    classifier, images = Classifier(net).double(), _images(2, 4, 4)
    substrate = make_substrate(classifier, images, "noisy_linear", seed=1)
    assert substrate.forwards == 1
    owner = torch.tensor([1, 0])
    keep = torch.zeros(2, 4, 4, dtype=torch.bool)
    imputed = substrate.apply(images, keep, owner)
    assert torch.allclose(imputed, substrate.filled[owner], atol=1e-12)
