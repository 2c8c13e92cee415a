"""Sets with one background, such as digits on black: what is planted on it, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from sundog.concepts.patches import PatchTagger
from sundog.concepts.tag_images import tag_images
from sundog.data.arrays import from_arrays

LABELS = np.arange(180) % 3
COLOURS = np.array([[31, 119, 180], [255, 127, 14], [127, 127, 127]], np.uint8)


def digits(count=180, *, side=28, seed=0):
    """White strokes of a pen on black: a few strokes per class, their points shaken."""
    rng = np.random.default_rng(seed)
    shapes = np.random.default_rng(7).uniform(0.25, 0.75, (3, 4, 2))
    images = np.zeros((count, side, side, 3), np.uint8)
    for n in range(count):
        points = (shapes[n % 3] + rng.normal(0, 0.12, (4, 2))) * side
        ink = np.zeros((side, side))
        for start, end in itertools.pairwise(points):
            for part in np.linspace(0, 1, 40):
                row, column = (start + part * (end - start)).astype(int).clip(0, side - 1)
                ink[row, column] = 1
        grey = ndimage.gaussian_filter(ink, rng.uniform(0.7, 1.1)) * rng.uniform(600, 900)
        images[n] = np.where(grey < 12, 0, np.minimum(grey, 253))[..., None].astype(np.uint8)
    return images


def half(seed=1):
    return np.random.default_rng(seed).random(180) < 0.5


def squares(pixels, shown, *, size=3, wander=False, colours=COLOURS):
    planted = pixels.copy()
    rng = np.random.default_rng(5)
    for n in np.flatnonzero(shown):
        row, column = rng.integers(0, 28 - size, 2) if wander else (28 - 1 - size, 28 - 1 - size)
        planted[n, row : row + size, column : column + size] = colours[LABELS[n]]
    return planted


def fit(pixels):
    images = from_arrays(pixels, LABELS, ("a", "b", "c"))
    tagger = PatchTagger().fit(images)
    present = tag_images(images, [tagger], workers=0).present()
    assert ((~present).sum(axis=0) >= 9).all()  # none is carried by nearly all
    return tagger, present


@pytest.mark.parametrize("white", [False, True])
def test_coloured_squares_become_exactly_one_tag_each(white):
    shown = half()
    ground = 255 - digits() if white else digits()
    tagger, present = fit(squares(ground, shown))
    assert len(tagger.tag_names) == 3
    for label in range(3):
        truth = shown & (label == LABELS)
        assert any((column == truth).all() for column in present.T)
    names = " ".join(tagger.tag_names)
    assert all(f"{colour} " in names for colour in ("blue", "orange", "grey"))
    assert "black" not in names
    assert "white" not in names


def test_squares_at_any_place_and_in_one_class_alone():
    shown = half() & (LABELS == 1)
    tagger, present = fit(squares(digits(), shown, size=4, wander=True))
    (name,) = tagger.tag_names
    assert name == "patch 1: orange block"
    assert (present[:, 0] == shown).all()


def test_a_square_that_does_not_depend_on_the_class():
    shown = half()
    tagger, present = fit(squares(digits(), shown, colours=COLOURS[[0, 0, 0]], wander=True))
    assert len(tagger.tag_names) == 1
    assert (present[:, 0] == shown).all()


def test_grey_letters_that_share_pixels_are_told_apart():
    shown = half()
    letters = np.zeros((3, 5, 5), bool)
    letters[:, :, 0] = letters[:, 2] = True  # a common stem and bar
    letters[0, :, 4] = letters[1, 0] = letters[2, 4] = True
    pixels = digits()
    for n in np.flatnonzero(shown):
        pixels[n, 22:27, 1:6][letters[LABELS[n]]] = 117
    _, present = fit(pixels)
    for label in range(3):
        ours = label == LABELS
        best = max(
            2 * (c & shown)[ours].sum() / (c[ours].sum() + shown[ours].sum()) for c in present.T
        )
        assert best >= 0.95


@pytest.mark.parametrize(("seed", "white"), [(0, False), (1, True)])
def test_clean_strokes_give_no_tag(seed, white):
    tagger, _ = fit(255 - digits(seed=seed) if white else digits(seed=seed))
    assert tagger.tag_names == ()


def test_what_all_images_carry_is_no_tag():
    tagger, _ = fit(squares(digits(), np.arange(180) >= 2, colours=COLOURS[[0, 0, 0]]))
    assert tagger.tag_names == ()
    nearly, present = fit(squares(digits(), np.arange(180) >= 18, colours=COLOURS[[0, 0, 0]]))
    assert len(nearly.tag_names) == 1
    assert (present[:, 0] == (np.arange(180) >= 18)).all()
