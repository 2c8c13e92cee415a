"""ClassImages: what it accepts, refuses and hands on."""

import numpy as np
import pytest

from sundog.bias.class_images import ClassImages
from sundog.core.errors import InputError, UnknownNameError


def _cats(**changes):
    fields = {
        "name": "cat",
        "ids": ("a", "b", "c"),
        "correct": np.array([True, False, True]),
        "confidence": np.array([0.9, 0.2, 0.6], dtype=np.float32),
        "groups": np.array([0, 1, 0], dtype=np.int32),
    }
    return ClassImages(**(fields | changes))


def test_columns_have_one_dtype_and_outcome_follows_the_metric():
    cats = _cats(ids=["a", "b", "c"])
    assert len(cats) == 3
    assert cats.ids == ("a", "b", "c")
    assert cats.confidence.dtype == np.float64
    assert cats.groups.dtype == np.int64
    assert cats.outcome("accuracy").tolist() == [True, False, True]
    assert cats.outcome("confidence") == pytest.approx([0.9, 0.2, 0.6], rel=1e-6)


@pytest.mark.parametrize("keep", [[2, 0], np.array([2, 0])])
def test_rows_by_index_keep_the_order_asked_for(keep):
    part = _cats().rows(keep)
    assert part.ids == ("c", "a")
    assert part.correct.tolist() == [True, True]
    assert part.groups.tolist() == [0, 0]


def test_rows_by_mask_and_none_at_all():
    assert _cats().rows(np.array([False, True, False])).ids == ("b",)
    assert len(_cats().rows([])) == 0
    assert len(_cats().rows(np.zeros(3, dtype=bool))) == 0


def test_an_empty_class_is_fine():
    empty = ClassImages(name="cat", ids=(), correct=np.array([]), confidence=np.array([]))
    assert len(empty) == 0
    assert empty.outcome("accuracy").dtype == bool
    assert empty.outcome("confidence").dtype == np.float64


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": ("a", "a", "b")}, "distinct; got 1 repeated"),
        ({"correct": np.array([1.0, 0.0, 1.0])}, r"bool\[3\].*float64\[3\]"),
        ({"correct": np.array([True, False])}, r"one value per image; got bool\[2\]"),
        ({"confidence": np.array([0.5, np.nan, 0.5])}, "NaN or values outside for 1 of 3"),
        ({"confidence": np.array([0.5, 1.2, 0.5])}, "NaN or values outside for 1 of 3"),
        ({"groups": np.array([0.0, 1.0, 1.0])}, r"int64\[3\]"),
    ],
)
def test_bad_columns_are_refused_with_the_reason(changes, words):
    with pytest.raises(InputError, match=words):
        _cats(**changes)


def test_unknown_metric_names_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        _cats().outcome("acuracy")
