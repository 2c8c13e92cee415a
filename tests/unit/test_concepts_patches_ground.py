"""Background, order and joint matching of patches against slow re-implementations."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from sundog.concepts import patches_match
from sundog.concepts.patches_ground import NO_COLOURS, far_ground, find_ground, is_ground
from sundog.concepts.patches_match import match_all, stack_views
from sundog.concepts.patches_order import distinction, in_turn
from sundog.concepts.patches_seeds import FAMILIES, LEVELS, choose_levels, find_seeds
from sundog.concepts.patches_stamp import Stamp, grow

EXACT = LEVELS[0]
BLACK = np.zeros((1, 3), np.uint8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 5), st.booleans())
def test_images_matched_together_are_matched_as_alone(seed, count, shades, mixed):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, shades, (9, 10, 3)).astype(np.uint8) * 9 for _ in range(7)]
    if mixed:
        images.append(rng.integers(0, shades, (6, 12, 3)).astype(np.uint8) * 9)
    images.append(np.zeros_like(images[0]))
    offsets = np.unique(rng.integers(0, 5, (count, 2)), axis=0)
    offsets -= offsets.min(axis=0)
    colours = rng.integers(0, shades, (len(offsets), 3)).astype(np.uint8) * 9
    stamp = Stamp(EXACT, int(rng.integers(0, 12)), offsets, colours, len(offsets), images[0])
    views = stack_views(images)
    for view, image in zip(views, images, strict=True):
        np.testing.assert_array_equal(view, image)
    alone = [stamp.match(image) for image in images]
    for at_once in (2**18, 200):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(patches_match, "_AT_ONCE", at_once)
            scores, places = match_all(stamp, views)
        assert scores.tolist() == pytest.approx([share for share, _ in alone], abs=1e-12)
        assert [tuple(p) for p in places.tolist()] == [place for _, place in alone]


def test_a_stamp_larger_than_the_images_is_in_none():
    offsets = np.array([[0, 0], [20, 0], [0, 20]])
    stamp = Stamp(EXACT, 1, offsets, np.zeros((3, 3), np.uint8), 3, np.zeros((1, 1, 3), np.uint8))
    scores, places = match_all(stamp, stack_views([np.zeros((8, 8, 3), np.uint8)] * 3))
    assert scores.tolist() == [0, 0, 0]
    assert places.tolist() == [[0, 0]] * 3
    assert match_all(stamp, [])[0].shape == (0,)


def test_the_background_is_what_fills_an_eighth_of_most_images():
    rng = np.random.default_rng(0)
    images = [rng.integers(1, 256, (8, 8, 3), dtype=np.uint8) for _ in range(10)]
    assert find_ground(images).shape == (0, 3)
    for n, image in enumerate(images):
        image[0] = 0  # 8 of 64 pixels, in all images
        image[1, : 7 if n else 8] = (9, 8, 7)  # one pixel too few
        image[2] = (1, 2, 3) if n < 8 else image[2]  # in 8 of 10
        image[3] = (3, 2, 1) if n < 7 else image[3]  # in 7 of 10
    assert find_ground(images).tolist() == [[0, 0, 0], [1, 2, 3]]


def test_only_the_background_next_to_marks_belongs_to_a_stamp():
    pixels = np.zeros((9, 9, 3), np.float32)
    pixels[4, 4:6] = 200
    pixels[0, 0] = 2
    pixels[8, 8] = -999
    inside = np.ones((9, 9), bool)
    far = far_ground(pixels, inside, BLACK, 1)
    expected = np.ones((9, 9), bool)
    expected[3:6, 3:7] = False
    expected[:2, :2] = False  # a pixel of 2 is not black within 1, nor what touches it
    expected[8, 8] = False
    np.testing.assert_array_equal(far, expected)
    assert not far_ground(pixels, inside, NO_COLOURS, 1).any()
    assert is_ground(pixels, BLACK, 2)[0, 0]
    assert is_ground(pixels, np.array([[255] * 3, [200] * 3], np.uint8), 1).sum() == 2


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 60), st.data())
def test_distinction_is_the_g_statistic_of_group_and_rest(size, others, data):
    count = data.draw(st.integers(0, size))
    rest = data.draw(st.integers(0, others))
    found = distinction(np.array([count]), size, np.array([count + rest]), size + others)[0]
    if count * others <= rest * size:
        assert found == 0
    else:
        table = np.array([[count, size - count], [rest, others - rest]])
        table = table[:, table.sum(axis=0) > 0]
        slow = (
            chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
            if table.shape[1] == 2
            else 0
        )
        assert found == pytest.approx(slow, abs=1e-9)
    assert distinction(np.array([3]), 9, np.array([3]), 9).tolist() == [3]


def test_in_turn():
    assert in_turn([1, 2, 3, 4], [10, 20]) == [1, 10, 2, 20, 3, 4]
    assert in_turn([], [1, 2]) == [1, 2]
    assert in_turn([None, 0], [0]) == [None, 0, 0]


def test_small_images_are_searched_at_their_own_scale():
    small = [np.zeros((28, 90, 3), np.uint8)] * 3
    assert {level.shrink for level in choose_levels(small)} == {1}
    assert [lv.bin_width for lv in choose_levels(small)] == [lv.bin_width for lv in LEVELS]
    assert choose_levels([*small, *[np.zeros((48, 60, 3), np.uint8)] * 4]) == LEVELS


def test_on_black_the_neighbours_of_a_colour_are_counted_beside_the_same_black():
    images = [np.zeros((9, 9, 3), np.uint8) for _ in range(40)]
    shades = np.random.default_rng(3).integers(50, 90, 40)
    for n, image in enumerate(images):
        image[4, 2] = shades[n]  # any grey, each about as often
        if n < 20:
            image[6, 6] = (90, 30, 10)
    groups = np.zeros(40, dtype=int)
    counts = Counter(shades.tolist())
    assert max(counts.values()) < 6
    seeds = find_seeds(images, groups, EXACT, ground=BLACK, min_count=2)
    row = [s for s in seeds if s.family == "row"]
    # (0, 0, x), (0, x, 0) and (x, 0, 0) of the colour alone: not one of black, none of a grey
    assert sorted(s.count for s in row if s.count == 20) == [20, 20, 20]
    for seed in row:
        if seed.count < 20:
            assert max(counts.values()) >= seed.count >= 4 * (seed.expected + 1) - 1e-9
    blind = find_seeds(images, groups, EXACT, min_count=2)
    assert any(s.everywhere == 40 for s in blind)
    assert not any(s.everywhere == 40 for s in seeds)


def test_smooth_greys_beside_black_are_no_seeds():
    rng = np.random.default_rng(4)
    images = [np.zeros((9, 9, 3), np.uint8) for _ in range(400)]
    for image in images:
        for row in (1, 4, 7):
            image[row, 4] = rng.integers(100, 112)  # each grey in a third of the images
    groups = np.zeros(400, dtype=int)
    assert find_seeds(images, groups, EXACT, ground=BLACK) == []
    assert set(FAMILIES) == {"column", "row", "square"}


def test_a_square_on_black_grows_to_the_square_and_its_rim():
    rng = np.random.default_rng(5)
    images = []
    for _ in range(30):
        image = np.zeros((28, 28, 3), np.uint8)
        image[4:12, rng.integers(2, 12) : 14] = rng.integers(100, 250)
        row, column = rng.integers(14, 22, 2)
        image[row : row + 4, column : column + 4] = (44, 160, 44)
        images.append(image)
    seeds = find_seeds(images, np.zeros(30, dtype=int), EXACT, ground=BLACK)
    stamp = grow(next(s for s in seeds if s.count == 30), images, ground=BLACK)
    marks = stamp.offsets[: len(stamp.offsets) - stamp.ground]
    assert stamp.area == len(marks) == 16
    assert (np.ptp(marks, axis=0) == 3).all()
    assert (stamp.colours[:16] == (44, 160, 44)).all()
    assert stamp.ground == 8
    assert (stamp.colours[16:] == 0).all()
    assert (np.abs(stamp.offsets - marks.mean(axis=0)).max(axis=1) <= 2.5).all()
    assert match_all(stamp, images)[0].min() == 1
