"""What holds for every cue, strength and seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from sundog.data.planting import CUES, make_cue

SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def some(count, side=24, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.rand(count, 3, side, side, generator=draw),
        torch.randint(4, (count,), generator=draw),
        [f"{seed}-{i}" for i in range(count)],
    )


@SETTINGS
@given(
    name=st.sampled_from(sorted(CUES)),
    strength=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    target=st.sampled_from([None, 0, 3]),
)
def test_planting_does_not_depend_on_the_batch(name, strength, seed, target):
    batch, labels, ids = some(5, seed=seed % 7)
    before = batch.clone()
    cue = make_cue(name, class_count=4, strength=strength, seed=seed, target_class=target)
    whole = cue.plant(batch, labels, ids)
    again = make_cue(name, class_count=4, strength=strength, seed=seed, target_class=target)
    order = [3, 1, 4, 0, 2]
    mixed = again.plant(batch[order], labels[order], [ids[i] for i in order])
    alone = cue.plant(batch[2:3], labels[2:3], ids[2:3])
    assert torch.equal(batch, before)
    assert torch.equal(mixed.images, whole.images[order])
    assert torch.equal(mixed.masks, whole.masks[order])
    assert torch.equal(alone.images, whole.images[2:3])
    assert torch.equal(alone.cue_class, whole.cue_class[2:3])


@SETTINGS
@given(
    name=st.sampled_from(sorted(CUES)),
    seed=st.integers(0, 2**31),
    height=st.integers(20, 40),
    width=st.integers(20, 40),
    target=st.sampled_from([None, 2]),
)
def test_pixels_outside_the_mask_are_untouched(name, seed, height, width, target):
    draw = torch.Generator().manual_seed(seed)
    batch = torch.rand(4, 3, height, width, generator=draw)
    cue = make_cue(name, class_count=4, strength=0.5, seed=seed, target_class=target)
    planted = cue.plant(batch, torch.arange(4), list("abcd"))
    keep = ~planted.masks[:, None].expand_as(batch)
    assert torch.equal(planted.images[keep], batch[keep])
    assert torch.equal(planted.present, planted.masks.flatten(1).any(dim=1))
    assert float(planted.images.min()) >= 0
    assert float(planted.images.max()) <= 1
    if CUES[name].local:
        assert bool((planted.masks.flatten(1).float().mean(dim=1) < 0.9).all())
    elif target is None:
        assert bool(planted.masks.all())


@SETTINGS
@given(seed=st.integers(0, 2**31), target=st.sampled_from([None, 1]))
def test_strength_one_always_agrees_and_zero_never(seed, target):
    _, labels, ids = some(200, side=1, seed=seed % 11)
    for strength, expected in ((1.0, True), (0.0, False)):
        cue = make_cue("tint", class_count=4, strength=strength, seed=seed, target_class=target)
        drawn = cue.draw(labels, ids)
        assert bool(((drawn == labels) == expected).all())
        if target is not None:
            assert torch.equal(drawn == target, (labels == target) == expected)


@SETTINGS
@given(seed=st.integers(0, 2**31), low=st.floats(0, 1), high=st.floats(0, 1))
def test_more_strength_only_adds_agreement(seed, low, high):
    low, high = sorted((low, high))
    _, labels, ids = some(60, side=1, seed=seed % 11)
    weak = make_cue("tint", class_count=4, strength=low, seed=seed).draw(labels, ids) == labels
    strong = make_cue("tint", class_count=4, strength=high, seed=seed).draw(labels, ids) == labels
    assert bool((weak <= strong).all())


@pytest.mark.parametrize("strength", [0.25, 0.6, 0.95])
def test_strength_is_the_probability_and_the_others_are_uniform(strength):
    count = 6000
    labels = torch.arange(count) % 4
    ids = [str(i) for i in range(count)]
    drawn = make_cue("tint", class_count=4, strength=strength, seed=5).draw(labels, ids)
    agree = int((drawn == labels).sum())
    assert stats.binomtest(agree, count, strength).pvalue > 1e-3
    steps = ((drawn - labels) % 4).numpy()
    others = np.bincount(steps, minlength=4)[1:]
    assert stats.chisquare(others).pvalue > 1e-3
    at_chance = make_cue("tint", class_count=4, seed=5)
    assert at_chance.chance_strength == 0.25


def test_binary_strength_is_the_agreement_in_both_groups():
    count = 6000
    labels = torch.arange(count) % 4
    ids = [str(i) for i in range(count)]
    cue = make_cue("tint", class_count=4, strength=0.8, seed=1, target_class=2)
    present = cue.draw(labels, ids) == 2
    inside, outside = present[labels == 2], present[labels != 2]
    assert stats.binomtest(int(inside.sum()), len(inside), 0.8).pvalue > 1e-3
    assert stats.binomtest(int(outside.sum()), len(outside), 0.2).pvalue > 1e-3
    assert cue.chance_strength == 0.5


def test_seeds_and_cues_draw_independently():
    count = 4000
    labels = torch.arange(count) % 4
    ids = [str(i) for i in range(count)]

    def agrees(name, seed):
        drawn = make_cue(name, class_count=4, strength=0.5, seed=seed).draw(labels, ids)
        return (drawn == labels).numpy()

    first = agrees("tint", 0)
    np.testing.assert_array_equal(first, agrees("tint", 0))
    for other in (agrees("tint", 1), agrees("patch", 0)):
        table = np.array([[np.sum((first == a) & (other == b)) for b in (0, 1)] for a in (0, 1)])
        assert stats.chi2_contingency(table).pvalue > 1e-3


def test_each_attribute_of_a_conjunction_alone_says_nothing():
    count = 2000
    labels = torch.arange(count) % 2
    black = torch.zeros(count, 3, 8, 8)
    planted = make_cue("conjunction", class_count=2, size=0.25).plant(
        black, labels, [str(i) for i in range(count)]
    )
    blue = planted.images[:, 2] > planted.images[:, 0]
    patch, tint = blue[:, 7, 7], blue[:, 0, 0]
    assert torch.equal((patch == tint), labels == 0)
    for attribute in (patch, tint):
        table = [[int((attribute & (labels == c)).sum()) for c in (0, 1)]]
        table += [[count // 2 - n for n in table[0]]]
        assert stats.chi2_contingency(np.array(table)).pvalue > 1e-3


def test_random_places_differ_between_images_and_stay_inside():
    batch = torch.zeros(30, 3, 32, 32)
    cue = make_cue("patch", class_count=4, corner="random", size=0.25, margin=0)
    planted = cue.plant(batch, torch.zeros(30, dtype=torch.int64), [str(i) for i in range(30)])
    assert planted.masks.flatten(1).sum(dim=1).tolist() == [64] * 30
    assert len({tuple(m.flatten().tolist()) for m in planted.masks}) > 20


def test_plant_as_puts_in_another_class_cue():
    batch, labels, ids = some(4)
    cue = make_cue("patch", class_count=4)
    swapped = cue.plant_as(batch, (labels + 1) % 4, ids, labels=labels)
    assert torch.equal(swapped.cue_class, (labels + 1) % 4)
    assert not swapped.aligned.any()
    own = cue.plant(batch, (labels + 1) % 4, ids)
    assert torch.equal(own.images, swapped.images)
