"""The control maps."""

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel

from sundog.faithfulness.controls import CONTROLS, LUMINANCE


def _images(n=3, h=8, w=11):
    return torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_shape_and_independence_of_the_batch(name):
    images = _images()
    together = CONTROLS[name](images, seed=3)
    assert together.shape == (3, 8, 11)
    assert torch.isfinite(together).all()
    alone = torch.cat([CONTROLS[name](image[None], seed=3) for image in images])
    assert torch.allclose(together, alone, atol=1e-6)
    assert CONTROLS[name](torch.zeros(1, 3, 1, 1), seed=0).shape == (1, 1, 1)


def test_random_is_uniform_and_follows_the_seed():
    images = _images(2, 100, 100)
    maps = CONTROLS["random"](images, seed=1)
    assert torch.equal(maps, CONTROLS["random"](images, seed=1))
    assert not torch.equal(maps, CONTROLS["random"](images, seed=2))
    assert not torch.equal(maps[0], maps[1])
    assert float(maps.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(maps.var()) == pytest.approx(1 / 12, abs=0.002)


def test_edge_is_scipys_sobel_of_the_luminance():
    images = _images()
    maps = CONTROLS["edge"](images, seed=0)
    for image, got in zip(images.double().numpy(), maps, strict=True):
        grey = np.tensordot(np.array(LUMINANCE), image, axes=1)
        want = np.hypot(sobel(grey, 0, mode="nearest"), sobel(grey, 1, mode="nearest"))
        assert got.numpy() == pytest.approx(want, abs=1e-5)


def test_centre_is_symmetric_and_falls_off():
    one = CONTROLS["centre"](_images(1, 9, 9), seed=0)[0]
    assert torch.equal(one, one.flip(0))
    assert torch.equal(one, one.flip(1))
    assert int(one.argmax()) == 40
    assert (one[4].diff()[:4] > 0).all()
    assert float(one[4, 4]) == 1


def test_constant_is_one_everywhere():
    assert torch.equal(CONTROLS["constant"](_images(), seed=0), torch.ones(3, 8, 11))
