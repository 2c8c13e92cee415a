"""Edges of the search for slices: nothing to test, everything equal, wrong parameters."""

import numpy as np
import pytest

from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices
from sundog.bias.strata import pooled_slices
from sundog.core.errors import InputError, UnknownNameError


def one(n=60, name="a", right=None, seed=0, groups=None):
    rng = np.random.default_rng(seed)
    correct = rng.random(n) < 0.7 if right is None else np.full(n, right)
    ids = tuple(f"{name}{i}" for i in range(n))
    return ClassImages(name, ids, correct, rng.random(n), groups)


def table(n=60, tags=4, seed=1):
    return np.random.default_rng(seed).random((n, tags)) < 0.5


NAMES = list("wxyz")


def test_no_class_at_all():
    found = find_slices([], {}, NAMES)
    assert (found.slices, found.tested, found.classes) == ((), 0, ())
    assert list(found.table().columns)[:2] == ["class", "concepts"]
    pooled = pooled_slices([], {}, NAMES)
    assert (pooled.slices, pooled.tested) == ((), 0)


@pytest.mark.parametrize(
    ("images", "present", "names", "reason"),
    [
        (one(0), table(0), NAMES, "no image"),
        (one(1), table(1), NAMES, "only 1 images"),
        (one(right=True), table(), NAMES, "every image is right"),
        (one(right=False), table(), NAMES, "every image is wrong"),
        (one(), np.ones((60, 4), bool), NAMES, "no tag is carried by 10"),
        (one(), np.zeros((60, 4), bool), NAMES, "no tag is carried by 10"),
        (one(), np.zeros((60, 0), bool), [], "no tag is carried by 10"),
    ],
)
def test_what_cannot_be_tested_says_why(images, present, names, reason):
    found = find_slices([images], {"a": present}, names)
    assert found.tested == 0
    assert found.slices == ()
    assert found.classes[0].reason.startswith(reason)
    assert np.isnan(found.classes[0].smallest_detectable)
    pooled = pooled_slices([images], {"a": present}, names, progress=False)
    assert pooled.slices == ()
    assert pooled.tested == 0


def test_constant_confidence_says_why():
    flat = ClassImages("a", tuple(map(str, range(60))), one().correct, np.full(60, 0.5))
    found = find_slices([flat], {"a": table()}, NAMES, metric="confidence")
    assert found.classes[0].reason == "every image has the same confidence"
    assert find_slices([flat], {"a": table()}, NAMES).tested > 0


def test_an_untestable_class_does_not_change_the_others():
    images, present = one(200, seed=3), table(200, seed=4)
    images.correct[present[:, 0] & present[:, 1]] = False
    alone = find_slices([images], {"a": present}, NAMES, seed=5)
    with_empty = find_slices(
        [images, one(0, name="b"), one(name="c", right=True)],
        {"a": present, "b": table(0), "c": table()},
        NAMES,
        seed=5,
    )
    assert with_empty.tested == alone.tested
    assert with_empty.slices == alone.slices
    assert alone.slices[0].concepts == ("w", "x")


def test_tags_that_all_or_too_few_carry_are_counted_and_left_out():
    present = table()
    present[:, 0] = True
    present[:, 1] = np.arange(60) < 4
    found = find_slices(
        [one()], {"a": present}, NAMES, adjustment="none", alpha=1.0, min_gap=0.0, minimality="none"
    )
    row = found.classes[0]
    assert (row.tags, row.rare, row.constant) == (2, 1, 1)
    assert {name for s in found.slices for name in s.concepts} == {"y", "z"}


def test_more_tags_per_combination_than_there_are_tags():
    few = find_slices([one()], {"a": table()}, NAMES, max_tags=4, seed=1)
    many = find_slices([one()], {"a": table()}, NAMES, max_tags=9, seed=1)
    assert many.tested == few.tested
    assert many.slices == few.slices


