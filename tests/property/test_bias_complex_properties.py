"""What must not change the result of a search, on arbitrary small classes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices
from sundog.bias.strata import pooled_slices

NAMES = list("abcde")
PLAIN = {"adjustment": "holm", "alpha": 1.0, "min_gap": 0.0, "min_support": 4}


@st.composite
def worlds(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(0, 60))
    present = rng.random((n, 5)) < rng.choice([0.0, 0.2, 0.5, 0.9, 1.0], 5)
    right = rng.random(n) < draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    return right, rng.random(n), present


def run(right, confidence, present, **options):
    one = ClassImages("x", tuple(map(str, range(len(right)))), right, confidence)
    return find_slices([one], {"x": present}, NAMES, **PLAIN | options)


def key(found):
    return {s.concepts: (s.n_present, round(s.gap.value, 12), round(s.p, 9)) for s in found.slices}


@settings(max_examples=40)
@given(worlds(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_images_does_not_matter(world, seed):
    order = np.random.default_rng(seed).permutation(len(world[0]))
    for metric in ("accuracy", "confidence"):
        options = {"metric": metric, "minimality": "none"}
        first = run(*world, **options)
        assert key(first) == key(run(*(part[order] for part in world), **options))


@settings(max_examples=40)
@given(worlds())
def test_right_and_wrong_swapped_turns_every_gap_around(world):
    right, confidence, present = world
    first = run(right, confidence, present, minimality="none")
    second = run(~right, confidence, present, minimality="none")
    turned = {name: (n, -gap, p) for name, (n, gap, p) in key(second).items()}
    assert key(first) == turned
    bounds = {s.concepts: (round(-s.gap.high, 9), round(-s.gap.low, 9)) for s in second.slices}
    assert {s.concepts: (round(s.gap.low, 9), round(s.gap.high, 9)) for s in first.slices} == bounds


@settings(max_examples=40)
@given(worlds())
def test_what_is_told_adds_up(world):
    for metric in ("accuracy", "confidence"):
        found = run(*world, metric=metric)
        assert found.tested == len(found.slices) + sum(found.dropped.values())
        for s in found.slices:
            assert abs(sum(s.shapley.values()) - s.gap.value) < 1e-9
            assert abs(s.mean_present - s.mean_absent - s.gap.value) < 1e-9
            assert s.n_present + s.n_absent == len(world[0])
            assert 0 <= s.p <= s.p_adjusted + 1e-12 <= 1 + 1e-9
            assert np.isnan(s.gap.low) or s.gap.low <= s.gap.value <= s.gap.high


@settings(max_examples=25)
@given(worlds())
def test_one_class_pooled_is_the_class(world):
    right, confidence, present = world
    one = ClassImages("x", tuple(map(str, range(len(right)))), right, confidence)
    alone = run(*world, minimality="none", max_tags=2)
    pooled = pooled_slices([one], {"x": present}, NAMES, minimality="none", progress=False, **PLAIN)
    single = {s.concepts: s.gap.value for s in alone.slices}
    together = {s.effect.concepts: s.effect.gap.value for s in pooled.slices}
    assert set(together) == set(single)
    for concepts, gap in together.items():
        assert abs(gap - single[concepts]) < 1e-9
