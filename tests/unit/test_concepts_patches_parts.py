"""The parts of the patches tagger against slow re-implementations."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.concepts.patches_fixed import choose_grid, find_patterns, residual
from sundog.concepts.patches_seeds import FAMILIES, LEVELS, Level, find_seeds, window_keys
from sundog.concepts.patches_stamp import Stamp, grow, spread
from sundog.concepts.patches_valley import find_valley
from sundog.data.components.stamp_match import near, shrink

EXACT = LEVELS[0]


def noise(count, height=24, width=28, *, seed=0):
    """Photograph-like images: smooth light with grain, so that colours hardly repeat."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        coarse = rng.uniform(30, 220, (5, 5, 3)).repeat(8, axis=0).repeat(8, axis=1)
        grain = rng.normal(0, 12, (height, width, 3))
        images.append(np.clip(coarse[:height, :width] + grain, 0, 255).astype(np.uint8))
    return images


def test_shrink_is_the_rounded_mean_of_squares():
    pixels = np.random.default_rng(0).integers(0, 256, (11, 8, 3), dtype=np.uint8)
    small = shrink(pixels, 3)
    assert small.shape == (3, 2, 3)
    for row, column in itertools.product(range(3), range(2)):
        part = pixels[3 * row : 3 * row + 3, 3 * column : 3 * column + 3].astype(float)
        exact = part.mean(axis=(0, 1))
        assert (np.abs(small[row, column] - exact) <= 0.5 + 1e-9).all()
    assert shrink(pixels, 1) is pixels
    assert shrink(pixels[:5], 3).shape == (5, 8, 3)  # too small to be shrunk


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", [EXACT, LEVELS[2]])
def test_equal_keys_are_equal_constellations(family, level):
    pixels = np.random.default_rng(1).integers(0, 3, (14, 15, 3)).astype(np.uint8) * 20 + 100
    keys, _ = window_keys(pixels, level, family)
    binned = (pixels.astype(int) + level.phase) // level.bin_width
    seen = {}
    for row, column in np.ndindex(keys.shape):
        content = tuple(int(v) for r, c in FAMILIES[family] for v in binned[row + r, column + c])
        assert seen.setdefault(content, keys[row, column]) == keys[row, column]
    assert len(set(seen.values())) == len(seen)


def test_what_is_looked_at_is_of_one_colour_or_has_contrast():
    pixels = np.full((6, 6, 3), 100, np.uint8)
    assert window_keys(pixels, EXACT, "row")[1].all()
    pixels[:, ::2] += 5  # faint shading
    assert not window_keys(pixels, EXACT, "row")[1].any()
    strong = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    assert 0.2 < window_keys(strong, EXACT, "row")[1].mean() < 0.3  # one in four
    white = np.full((6, 6, 3), 255, np.uint8)
    assert window_keys(white, EXACT, "row")[1].all()
    assert not window_keys(white, LEVELS[1], "row")[1].any()


def slow_spikes(images, groups, family):
    """Counts by dictionaries of colour tuples, for constellations of one colour."""
    held = []
    for pixels in images:
        height = pixels.shape[0] - max(r for r, _ in FAMILIES[family])
        width = pixels.shape[1] - max(c for _, c in FAMILIES[family])
        found = set()
        for row, column in np.ndindex(height, width):
            content = [tuple(pixels[row + r, column + c].tolist()) for r, c in FAMILIES[family]]
            if len(set(content)) == 1:
                found.add(content[0])
        held.append(found)
    spikes = set()
    for group in {-1, *groups.tolist()}:
        chosen = [h for h, g in zip(held, groups, strict=True) if group in (-1, g)]
        counts = Counter(colour for h in chosen for colour in h)
        for colour, count in counts.items():
            expected = max(
                np.mean(
                    [
                        counts[tuple(v + sign * k * a for v, a in zip(colour, axis, strict=True))]
                        for k in (1, 2, 3)
                    ]
                )
                for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))
                for sign in (1, -1)
            )
            enough = count >= max(6, np.ceil(0.05 * len(chosen)))
            lifted = count >= 4 * (expected + 1)
            if enough and lifted and (count - expected) / np.sqrt(expected + 1) >= 5:
                spikes.add((group, count, round(float(expected), 9)))
    return spikes