def test_same_seed_same_result_whatever_the_threads_and_the_order_of_names():
    images, present = one(300, seed=6), table(300, tags=6, seed=7)
    images.correct[present[:, 0] & present[:, 2]] = False
    names = list("abcdef")
    first = find_slices([images], {"a": present}, names, seed=9, threads=1)
    second = find_slices([images], {"a": present}, names, seed=9, threads=2)
    assert first == second
    order = [3, 0, 5, 2, 1, 4]
    moved = find_slices([images], {"a": present[:, order]}, [names[i] for i in order], seed=9)
    assert {frozenset(s.concepts) for s in moved.slices} == {
        frozenset(s.concepts) for s in first.slices
    }


def test_unadjusted_results_say_so():
    found = find_slices([one()], {"a": table()}, NAMES, adjustment="none")
    assert not found.adjusted
    assert "not adjusted" in found.notes[0]
    assert find_slices([one()], {"a": table()}, NAMES).adjusted


def test_near_duplicates_are_moved_together_and_widen_the_interval():
    rng = np.random.default_rng(8)
    base, tags = one(40, seed=8), table(40, seed=9)
    tags[:, 0] = rng.random(40) < np.where(base.correct, 0.3, 0.75)
    groups = np.repeat(np.arange(40), 5)
    ids = tuple(str(i) for i in range(200))
    repeated = (np.repeat(base.correct, 5), np.repeat(base.confidence, 5))
    present = {"a": np.repeat(tags, 5, axis=0)}
    options = {"min_gap": 0.0, "alpha": 1.0, "minimality": "none", "max_tags": 1}
    blind = find_slices([ClassImages("a", ids, *repeated)], present, NAMES, **options)
    aware = find_slices([ClassImages("a", ids, *repeated, groups)], present, NAMES, **options)
    by = {s.concepts: s for s in aware.slices}
    for s in blind.slices:
        other = by[s.concepts]
        assert other.p_adjusted >= s.p_adjusted
        assert other.gap.high - other.gap.low > 1.8 * (s.gap.high - s.gap.low)
    assert any(by[s.concepts].p_adjusted > 5 * s.p_adjusted for s in blind.slices)
    holm = find_slices(
        [ClassImages("a", ids, *repeated, groups)], present, NAMES, adjustment="holm"
    )
    assert any("Near-duplicates" in note for note in holm.notes)


def test_every_slice_is_counted_once_among_the_dropped():
    images, present = one(300, seed=6), table(300, tags=6, seed=7)
    images.correct[present[:, 0] & present[:, 2]] = False
    found = find_slices([images], {"a": present}, list("abcdef"), min_tags=2)
    assert found.tested == len(found.slices) + sum(found.dropped.values())
    assert all(len(s.concepts) >= 2 for s in found.slices)
    assert found.slices[0].concepts == ("a", "c")


