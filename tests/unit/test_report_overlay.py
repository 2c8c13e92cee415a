"""Overlays against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sundog.core.errors import InputError, UnknownNameError
from sundog.report.arrays import as_pixels
from sundog.report.overlay import PALETTES, blend, display_scale, grow, outline_region, scaled

IMAGE = np.full((2, 2, 3), 0.5)
MAP = np.array([[2.0, -1.0], [0.0, 0.5]])


def test_blend_by_hand():
    out = blend(IMAGE, MAP)
    expected = np.array([[[1, 0, 0], [0.25, 0.25, 0.75]], [[0.5, 0.5, 0.5], [0.625, 0.375, 0.375]]])
    np.testing.assert_allclose(out, expected, atol=1e-15)
    assert out.dtype == IMAGE.dtype


def test_the_note_says_what_a_map_is_scaled_by():
    assert scaled(None) == "Each map is scaled by its own maximum."
    assert "99.5th percentile; higher values are clipped" in scaled(99.5)


def test_blend_keeps_bytes_as_bytes():
    out = blend(np.full((2, 2, 3), 100, np.uint8), MAP)
    # alpha 1, 0.5, 0 and 0.25 of 100 against 255 or 0.
    expected = [[[255, 0, 0], [50, 50, 178]], [[100, 100, 100], [139, 75, 75]]]
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_map_of_zeros_leaves_the_picture_unchanged(dtype):
    rng = np.random.default_rng(0)
    image = (rng.random((5, 4, 3)) * (255 if dtype == np.uint8 else 1)).astype(dtype)
    out = blend(image, np.zeros((5, 4)))
    np.testing.assert_array_equal(out, image)
    assert out.dtype == dtype


@given(arrays.arrays(np.float64, (4, 5), elements=st.floats(-1e300, 1e300)), st.floats(1e-3, 1e3))
def test_scale_of_the_map_does_not_matter_and_output_stays_in_range(relevance, factor):
    image = np.linspace(0, 1, 60).reshape(4, 5, 3)
    out = blend(image, relevance)
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1
    peak = np.abs(relevance).max()
    if peak == 0 or 1e-290 < peak < 1e290:  # beyond, relevance * factor itself over- or underflows
        np.testing.assert_allclose(blend(image, relevance * factor), out, atol=1e-6)


def test_opposite_map_swaps_the_colours():
    for palette in PALETTES.values():
        name = next(key for key, value in PALETTES.items() if value is palette)
        np.testing.assert_allclose(blend(IMAGE, MAP, palette=name)[0, 0], palette.positive)
        np.testing.assert_allclose(blend(IMAGE, -MAP, palette=name)[0, 0], palette.negative)


def test_percentile_saturates_the_top_and_falls_back_on_sparse_maps():
    ramp = np.arange(101.0).reshape(1, 101)
    scaled = display_scale(ramp, percentile=50)
    assert scaled[0, 25] == 0.5
    assert (scaled[0, 50:] == 1).all()
    sparse = np.zeros((1, 101))
    sparse[0, 3] = 4
    assert display_scale(sparse, percentile=50)[0, 3] == 1
    np.testing.assert_array_equal(display_scale(ramp), ramp / 100)


def test_grey_takes_the_colour_out_of_the_picture_only():
    image = np.zeros((1, 2, 3))
    image[..., 0] = 1
    out = blend(image, np.array([[0.0, 1.0]]), grey=True)
    np.testing.assert_allclose(out[0, 0], [0.299] * 3)
    np.testing.assert_allclose(out[0, 1], [1, 0, 0])


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_the_safe_palette_differs_in_lightness_too():
    pair = PALETTES["orange_purple"]
    light, dark = luminance(pair.positive), luminance(pair.negative)
    assert (light + 0.05) / (dark + 0.05) > 4.5


def test_grow_is_a_square_dilation():
    mask = np.zeros((7, 9), bool)
    mask[0, 0] = mask[4, 5] = True
    slow = np.zeros_like(mask)
    for row in range(7):
        for column in range(9):
            slow[row, column] = mask[
                max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3
            ].any()
    np.testing.assert_array_equal(grow(mask, 2), slow)
    stripes = np.zeros((224, 224), bool)
    stripes[100:110, 100:130:5] = True
    assert outline_region(stripes)[100:110, 100:126].all()


@pytest.mark.parametrize(
    ("image", "relevance", "message"),
    [
        (np.zeros((3, 2, 2)), MAP, "Move the channels last"),
        (np.zeros((2, 2, 3), int), MAP, "uint8, or float in"),
        (IMAGE * 300, MAP, "Undo the normalisation"),
        (np.full((2, 2, 3), np.nan), MAP, "in \\[0, 1\\]"),
        (IMAGE, np.zeros((3, 2)), "as large as its picture, 2 × 2; got shape \\(3, 2\\)"),
        (IMAGE, MAP * np.nan, "finite; got 4 values"),
        (IMAGE, np.full((2, 2), np.inf), "must be finite"),
    ],
)
def test_bad_input_is_refused_in_plain_words(image, relevance, message):
    with (
        pytest.raises(InputError, match=message),
        np.errstate(invalid="ignore"),
    ):
        blend(image, relevance)


def test_unknown_palette_suggests_and_bad_percentile_is_refused():
    with pytest.raises(UnknownNameError, match="orange_purple"):
        blend(IMAGE, MAP, palette="orange_purpel")
    with pytest.raises(InputError, match="percentile"):
        blend(IMAGE, MAP, percentile=0)


def test_pixels_of_grey_and_float_pictures():
    np.testing.assert_array_equal(as_pixels(np.array([[0, 255]], np.uint8)).shape, (1, 2, 3))
    assert as_pixels(np.full((1, 1, 3), 0.5))[0, 0, 0] == 128
