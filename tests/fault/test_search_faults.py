"""Bad input to the search gives one clear sentence; odd but legal input gives the plain answer."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sundog.bias.search import (
    Problem,
    count_slices,
    slice_p_values,
    sum_slices,
    welch_p_values,
    westfall_young,
)
from sundog.core.errors import InputError


def _tags(n=40, count=4, seed=0):
    return np.random.default_rng(seed).random((n, count)) < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: count_slices(_tags().astype(float), np.ones(40, bool)), "boolean matrix"),
        (lambda: count_slices(_tags()[0], np.ones(40, bool)), "boolean matrix"),
        (lambda: count_slices(_tags(), np.ones(39, bool)), "each of 40 images"),
        (lambda: count_slices(_tags(), np.full(40, np.nan)), "correct must be boolean"),
        (lambda: count_slices(_tags(), np.ones(40, bool), max_tags=0), "max_tags"),
        (lambda: count_slices(_tags(), np.ones(40, bool), min_support=0), "min_support"),
        (lambda: count_slices(_tags(), np.ones(40, bool), max_support=9), "at least min_support"),
        (lambda: count_slices(_tags(), np.ones(40, bool), max_slices=2**31), r"below 2\^31"),
        (lambda: count_slices(_tags(), np.ones(40, bool), threads=0), "threads"),
        (lambda: sum_slices(_tags(), np.ones(40, int)), "floating point"),
        (lambda: sum_slices(_tags(), np.r_[np.nan, np.ones(39)]), "NaN or infinity for 1 of 40"),
        (lambda: _wy(outcome=np.r_[np.inf, np.ones(39)]), "NaN or infinity for 1 of 40"),
        (lambda: _wy(outcome=np.ones(40, int)), "boolean"),
        (lambda: _wy(combos=np.array([[4]])), "tag numbers from 0 to 3"),
        (lambda: _wy(combos=np.array([[-1, 0]])), "at least one in each row"),
        (lambda: _wy(combos=np.array([0, 1])), r"\[slices, max_tags\]"),
        (lambda: _wy(groups=np.zeros(39, int)), "each of 40 images"),
        (lambda: _wy(groups=np.zeros(40)), "whole numbers"),
        (lambda: _wy(permutations=0), "permutations"),
        (lambda: _wy(seed=-1), "seed"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()


def _wy(outcome=None, combos=None, groups=None, **options):
    outcome = np.ones(40, bool) if outcome is None else outcome
    combos = np.array([[0], [1]]) if combos is None else combos
    return westfall_young([Problem(_tags(), outcome, combos, groups)], **options)


def test_too_many_combinations_are_counted_and_refused():
    tags, correct = _tags(60, 30), np.ones(60, bool)
    pairs = count_slices(tags, correct, max_tags=2, min_support=1).support.size
    with pytest.raises(InputError, match=f"max_slices = 100; got {pairs} of up to 2 tags"):
        count_slices(tags, correct, max_tags=3, min_support=1, max_slices=100)
    exactly = count_slices(tags, correct, max_tags=2, min_support=1, max_slices=pairs)
    assert exactly.support.size == pairs


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (7, 0), (1, 3)])
def test_no_image_or_no_tag_gives_no_slice(shape):
    counts = count_slices(np.zeros(shape, bool), np.zeros(shape[0], bool))
    assert counts.combos.shape == (0, 3)
    assert counts.support.dtype == counts.hits.dtype == np.int64
    assert (counts.images, counts.correct) == (shape[0], 0)
    assert slice_p_values(counts).shape == (0,)
    sums = sum_slices(np.zeros(shape, bool), np.zeros(shape[0]))
    assert sums.combos.shape == (0, 3)
    assert welch_p_values(sums).shape == (0,)
    empty = Problem(np.zeros(shape, bool), np.zeros(shape[0], bool), counts.combos)
    usual = Problem(_tags(), np.arange(40) < 20, np.array([[0]]))
    assert westfall_young([]) == []
    found = westfall_young([empty, usual, empty])
    assert [part.size for part in found] == [0, 1, 0]
    alone = westfall_young([usual, empty])[0]
    assert 0 < alone[0] <= 1


def test_one_image():
    tags, yes = np.ones((1, 2), bool), np.ones(1, bool)
    counts = count_slices(tags, yes, min_support=1)
    np.testing.assert_array_equal(counts.combos[:, :2], [[0, -1], [1, -1], [0, 1]])
    np.testing.assert_array_equal(slice_p_values(counts), [1, 1, 1])
    for outcome in (yes, np.ones(1)):
        found = westfall_young([Problem(tags, outcome, counts.combos)], permutations=10)
        np.testing.assert_array_equal(found[0], [1, 1, 1])


def test_tags_on_all_images_and_on_none():
    tags = np.stack([np.ones(50, bool), np.zeros(50, bool), np.arange(50) < 25], axis=1)
    correct = np.arange(50) >= 20
    counts = count_slices(tags, correct)
    np.testing.assert_array_equal(counts.combos[:, :2], [[0, -1], [2, -1], [0, 2]])
    np.testing.assert_array_equal(counts.support, [50, 25, 25])
    np.testing.assert_array_equal(counts.hits, [30, 5, 5])
    p_values = slice_p_values(counts)
    assert p_values[0] == 1
    assert p_values[1] == p_values[2] < 1e-8
    combos = np.array([[0, -1], [1, -1], [2, -1], [0, 2]])
    found = westfall_young([Problem(tags, correct, combos)])[0]
    np.testing.assert_allclose(found, [1, 1, 1 / 1001, 1 / 1001])
    bounded = count_slices(tags, correct, max_support=40)
    np.testing.assert_array_equal(bounded.combos[:, :2], [[2, -1], [0, 2]])


@pytest.mark.parametrize("right", [True, False])
def test_nothing_is_significant_where_all_images_have_one_outcome(right):
    tags = _tags(80, 5)
    counts = count_slices(tags, np.full(80, right))
    np.testing.assert_array_equal(slice_p_values(counts), 1.0)
    for outcome in (np.full(80, right), np.full(80, 0.1)):
        found = westfall_young([Problem(tags, outcome, counts.combos)], permutations=100)[0]
        np.testing.assert_array_equal(found, 1.0)


def test_the_same_images_in_two_tags_get_the_same_p_value():
    tags = _tags(90, 3)
    tags = np.column_stack([tags, tags[:, 0], ~tags[:, 0]])  # and the complement
    outcome = np.random.default_rng(2).random(90) < 0.4 + 0.4 * tags[:, 0]
    for values in (outcome, outcome + np.random.default_rng(3).random(90)):
        found = westfall_young([Problem(tags, values, np.arange(5)[:, None])])[0]
        assert found[0] == found[3] == found[4]


def test_the_loops_compile_where_no_cache_can_be_written(tmp_path):
    """A read-only installation without a home folder compiles in memory."""
    code = """
import numba.core.caching as caching
def refuse(*args):
    raise OSError("read-only file system")
for locator in caching.CacheImpl._locator_classes:
    locator.ensure_cache_path = refuse
import numpy as np
from sundog.bias.search import count_slices
tags = np.ones((20, 2), dtype=bool)
assert count_slices(tags, tags[:, 0]).support.tolist() == [20, 20, 20]
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)
    assert not any(tmp_path.rglob("*.nbc"))