def test_the_smallest_detectable_gap_is_found_with_about_80_percent():
    rng = np.random.default_rng(12)
    present = np.zeros((200, 2), bool)
    present[:100, 0] = True
    present[50:150, 1] = True
    row = find_slices([one(200, seed=1)], {"a": present}, list("ab"), max_tags=2).classes[0]
    gap, share = row.smallest_detectable, row.mean
    found = 0
    for _ in range(300):
        rate = np.where(present[:, 0], share - gap, share)  # harder to see than a rise
        images = ClassImages(
            "a", tuple(map(str, range(200))), rng.random(200) < rate, rng.random(200)
        )
        result = find_slices(
            [images], {"a": present}, list("ab"), max_tags=2, adjustment="holm", minimality="none"
        )
        found += any(s.concepts == ("a",) for s in result.slices)
    assert 0.7 <= found / 300 <= 0.92


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"adjustment": "westfal_young"}, UnknownNameError, "'westfall_young'"),
        ({"metric": "acuracy"}, UnknownNameError, "'accuracy'"),
        ({"minimality": "recursiv"}, UnknownNameError, "'recursive'"),
        ({"max_tags": 0}, InputError, "at least 1"),
        ({"min_tags": 4}, InputError, "at most max_tags = 3"),
        ({"min_support": 0}, InputError, "at least 1"),
        ({"min_gap": float("nan")}, InputError, r"in \[0, 1\]"),
        ({"alpha": 0.0}, InputError, "in (0, 1]"),
        ({"minimal_criteria": [0.1] * 3}, InputError, "have no thresholds"),
        ({"minimality": "recursive", "minimal_criteria": [0.1] * 2}, InputError, "at least max_"),
        ({"minimality": "prime", "minimal_criteria": [0, 2, 0]}, InputError, r"in \[0, 1\]"),
        ({"minimality": "recursive", "max_tags": 5}, InputError, "at least max_tags = 5"),
    ],
)
def test_wrong_parameters_are_named(options, error, message):
    with pytest.raises(error) as caught:
        find_slices([one()], {"a": table()}, NAMES, **options)
    assert message.replace("\\", "") in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"adjustment": "bonferoni"}, UnknownNameError, "adjustment"),
        ({"minimality": "prime"}, UnknownNameError, "minimality"),
        ({"metric": "loss"}, UnknownNameError, "metric"),
        ({"min_tags": 3}, InputError, "1 to max_tags = 2"),
        ({"alpha": 2.0}, InputError, "alpha"),
    ],
)
def test_wrong_parameters_of_pooled_slices_are_named(options, error, message):
    with pytest.raises(error, match=message):
        pooled_slices([one()], {"a": table()}, NAMES, **options)


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"bool\[60, 4\]"):
        find_slices([one()], {"a": table(59)}, NAMES)
    with pytest.raises(InputError, match=r"bool\[60, 4\].*float64"):
        find_slices([one()], {"a": table().astype(float)}, NAMES)
    with pytest.raises(UnknownNameError, match="present: class"):
        find_slices([one()], {"b": table()}, NAMES)
    with pytest.raises(UnknownNameError, match="tags: class"):
        find_slices([one()], {"a": table()}, {"b": NAMES})
    with pytest.raises(InputError, match="1 repeated"):
        find_slices([one()], {"a": table()}, list("wwyz"))
    with pytest.raises(InputError, match="'a' twice"):
        find_slices([one(), one()], {"a": table()}, NAMES)
    with pytest.raises(InputError, match="one string"):
        find_slices([one()], {"a": table()}, "wxyz")
    with pytest.raises(InputError, match="a mapping"):
        pooled_slices([one()], {"a": table()}, {"a": NAMES})


def test_confidence_that_is_nan_is_refused():
    broken = np.full(60, np.nan)
    with pytest.raises(InputError, match="NaN"):
        ClassImages("a", tuple(map(str, range(60))), one().correct, broken)


def test_tag_names_may_differ_between_classes():
    found = find_slices(
        [one(), one(name="b", seed=3)],
        {"a": table(), "b": table(tags=2)},
        {"a": NAMES, "b": ["p", "q"]},
        adjustment="none",
        alpha=1.0,
        min_gap=0.0,
        minimality="none",
    )
    named = {s.class_name: set() for s in found.slices}
    for s in found.slices:
        named[s.class_name] |= set(s.concepts)
    assert named == {"a": set(NAMES), "b": {"p", "q"}}


def test_results_become_plain_dictionaries():
    found = find_slices([one()], {"a": table()}, NAMES, adjustment="none", alpha=1.0, min_gap=0.0)
    plain = found.to_dict()
    assert plain["slices"][0]["gap"]["level"] == 0.95
    assert found.slices[0].to_dict() == plain["slices"][0]
    pooled = pooled_slices(
        [one()], {"a": table()}, NAMES, adjustment="none", alpha=1.0, min_gap=0.0, progress=False
    )
    assert pooled.to_dict()["slices"][0] == pooled.slices[0].to_dict()
