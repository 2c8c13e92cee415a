"""The resizing operators against slow, independent implementations in plain loops."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from sundog.core.errors import InputError
from sundog.data.transforms import resize_and_crop, resize_image, resize_with_pad


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_bilinear(image, new_h, new_w):
    """Half-pixel centres, two neighbours, edges repeated; float64."""
    h, w = image.shape[:2]
    out = np.zeros((new_h, new_w, 3))
    for r in range(new_h):
        y = (r + 0.5) * h / new_h - 0.5
        y0 = math.floor(y)
        for c in range(new_w):
            x = (c + 0.5) * w / new_w - 0.5
            x0 = math.floor(x)
            total = 0
            for yy, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
                for xx, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
                    total = total + wy * wx * image[min(max(yy, 0), h - 1), min(max(xx, 0), w - 1)]
            out[r, c] = total
    return out / 255


def slow_triangle(image, new_h, new_w):
    """Triangle filter as wide as the reduction factor, weights normalised; float64."""

    def matrix(old, new):
        scale = max(1.0, old / new)
        m = np.zeros((new, old))
        for i in range(new):
            centre = (i + 0.5) * old / new
            for j in range(old):
                m[i, j] = max(0.0, 1 - abs((j + 0.5 - centre) / scale))
            m[i] /= m[i].sum()
        return m

    rows, columns = matrix(image.shape[0], new_h), matrix(image.shape[1], new_w)
    return np.einsum("rh,hwc,kw->rkc", rows, image / 255.0, columns)


def tensorflow_geometry(h, w, goal_h, goal_w):
    f = np.float32
    ratio = max(f(w) / f(goal_w), f(h) / f(goal_h))
    real = (f(h) / ratio, f(w) / ratio)
    new = [math.floor(r) for r in real]
    pad = [
        max(0, math.floor((f(g) - r) / f(2))) for g, r in zip((goal_h, goal_w), real, strict=True)
    ]
    return new, pad


def exact_geometry(h, w, goal_h, goal_w):
    ratio = max(Fraction(w, goal_w), Fraction(h, goal_h))
    real = (h / ratio, w / ratio)
    new = [max(1, math.floor(r)) for r in real]
    pad = [max(0, math.floor((g - r) / 2)) for g, r in zip((goal_h, goal_w), real, strict=True)]
    return new, pad


def padded(inner, pad, goal):
    out = np.zeros((*goal, 3))
    out[pad[0] : pad[0] + inner.shape[0], pad[1] : pad[1] + inner.shape[1]] = inner
    return out


SIZES = [(20, 30, 16, 16), (33, 17, 24, 24), (9, 40, 12, 20), (5, 4, 14, 11), (16, 16, 28, 28)]


@pytest.mark.parametrize(("h", "w", "goal_h", "goal_w"), SIZES)
def test_not_antialiased_pad_is_tensorflows_operator(h, w, goal_h, goal_w):
    image = photo(h, w)
    new, pad = tensorflow_geometry(h, w, goal_h, goal_w)
    expected = padded(slow_bilinear(image, *new), pad, (goal_h, goal_w))
    got = resize_with_pad(image, (goal_h, goal_w), antialias=False)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.permute(1, 2, 0).numpy(), expected, atol=2e-6)


@pytest.mark.parametrize(("h", "w", "goal_h", "goal_w"), SIZES)
def test_antialiased_pad_is_the_triangle_filter(h, w, goal_h, goal_w):
    image = photo(h, w, 1)
    new, pad = exact_geometry(h, w, goal_h, goal_w)
    expected = padded(slow_triangle(image, *new), pad, (goal_h, goal_w))
    got = resize_with_pad(image, (goal_h, goal_w))
    np.testing.assert_allclose(got.permute(1, 2, 0).numpy(), expected, atol=2e-6)


def content_box(image):
    rows = torch.nonzero(image.sum(dim=(0, 2)) > 0).flatten()
    columns = torch.nonzero(image.sum(dim=(0, 1)) > 0).flatten()
    return (
        [int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1],
        [int(rows[0]), int(columns[0])],
    )


def test_geometry_of_many_sizes_in_both_arithmetics():
    rng = np.random.default_rng(3)
    sizes = [tuple(s) for s in rng.integers(20, 700, (25, 2))] + [(128, 128), (320, 427), (64, 64)]
    for h, w in sizes:
        white = np.full((h, w, 3), 255, dtype=np.uint8)
        for antialias, rule in ((True, exact_geometry), (False, tensorflow_geometry)):
            got = content_box(resize_with_pad(white, (224, 224), antialias=antialias))
            assert got == rule(int(h), int(w), 224, 224), (h, w, antialias)


def test_float32_rounding_of_square_images_is_tensorflows_alone():
    white = np.full((128, 128, 3), 255, dtype=np.uint8)
    assert content_box(resize_with_pad(white, (224, 224), antialias=False))[0] == [223, 223]
    assert content_box(resize_with_pad(white, (224, 224)))[0] == [224, 224]


@pytest.mark.parametrize(("h", "w"), [(30, 50), (50, 30), (10, 10)])
def test_crop_is_resize_of_the_shorter_side_and_centre(h, w):
    image = photo(h, w, 2)
    cover = round(14 / 0.875)
    scale = cover / min(h, w)
    new = round(h * scale), round(w * scale)
    full = slow_triangle(image, *new)
    top, left = (new[0] - 14) // 2, (new[1] - 14) // 2
    got = resize_and_crop(image, (14, 14), crop_fraction=0.875).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(got, full[top : top + 14, left : left + 14], atol=2e-6)


def test_stretch_loses_the_aspect():
    image = photo(12, 40)
    got = resize_image(image, (20, 10), resize="stretch").permute(1, 2, 0).numpy()
    np.testing.assert_allclose(got, slow_triangle(image, 20, 10), atol=2e-6)


def test_own_size_is_exactly_the_bytes_over_255():
    image = photo(8, 8)
    for way in ("pad", "crop", "stretch"):
        got = resize_image(image, (8, 8), resize=way, crop_fraction=1.0)
        assert torch.equal(got, torch.from_numpy(image).permute(2, 0, 1).float() / 255)


def test_one_pixel_and_extreme_aspects_are_resized():
    one = np.full((1, 1, 3), 200, dtype=np.uint8)
    got = resize_with_pad(one, (5, 5))
    assert torch.equal(got, torch.full((3, 5, 5), 200 / 255))
    for antialias in (True, False):
        line = resize_with_pad(np.full((1, 1000, 3), 255, np.uint8), (20, 20), antialias=antialias)
        assert line.shape == (3, 20, 20)
        assert int((line.sum(dim=(0, 2)) > 0).sum()) == 1


def test_unknown_way_and_bad_fraction_are_refused():
    with pytest.raises(InputError, match=r"resize must be one of .*'zoom'"):
        resize_image(photo(4, 4), (2, 2), resize="zoom")
    with pytest.raises(InputError, match="crop_fraction"):
        resize_image(photo(4, 4), (2, 2), resize="crop", crop_fraction=0)