def test_seeds_are_the_spikes_counted_slowly():
    images = noise(40)
    groups = np.arange(40) % 2
    for i in range(0, 40, 2):
        images[i][5:9, 6:10] = (200, 40, 60)
    for i in range(1, 40, 4):
        images[i][12:15, 3:20] = (99, 99, 99)
    for i in range(14):
        images[i][20, 4:7] = (77 + i % 3, 77 + i % 3, 77 + i % 3)  # spread over neighbours
    for family in FAMILIES:
        found = [s for s in find_seeds(images, groups, EXACT) if s.family == family]
        plain = {(s.group, s.count, round(s.expected, 9)) for s in found}
        assert plain == slow_spikes(images, groups, family)
        assert len(plain) >= 2
        for seed in found:
            assert seed.count == len(seed.holders) <= seed.everywhere
            for holder in seed.holders:
                keys, looked_at = window_keys(images[holder], EXACT, family)
                assert (keys[looked_at] == np.uint64(seed.key)).any()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 30))
def test_near_is_a_chebyshev_ball(seed, value, tolerance):
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    pixels[0, 0] = value
    colour = np.array([value, 255 - value, value // 2], dtype=np.uint8)
    slow = np.abs(pixels.astype(int) - colour.astype(int)).max(axis=2) <= tolerance
    np.testing.assert_array_equal(near(pixels, colour, tolerance), slow)


def slow_match(stamp, pixels):
    anchors = min(6, len(stamp.offsets))
    best = 0.0
    height, width = (pixels.shape[:2] - stamp.offsets.max(axis=0)).tolist()
    for row, column in itertools.product(range(max(0, height)), range(max(0, width))):
        hits = [
            int(np.abs(pixels[row + r, column + c].astype(int) - colour).max() <= stamp.tolerance)
            for (r, c), colour in zip(stamp.offsets, stamp.colours.astype(int), strict=True)
        ]
        if 2 * sum(hits[:anchors]) >= anchors:
            best = max(best, sum(hits) / len(hits))
    return best


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_match_is_the_best_share_over_all_places(seed, count):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 3, (9, 10, 3)).astype(np.uint8) * 9
    offsets = np.unique(rng.integers(0, 5, (count, 2)), axis=0)
    offsets -= offsets.min(axis=0)
    colours = rng.integers(0, 3, (len(offsets), 3)).astype(np.uint8) * 9
    stamp = Stamp(EXACT, int(rng.integers(0, 12)), offsets, colours, len(offsets), pixels)
    share, place = stamp.match(pixels)
    assert share == pytest.approx(slow_match(stamp, pixels), abs=1e-12)
    if share:
        values = pixels[place[0] + offsets[:, 0], place[1] + offsets[:, 1]].astype(int)
        close = np.abs(values - colours).max(axis=1) <= stamp.tolerance
        assert close.mean() == pytest.approx(share)
    assert stamp.match(pixels[:1, :1])[0] in (0.0, 1.0)


def test_a_cross_on_changing_ground_is_grown_to_exactly_the_cross():
    images = noise(30, 40, 40, seed=3)
    rng = np.random.default_rng(4)
    for pixels in images:
        row, column = rng.integers(4, 28, 2)
        pixels[row + 3, column : column + 7] = (250, 120, 10)
        pixels[row : row + 7, column + 3] = (250, 120, 10)
    seed = find_seeds(images, np.zeros(30, dtype=int), EXACT)[0]
    assert seed.count == 30
    stamp = grow(seed, images)
    cross = {(3, c) for c in range(7)} | {(r, 3) for r in range(7)}
    assert {tuple(o) for o in stamp.offsets.tolist()} == cross
    assert stamp.area == 13
    assert (stamp.colours == (250, 120, 10)).all()
    assert all(stamp.match(pixels)[0] == 1 for pixels in images)
    assert max(stamp.match(pixels)[0] for pixels in noise(30, 40, 40, seed=9)) == 0


def test_spread_takes_the_farthest_point_each_time():
    points = np.argwhere(np.ones((7, 9), bool))
    chosen = spread(points, 12)
    assert points[chosen[0]].tolist() == [3, 4]
    for k in range(1, 12):
        nearest = ((points[:, None] - points[chosen[:k]]) ** 2).sum(axis=2).min(axis=1)
        assert nearest[chosen[k]] == nearest.max()
    assert len(spread(points[:3], 12)) == 3


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60))
def test_no_interval_is_emptier_than_the_valley(scores):
    values = np.array(scores)
    valley = find_valley(values)
    fewest = min(
        ((values >= m - 0.1) & (values < m + 0.1)).sum() for m in np.linspace(0.4, 0.85, 91)
    )
    low, high = valley.threshold - 0.1, valley.threshold + 0.1
    assert valley.within == ((values >= low) & (values < high)).sum() == fewest
    assert valley.above == (values >= high).sum()
    assert valley.below == (values < low).sum()
    assert valley.clear == (valley.within <= 0.1 * valley.above)


