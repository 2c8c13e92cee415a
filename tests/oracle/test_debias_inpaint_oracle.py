"""The fill against the exact solution of Laplace's equation by a sparse solver."""

import numpy as np
import pytest
import scipy.sparse.linalg as linalg
import torch
from scipy import sparse

from sundog.debias.inpaint import inpaint


def exact(image, mask):
    """Every masked pixel is the mean of its neighbours inside the image."""
    height, width = mask.shape
    number = -np.ones(mask.shape, int)
    number[mask] = np.arange(mask.sum())
    matrix = sparse.lil_matrix((mask.sum(), mask.sum()))
    right = np.zeros((mask.sum(), 3))
    for y, x in np.argwhere(mask):
        row = number[y, x]
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= v < height and 0 <= u < width):
                continue
            matrix[row, row] += 1
            if mask[v, u]:
                matrix[row, number[v, u]] -= 1
            else:
                right[row] += image[:, v, u]
    solved = image.copy()
    solved[:, mask] = linalg.spsolve(matrix.tocsc(), right).T
    return solved


def smooth_image(height, width, seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(rng.uniform(1, 6) * y + rng.uniform(1, 6) * x + c) for c in range(3)]
    return (np.stack(waves) * 0.4 + 0.5 + rng.normal(size=(3, height, width)) * 0.03).clip(0, 1)


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (32, 32, (slice(18, 21), slice(20, 25))),
        (33, 47, (slice(5, 25), slice(10, 30))),
        (40, 40, (slice(0, 12), slice(28, 40))),
        (64, 64, (slice(10, 50), slice(20, 44))),
    ],
)
def test_the_fill_is_the_harmonic_surface(height, width, box):
    image = smooth_image(height, width, seed=height)
    mask = np.zeros((height, width), bool)
    mask[box] = True
    wanted = exact(image, mask)
    found = inpaint(torch.tensor(image)[None], torch.tensor(mask)[None])[0].numpy()
    assert np.abs(found - wanted).max() < (0.02 if mask.sum() < 20 else 0.04)
    many = inpaint(torch.tensor(image)[None], torch.tensor(mask)[None], sweeps=3000)[0].numpy()
    assert np.abs(many - wanted).max() < 1e-6
    np.testing.assert_array_equal(found[:, ~mask], image[:, ~mask])


def test_scattered_pixels_are_filled_from_their_neighbours():
    image = smooth_image(24, 24, seed=1)
    mask = np.random.default_rng(0).random((24, 24)) < 0.3
    found = inpaint(torch.tensor(image)[None], torch.tensor(mask)[None])[0].numpy()
    assert np.abs(found - exact(image, mask)).max() < 0.005
