"""What must hold for every image, mask, projection and augmentation."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.data.mask_reader import ArrayMasks
from sundog.debias.afr import afr_weights
from sundog.debias.dfr import balanced_subset
from sundog.debias.inpaint import inpaint
from sundog.debias.moves import Moves
from sundog.debias.projection import cue_directions
from sundog.debias.scaling import Scaling
from sundog.models.augment import augment_images, augmentation_draws, augmentation_moves
from sundog.models.feature_table import table_from_arrays

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 20), st.integers(1, 20), st.sampled_from([0.0, 0.2, 0.8, 1.0]))
def test_the_fill_stays_between_the_known_pixels_and_touches_no_other(seed, height, width, share):
    rng = np.random.default_rng(seed)
    images = torch.tensor(rng.random((3, 3, height, width)))
    masks = torch.tensor(rng.random((3, height, width)) < share)
    found = inpaint(images, masks)
    for image, mask, filled in zip(images, masks, found, strict=True):
        assert torch.equal(filled[:, ~mask], image[:, ~mask])
        if mask.all():
            assert (filled == 0.5).all()
        elif mask.any():
            known = image[:, ~mask]
            low, high = known.amin(1, keepdim=True), known.amax(1, keepdim=True)
            assert (filled[:, mask] >= low - 1e-12).all()
            assert (filled[:, mask] <= high + 1e-12).all()
    alone = torch.cat([inpaint(images[i : i + 1], masks[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, found, rtol=0, atol=0)


@settings(max_examples=30)
@given(
    SEEDS, st.integers(4, 30), st.integers(4, 30), st.sampled_from(["none", "flip", "flip-shift"])
)
def test_masks_and_clean_images_move_exactly_as_the_training_image(seed, height, width, augment):
    """Every pixel has a value of its own, so that a mask off by one pixel would be seen."""
    rng = np.random.default_rng(seed)
    marks = torch.arange(1, height * width + 1).reshape(1, 1, height, width)
    images = (marks.expand(6, 3, -1, -1) / (height * width)).float()
    masks = torch.tensor(rng.random((6, height, width)) < 0.3)
    draws = augmentation_draws(6, seed=seed % 1000, epoch=1)
    indices = torch.arange(6)
    moved = augment_images(images, indices, draws, augment=augment)
    moves = Moves(*augmentation_moves(indices, draws, augment=augment, image_size=(height, width)))
    torch.testing.assert_close(moves.images(images), moved, rtol=0, atol=0)
    for mask, image, found in zip(masks, moved, moves.masks(masks), strict=True):
        value = (image[0] * height * width).round().long()  # 0 where nothing came in
        wanted = torch.cat([torch.tensor([False]), mask.flatten()])[value]
        assert torch.equal(found, wanted)


@settings(max_examples=30)
@given(SEEDS, st.integers(2, 40), st.integers(2, 12), st.integers(1, 12))
def test_projecting_twice_is_projecting_once(seed, n, d, directions):
    rng = np.random.default_rng(seed)
    clean, moved = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    zeros = np.zeros((n, 2))
    space = cue_directions(
        table_from_arrays(moved, zeros), table_from_arrays(clean, zeros), directions=directions
    )
    np.testing.assert_allclose(
        space.vectors @ space.vectors.T, np.eye(len(space.vectors)), atol=1e-9
    )
    assert (np.diff(space.shares) <= 1e-12).all()
    assert space.shares.sum() <= 1 + 1e-9
    once = space.project(moved)
    np.testing.assert_allclose(space.project(once), once, atol=1e-9)
    np.testing.assert_allclose(space.project(space.centre[None]), space.centre[None], atol=1e-9)
    weight, bias = rng.normal(size=(3, d)), rng.normal(size=3)
    folded = space.fold(weight, bias)
    np.testing.assert_allclose(moved @ folded[0].T + folded[1], once @ weight.T + bias, atol=1e-8)


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 30), st.integers(1, 8))
def test_a_head_there_and_back_is_the_same(seed, n, d):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.01, 100, d) + rng.uniform(-50, 50, d)
    x[:, 0] = 3.0  # constant
    scaling = Scaling.of(x)
    weight, bias = rng.normal(size=(4, d)), rng.normal(size=4)
    raw = scaling.to_raw(weight, bias)
    np.testing.assert_allclose(
        x @ raw[0].T + raw[1], scaling.apply(x) @ weight.T + bias, rtol=1e-7, atol=1e-7
    )
    back = scaling.from_raw(*raw)
    np.testing.assert_allclose(back[0], weight, rtol=1e-9)
    np.testing.assert_allclose(back[1], bias, rtol=1e-6, atol=1e-9)
    assert scaling.spread[0] == 1


@settings(max_examples=30)
@given(SEEDS, st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_a_balanced_subset_has_as_many_of_each_group(seed, sizes):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    chosen = balanced_subset(groups, seed=seed % 1000)
    assert len(set(chosen.tolist())) == len(chosen)
    assert np.bincount(groups[chosen])[::3].tolist() == [min(sizes)] * len(sizes)


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 40), st.floats(0, 20))
def test_afr_weights_give_each_class_its_share_and_errors_the_most(seed, n, gamma):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, n)]
    p = rng.random(len(labels))
    weights = afr_weights(p, labels, classes=2, gamma=gamma)
    assert abs(weights.sum() - 1) < 1e-12
    if gamma == 0:
        np.testing.assert_allclose(weights[labels == 1].sum(), 0.5)
    for label in (0, 1):
        own = labels == label
        order = np.argsort(p[own])
        assert (np.diff(weights[own][order]) <= 1e-15).all()


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 12), st.integers(1, 9), st.integers(1, 9))
def test_masks_come_back_as_they_were_given(seed, n, height, width):
    rng = np.random.default_rng(seed)
    masks = rng.random((n, height, width)) < 0.4
    order = rng.integers(0, n, 7)
    assert np.array_equal(ArrayMasks(masks)(order).numpy(), masks[order])
