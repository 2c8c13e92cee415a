"""Photometric measures against scikit-image, closed forms and slow re-implementations."""

import numpy as np
import pytest
from PIL import Image, ImageColor
from scipy import ndimage

from sundog.concepts.photometric_border import measure_border
from sundog.concepts.photometric_colours import COLOUR_NAMES, colour_shares, name_colours
from sundog.concepts.photometric_measures import (
    blockiness,
    blur_length,
    edge_share,
    stroke_density,
)
from sundog.concepts.photometric_table import MEASURES, TAGS, measure_image
from sundog.concepts.photometric_view import to_lab, view_image


def _noise(height=60, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _plain(colour, height=40, width=60):
    return np.full((height, width, 3), colour, np.uint8)


def _smooth(height, width, sigma, seed=0):
    draw = np.random.default_rng(seed).normal(size=(height, width))
    field = ndimage.gaussian_filter(draw, sigma, mode="wrap")
    grey = np.clip(128 + 60 * field / field.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def test_lab_is_scikit_images():
    color = pytest.importorskip("skimage.color")
    pixels = _noise()
    assert np.abs(to_lab(pixels) - color.rgb2lab(pixels)).max() < 0.02
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.abs(to_lab(grey)[..., 1:]).max() < 1e-3
    assert to_lab(grey)[0, [0, 255], 0] == pytest.approx([0, 100], abs=1e-4)


CSS = {
    "black": ("black", "#0a0a0a"),
    "white": ("white", "snow", "ghostwhite", "whitesmoke"),
    "grey": ("gray", "silver", "dimgray", "lightgray", "darkgray"),
    "pink": ("pink", "hotpink", "deeppink", "lightpink", "salmon", "palevioletred"),
    "brown": ("saddlebrown", "sienna", "tan", "burlywood", "#5c4033"),
    "red": ("red", "crimson", "firebrick", "darkred"),
    "orange": ("orange", "darkorange", "sandybrown"),
    "yellow": ("yellow", "gold", "khaki", "palegoldenrod"),
    "green": ("green", "lime", "forestgreen", "olivedrab", "seagreen", "limegreen", "darkgreen"),
    "cyan": ("cyan", "teal", "turquoise", "darkcyan", "paleturquoise"),
    "blue": ("blue", "navy", "royalblue", "skyblue", "dodgerblue", "steelblue"),
    "purple": ("purple", "darkviolet", "magenta", "orchid", "plum"),
}


@pytest.mark.parametrize("name", COLOUR_NAMES)
def test_css_colours_have_their_names(name):
    for css in CSS[name]:
        pixel = np.array([[ImageColor.getrgb(css)]], np.uint8)
        assert COLOUR_NAMES[name_colours(to_lab(pixel))[0, 0]] == name, css


def test_colour_shares_count_pixels():
    pixels = _plain((255, 0, 0), 10, 10)
    pixels[:3] = (0, 0, 255)
    pixels[3] = (255, 255, 255)
    shares = colour_shares(to_lab(pixels))
    assert {k: v for k, v in shares.items() if v} == {"red": 0.6, "blue": 0.3, "white": 0.1}
    assert sum(colour_shares(to_lab(_noise())).values()) == pytest.approx(1)


def test_light_contrast_and_colour_have_their_exact_values():
    pixels = _plain(0, 10, 20)
    pixels[:, 10:] = 255
    found = measure_image(pixels)
    assert found["lightness"] == pytest.approx(0.5, abs=1e-6)
    assert found["contrast"] == pytest.approx(0.5, abs=1e-6)
    assert found["chroma"] == pytest.approx(0, abs=1e-5)
    assert (found["shadows"], found["highlights"]) == (0.5, 0.5)
    assert found["width / height"] == 2
    assert found["height / width"] == found["squareness"] == 0.5
    assert found["size"] == pytest.approx(200**0.5)
    red = measure_image(_plain((255, 0, 0)))
    assert red["lightness"] == pytest.approx(0.5324, abs=1e-3)  # CIE values of sRGB red
    assert red["red-green cast"] == pytest.approx(0.8009, abs=1e-3)
    assert red["yellow-blue cast"] == pytest.approx(0.6720, abs=1e-3)
    assert red["chroma"] == pytest.approx(1.0455, abs=1e-3)
    assert red["strongest colour"] == pytest.approx(1.0455, abs=1e-3)
    assert red["contrast"] == pytest.approx(0, abs=1e-6)


def test_large_images_are_measured_on_their_area_average():
    pixels = _noise(300, 512, seed=3)
    half = np.asarray(Image.fromarray(pixels).resize((256, 150), Image.Resampling.BOX))
    slow = pixels.reshape(150, 2, 256, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - slow).max() <= 1
    assert np.array_equal(view_image(pixels).lab, to_lab(half))
    assert measure_image(pixels)["size"] == pytest.approx((300 * 512) ** 0.5)


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_blur_length_of_a_gaussian_field_has_its_closed_form(sigma):
    """White noise blurred by sigma: E|grad|^2 / E|laplace|^2 = sigma^2 / 2 (finer than pixels)."""
    pixels = _smooth(250, 250, sigma)
    expected = 100 * sigma / np.sqrt(2) / 250
    assert blur_length(view_image(pixels)) == pytest.approx(expected, rel=0.12)


def test_blur_length_follows_a_slow_sum_and_ignores_contrast():
    pixels = _noise(20, 24, seed=2)
    light = to_lab(pixels)[:, :, 0].astype(np.float64)
    right = [(light[y, x + 1] - light[y, x]) ** 2 for y in range(20) for x in range(23)]
    below = [(light[y + 1, x] - light[y, x]) ** 2 for y in range(19) for x in range(24)]
    bend = [
        (
            light[y, x + 1] + light[y, x - 1] + light[y + 1, x] + light[y - 1, x]
            - 4 * light[y, x]
        )
        ** 2
        for y in range(1, 19)
        for x in range(1, 23)
    ]  # fmt: skip
    expected = 100 * np.sqrt((np.mean(right) + np.mean(below)) / np.mean(bend)) / 20
    assert blur_length(view_image(pixels)) == pytest.approx(expected, rel=1e-5)
    soft = _smooth(128, 128, 2.0)
    pale = (96 + soft // 4).astype(np.uint8)
    assert blur_length(view_image(pale)) == pytest.approx(blur_length(view_image(soft)), rel=0.15)
    assert np.isnan(blur_length(view_image(_plain(90))))
    assert np.isnan(blur_length(view_image(_plain(90, 2, 9))))


def test_edge_share_counts_pixels_beside_a_step():
    pixels = _plain(0, 11, 21)
    pixels[:, 10:] = 255
    assert edge_share(view_image(pixels)) == pytest.approx(1 / 20)
    assert edge_share(view_image(_plain(7))) == 0
    assert np.isnan(edge_share(view_image(_plain(7, 1, 5))))


def test_blocks_are_found_at_any_phase_and_nowhere_else():
    draw = np.random.default_rng(0)
    base = draw.integers(100, 140, (12, 12))
    tiles = np.kron(base, np.ones((8, 8), int)) + draw.integers(0, 3, (96, 96))
    blocks = np.repeat(tiles[:, :, None].astype(np.uint8), 3, axis=2)
    for offset in (0, 3):
        assert blockiness(view_image(blocks[offset:, 2 * offset :])) > 5
    stripes = blocks.copy()
    stripes[:] = blocks[:1]  # columns alone
    assert blockiness(view_image(stripes)) == 0
    assert blockiness(view_image(_noise(96, 96))) < 0.2
    framed = _noise(96, 96)
    framed[:8] = framed[-8:] = framed[:, :8] = framed[:, -8:] = 0
    assert blockiness(view_image(framed)) < 0.3
    assert np.isnan(blockiness(view_image(_noise(31, 64))))


def test_strokes_need_thin_light_and_dark_lines_together():
    pixels = _plain(128, 96, 96)
    assert stroke_density(view_image(pixels)) == 0
    lines = pixels.copy()
    for column in range(40, 48, 4):
        lines[40:50, column], lines[40:50, column + 1] = 255, 0
    assert stroke_density(view_image(lines)) > 0.25
    step = pixels.copy()
    step[:, 48:] = 255
    assert stroke_density(view_image(step)) == 0
    bright = pixels.copy()
    bright[40:50, 44] = 255
    assert stroke_density(view_image(bright)) == 0


def test_frames_bars_and_plain_borders_are_told_apart():
    inside = _noise(80, 100)
    natural = measure_border(to_lab(inside))
    assert max(natural.frame, natural.bars, natural.plain) < 0.2
    framed = inside.copy()
    framed[:4] = framed[-4:] = (0, 90, 200)
    barred = framed.copy()
    framed[:, :6] = framed[:, -6:] = (0, 90, 200)
    found = measure_border(to_lab(framed))
    assert (found.frame, found.plain) == (1.0, 1.0)
    assert found.bars == 0
    found = measure_border(to_lab(barred))
    assert found.bars > 0.95
    assert found.frame < 0.1
    assert measure_border(to_lab(barred.transpose(1, 0, 2))).bars > 0.95
    product = _plain(255, 80, 100)
    product[20:60, 30:70] = inside[20:60, 30:70]
    found = measure_border(to_lab(product))
    assert found.plain == 1
    assert max(found.frame, found.bars) == 0
    deep = inside.copy()
    deep[:20] = deep[-20:] = deep[:, :25] = deep[:, -25:] = 0
    assert measure_border(to_lab(deep)).frame == 0
    assert measure_border(to_lab(inside[:4])).frame == 0


def test_every_tag_has_a_measure_with_a_formula():
    found = measure_image(_noise())
    assert set(found) == set(MEASURES)
    assert {tag.measure for tag in TAGS.values()} == set(MEASURES)
    for tag in TAGS.values():
        assert MEASURES[tag.measure] in tag.formula


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (3, 3), (4, 900)])
def test_tiny_and_thin_images_are_measured_without_error(shape):
    found = measure_image(_noise(*shape))
    for name, value in found.items():
        assert np.isfinite(value) or name in ("blur", "edges", "blocks"), name