def test_the_valley_lies_in_the_middle_of_the_gap():
    scores = np.concatenate([np.full(50, 0.2), np.full(20, 0.9)])
    assert find_valley(scores).threshold == pytest.approx(0.6, abs=0.01)  # of 0.4 .. 0.8
    assert not find_valley(np.linspace(0, 1, 400)).clear


def test_residual_against_a_slow_mean():
    pixels = noise(1)[0]
    padded = np.pad(pixels.astype(float), ((4, 4), (4, 4), (0, 0)), mode="edge")
    found = residual(pixels, (24, 28))
    for row, column in ((0, 0), (11, 13), (23, 27), (5, 26)):
        mean = padded[row : row + 9, column : column + 9].mean(axis=(0, 1))
        exact = np.clip(pixels[row, column] - mean, -48, 48)
        np.testing.assert_allclose(found[row, column], exact, atol=1e-3)
    assert residual(pixels, (12, 14)).shape == (12, 14, 3)


def test_a_faint_print_is_found_where_it_is_and_nothing_else():
    images = noise(120, 40, 40, seed=5)
    letter = np.zeros((40, 40), bool)
    letter[30:37, 5] = letter[30:37, 9] = letter[33, 5:10] = True
    for i in range(0, 120, 2):
        images[i] = np.where(letter[..., None], images[i] * 0.6 + 255 * 0.4, images[i])
        images[i] = images[i].astype(np.uint8)
    groups = np.zeros(120, dtype=int)
    grid = choose_grid(images)
    assert grid == (40, 40)
    ((group, pattern),) = find_patterns(images, groups, grid)
    assert group == 0
    found = np.zeros((40, 40), bool)
    found[tuple(pattern.offsets.T)] = True
    assert found[letter].mean() > 0.9
    grown = np.zeros_like(letter)
    for row, column in np.argwhere(letter):
        grown[max(0, row - 5) : row + 6, max(0, column - 5) : column + 6] = True
    assert not found[~grown].any()
    scores = np.array([pattern.match(residual(i, grid)) for i in images])
    assert scores[::2].min() > scores[1::2].max()
    assert find_patterns(noise(120, 40, 40, seed=6), groups, grid) == []


def test_levels_bin_colours_as_they_say():
    level = Level(shrink=1, bin_width=16, phase=8, tolerance=10)
    pixels = np.zeros((3, 3, 3), np.uint8)
    for value, same in ((7, True), (8, False)):
        other = pixels + np.uint8(value)
        equal = window_keys(other, level, "row")[0] == window_keys(pixels, level, "row")[0]
        assert equal.all() == same
