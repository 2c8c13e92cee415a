"""Single concepts and rankings on bad and degenerate input: a reason, or a clear error."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sundog.bias import hidden
from sundog.bias.class_images import ClassImages
from sundog.core.errors import InputError, UnknownNameError


def _class(n, *, name="cat", wrong=None, groups=None, seed=0):
    rng = np.random.default_rng(seed)
    right = np.ones(n, dtype=bool)
    right[: n // 4 if wrong is None else wrong] = False
    confidence = np.where(right, 0.9, 0.2) * (0.5 + rng.random(n) / 2)
    return ClassImages(name, tuple(f"{name}{i}" for i in range(n)), right, confidence, groups)


def _tags(n, *counts):
    return np.stack([np.arange(n) % n < count for count in counts], axis=1)


def test_every_pair_comes_back_with_the_reason_it_was_not_tested():
    classes = [
        ClassImages("empty", (), np.zeros(0, dtype=bool), np.zeros(0)),
        _class(1, name="one"),
        _class(40, name="right", wrong=0),
        _class(40, name="wrong", wrong=40),
        _class(40, name="cat"),
    ]
    present = {
        c.name: _tags(len(c), 0, 3, 20, 37, 40) if len(c) > 1 else np.zeros((len(c), 5), bool)
        for c in classes
    }
    names = ["never", "rare", "half", "common", "always"]
    effects = hidden.test_concepts(classes, present, names)
    assert len(effects) == 25
    reasons = {(e.class_name, e.concept): e.reason for e in effects}
    assert reasons["empty", "half"] == "the class has no image"
    assert reasons["one", "half"] == "the class has only one image"
    assert reasons["right", "half"] == "every image is right"
    assert reasons["wrong", "half"] == "every image is wrong"
    assert reasons["cat", "never"] == "no image with the concept (5 needed)"
    assert reasons["cat", "rare"] == "only 3 images with the concept (5 needed)"
    assert reasons["cat", "common"] == "only 3 images without the concept (5 needed)"
    assert reasons["cat", "always"] == "no image without the concept (5 needed)"
    assert [key for key, reason in reasons.items() if not reason] == [("cat", "half")]
    for effect in effects:
        assert effect.tested == (not math.isnan(effect.p)) == (not math.isnan(effect.p_adjusted))
        assert (effect.test == "none") != effect.tested
        json.dumps(effect.to_dict(), allow_nan=False)
    # One test in all: nothing to correct for beyond Monte Carlo error.
    (tested,) = [e for e in effects if e.tested]
    assert tested.p_adjusted == pytest.approx(max(tested.p, 1 / 1001), abs=0.02)
    # A perfect class says how large a drop would have been seen.
    perfect = next(e for e in effects if (e.class_name, e.concept) == ("right", "half"))
    assert 0.1 < perfect.smallest_detectable < 0.5


def test_confidence_that_never_varies_is_a_reason():
    flat = ClassImages("cat", tuple("abcdefghij"), np.arange(10) > 2, np.full(10, 0.7))
    (effect,) = hidden.test_concepts([flat], {"cat": _tags(10, 5)}, ["x"], metric="confidence")
    assert effect.reason == "every image has the same confidence"
    assert math.isnan(effect.smallest_detectable)


def test_support_counts_near_duplicates_once():
    images = _class(40, groups=np.arange(40) // 8)
    (effect,) = hidden.test_concepts([images], {"cat": _tags(40, 16)}, ["x"])
    assert effect.reason == "only 2 distinct images with the concept (5 needed)"


def test_no_class_and_no_concept_give_nothing():
    assert hidden.test_concepts([], {}, ["x"]) == ()
    assert hidden.test_concepts([_class(9)], {"cat": np.zeros((9, 0), dtype=bool)}, []) == ()
    assert hidden.test_rankings([], {}) == ()
    assert hidden.test_rankings([_class(9)], {"cat": {}}) == ()


@pytest.mark.parametrize(
    ("present", "concepts", "words"),
    [
        ({}, ["x"], "Class in present"),
        ({"cat": _tags(20, 5), "dog": _tags(20, 5)}, ["x"], "entry of present.*'dog'"),
        ({"cat": _tags(19, 5)}, ["x"], r"bool\[20, 1\].*bool\[19, 1\]"),
        ({"cat": _tags(20, 5, 6)}, ["x"], r"bool\[20, 1\].*bool\[20, 2\]"),
        ({"cat": _tags(20, 5).astype(float)}, ["x"], r"got float64\[20, 1\]"),
        ({"cat": _tags(20, 5, 6)}, ["x", "x"], "distinct; got repeated names"),
        ({"cat": _tags(20, 5)}, {"dog": ["x"]}, "Class in concepts"),
    ],
)
def test_tags_that_do_not_fit_are_refused(present, concepts, words):
    with pytest.raises(InputError, match=words):
        hidden.test_concepts([_class(20)], present, concepts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "loss"}, "metric"),
        ({"adjustment": "bonferroni"}, "adjustment"),
        ({"min_support": 1}, "at least 2"),
        ({"alpha": 0}, "alpha"),
        ({"power": 1}, "power"),
        ({"level": 95}, "level"),
        ({"permutations": 9}, "at least 99"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        hidden.test_concepts([_class(20)], {"cat": _tags(20, 8)}, ["x"], **options)
    with pytest.raises(InputError, match=words):
        hidden.test_rankings([_class(20)], {"cat": {"x": np.arange(20.0)}}, **options)


def test_classes_of_one_name_are_refused():
    with pytest.raises(InputError, match="Class names"):
        hidden.test_concepts([_class(9), _class(9)], {"cat": _tags(9, 5)}, ["x"])


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (np.full(20, 0.3), "every image has the same score"),
        (np.full(20, np.nan), "no image has a score"),
        (
            np.r_[np.full(18, np.nan), 0.1, 0.2],
            "only 1 image in the upper half of the scores (5 needed)",
        ),
        (np.r_[np.full(19, np.nan), 0.1], "the class has only one image"),
        (np.r_[1.0, np.zeros(19)], "only 1 image in the upper half of the scores (5 needed)"),
    ],
)
def test_rankings_that_cannot_be_tested_say_why(scores, reason):
    (effect,) = hidden.test_rankings([_class(20)], {"cat": {"x": scores}})
    assert effect.reason == reason
    assert math.isnan(effect.p)
    assert effect.unknown == np.isnan(scores).sum()
    json.dumps(effect.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (np.arange(19.0), r"float\[20\].*float64\[19\]"),
        (np.arange(20.0)[:, None], r"got float64\[20, 1\]"),
        (np.array(["high"] * 20), "one per image of the class"),
        (np.r_[np.inf, np.arange(19.0)], "infinity for 1 of 20"),
    ],
)
def test_scores_of_the_wrong_kind_are_refused(scores, words):
    with pytest.raises(InputError, match=words):
        hidden.test_rankings([_class(20)], {"cat": {"x": scores}})


def test_unknown_names_are_refused_in_rankings():
    with pytest.raises(UnknownNameError, match="Did you mean 'cat'"):
        hidden.test_rankings([_class(9)], {"cat": {}, "ca": {}})
    with pytest.raises(InputError, match="top_k"):
        hidden.test_rankings([_class(9)], {"cat": {}}, top_k=0)


def test_top_gap_takes_at_most_half_of_the_class():
    images = _class(7, wrong=3)
    (effect,) = hidden.test_rankings([images], {"cat": {"x": np.arange(7.0)}}, top_k=5)
    assert effect.top_k == 3
    assert effect.top_gap == 1


@given(st.integers(0, 200), st.sampled_from(["accuracy", "confidence"]))
def test_order_of_images_classes_and_concepts_does_not_matter(seed, metric):
    rng = np.random.default_rng(seed)
    images = _class(30, seed=seed)
    tags = rng.random((30, 3)) < 0.4
    scores = {name: rng.normal(size=30) for name in "xyz"}
    options = {"metric": metric, "permutations": 99, "adjustment": "none"}
    shuffle = rng.permutation(30)
    plain = hidden.test_concepts([images], {"cat": tags}, ["x", "y", "z"], **options)
    mixed = hidden.test_concepts(
        [images.rows(shuffle)], {"cat": tags[shuffle][:, ::-1]}, ["z", "y", "x"], **options
    )
    ranked = hidden.test_rankings([images], {"cat": scores}, **options)
    reranked = hidden.test_rankings(
        [images.rows(shuffle)], {"cat": {n: scores[n][shuffle] for n in "zyx"}}, **options
    )
    for one, two in [
        *zip(plain, mixed[::-1], strict=True),
        *zip(ranked, reranked[::-1], strict=True),
    ]:
        assert one.concept == two.concept
        for field in ("n_present", "mean_present", "smallest_detectable", "direction", "reason"):
            a, b = getattr(one, field), getattr(two, field)
            assert a == b or a == pytest.approx(b, nan_ok=True)
        assert one.gap.value == pytest.approx(two.gap.value, nan_ok=True)
        if metric == "accuracy":  # exact; else the permutations are others
            assert one.p == pytest.approx(two.p, nan_ok=True)


def test_same_seed_same_result_whatever_the_threads():
    rng = np.random.default_rng(1)
    classes = [_class(60, name=n, seed=i) for i, n in enumerate("ab")]
    present = {n: rng.random((60, 4)) < 0.4 for n in "ab"}
    for metric in ("accuracy", "confidence"):
        one = hidden.test_concepts(classes, present, list("wxyz"), metric=metric, threads=1)
        two = hidden.test_concepts(classes, present, list("wxyz"), metric=metric, threads=2)
        assert [dataclasses.astuple(e) for e in one] == [dataclasses.astuple(e) for e in two]
        alone = hidden.test_concepts(
            classes[1:], {"b": present["b"]}, list("wxyz"), metric=metric, adjustment="none"
        )
        assert [e.p for e in alone] == [e.p for e in one[4:]]
