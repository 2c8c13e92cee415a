"""Edges of slices across classes: tags that mark classes, classes of one image."""

import numpy as np
import pytest

from sundog.bias.class_images import ClassImages
from sundog.bias.strata import pooled_slices

OPTIONS = {"minimality": "none", "alpha": 1.0, "min_gap": 0.0, "progress": False}


def make(name, right):
    right = np.asarray(right, dtype=bool)
    ids = tuple(f"{name}{i}" for i in range(len(right)))
    return ClassImages(name, ids, right, np.where(right, 0.9, 0.2))


def test_a_tag_that_marks_a_class_is_not_testable_and_its_pairs_have_finite_shares():
    rng = np.random.default_rng(0)
    classes = [make("a", rng.random(80) < 0.9), make("b", rng.random(80) < 0.4)]
    present = {name: rng.random((80, 2)) < 0.5 for name in "ab"}
    present["a"][:, 0], present["b"][:, 0] = True, False
    found = pooled_slices(classes, present, ["marker", "tag"], adjustment="holm", **OPTIONS)
    assert found.untestable == 1
    assert found.tested == 2
    by = {one.effect.concepts: one for one in found.slices}
    assert set(by) == {("tag",), ("marker", "tag")}
    pair = by["marker", "tag"]
    shares = pair.effect.shapley
    assert sum(shares.values()) == pytest.approx(pair.effect.gap.value)
    assert np.isfinite(list(shares.values())).all()
    assert [one.class_name for one in pair.classes] == ["a"]
    assert pair.effect.n_absent == 80 - pair.effect.n_present


def test_a_tag_on_every_image_is_left_out():
    rng = np.random.default_rng(1)
    classes = [make("a", rng.random(50) < 0.7)]
    present = {"a": np.column_stack([np.ones(50, bool), rng.random(50) < 0.4])}
    found = pooled_slices(classes, present, ["all", "some"], adjustment="none", **OPTIONS)
    assert [one.effect.concepts for one in found.slices] == [("some",)]


def test_classes_without_images_or_with_one_change_nothing():
    rng = np.random.default_rng(2)
    classes = [make("a", rng.random(60) < 0.6), make("b", rng.random(70) < 0.8)]
    present = {one.name: rng.random((len(one), 3)) < 0.4 for one in classes}
    names = ["x", "y", "z"]
    first = pooled_slices(classes, present, names, **OPTIONS)
    more = [*classes, make("none", []), make("single", [False])]
    wide = present | {"none": np.zeros((0, 3), bool), "single": np.ones((1, 3), bool)}
    second = pooled_slices(more, wide, names, **OPTIONS)
    before = {one.effect.concepts: one for one in first.slices}
    assert second.tested == first.tested > 3
    for one in second.slices:
        same = before[one.effect.concepts].effect
        assert one.effect.gap.value == pytest.approx(same.gap.value, abs=1e-12)
        assert one.effect.p == pytest.approx(same.p, rel=1e-9)
        assert one.effect.p_adjusted == same.p_adjusted
        assert one.effect.n_present == same.n_present + 1


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
def test_only_classes_that_are_always_right_can_say_nothing(metric):
    classes = [make("a", np.ones(40)), make("b", np.ones(40))]
    present = {name: np.random.default_rng(3).random((40, 2)) < 0.5 for name in "ab"}
    found = pooled_slices(classes, present, ["x", "y"], metric=metric, **OPTIONS)
    assert found.tested == 0
    assert found.untestable == 3
    assert found.slices == ()


def test_near_duplicates_across_classes_move_together():
    rng = np.random.default_rng(4)
    right = rng.random(40) < 0.6
    tag = rng.random(40) < np.where(right, 0.3, 0.8)
    ids = tuple(map(str, range(200)))
    many = (np.repeat(right, 5), np.repeat(right, 5) * 0.5)
    groups = np.repeat(np.arange(40), 5)
    present = {"a": np.repeat(tag, 5)[:, None]}
    options = OPTIONS | {"max_tags": 1}
    blind = pooled_slices([ClassImages("a", ids, *many)], present, ["t"], **options)
    aware = pooled_slices([ClassImages("a", ids, *many, groups)], present, ["t"], **options)
    single = pooled_slices([make("a", right)], {"a": tag[:, None]}, ["t"], **options)
    assert blind.slices[0].effect.p_adjusted == pytest.approx(1 / 1001)
    got, want = aware.slices[0].effect.p_adjusted, single.slices[0].effect.p_adjusted
    assert got == pytest.approx(want, abs=0.02)
    widths = [
        found.slices[0].effect.gap.high - found.slices[0].effect.gap.low
        for found in (blind, aware, single)
    ]
    assert widths[1] == pytest.approx(widths[2], rel=0.02)
    assert widths[0] < 0.5 * widths[1]


def test_same_seed_same_result():
    rng = np.random.default_rng(5)
    classes = [make("a", rng.random(60) < 0.6), make("b", rng.random(70) < 0.8)]
    present = {one.name: rng.random((len(one), 4)) < 0.4 for one in classes}
    first = pooled_slices(classes, present, list("wxyz"), seed=3, threads=1, **OPTIONS)
    second = pooled_slices(classes, present, list("wxyz"), seed=3, threads=2, **OPTIONS)
    other = pooled_slices(classes, present, list("wxyz"), seed=4, **OPTIONS)

    def adjusted(found):
        return [one.effect.p_adjusted for one in found.slices]

    assert adjusted(first) == adjusted(second)
    assert adjusted(first) != adjusted(other)
