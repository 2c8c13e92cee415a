"""Editors: what is pasted, that the label is never asked, and that batches do not matter."""

import numpy as np
import pytest
import torch

from sundog.data.arrays import from_arrays
from sundog.data.mask_reader import ArrayMasks
from sundog.data.planted_view import PlantedMasks, planted_view
from sundog.data.planting import make_cue
from sundog.debias.inpaint import inpaint
from sundog.debias.mask_editor import MaskEditor
from sundog.debias.masked_pairs import masked_pairs
from sundog.debias.moves import Moves
from sundog.debias.planted_editor import PlantedEditor
from sundog.models.augment import augment_images, augmentation_draws, augmentation_moves
from sundog.models.nets import SmallCNN
from sundog.models.prepared import PreparedImages
from sundog.models.zoo import get_model

N, CLASSES, SIZE = 24, 3, 24


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    source = from_arrays(
        rng.integers(0, 200, (N, SIZE, SIZE, 3), dtype=np.uint8),
        np.arange(N) % CLASSES,
        list("abc"),
    )
    cue = make_cue("patch", class_count=CLASSES, size=0.2, corner="random")
    view = planted_view(source, cue, size=SIZE)
    return {
        "clean": PreparedImages(source, size=SIZE),
        "cue": cue,
        "view": PreparedImages(view, size=SIZE),
        "masks": PlantedMasks(source, cue, size=SIZE),
    }


def batch(prepared, indices=None):
    order = torch.arange(N) if indices is None else torch.as_tensor(indices)
    found = list(prepared.batches(order, batch_size=N))
    return torch.cat([b.images for b in found]), order


def editors(world):
    return [
        PlantedEditor(world["clean"], world["cue"]),
        MaskEditor(world["view"], world["masks"]),
        MaskEditor(world["view"], world["masks"], place="random"),
        MaskEditor(world["view"], world["masks"], swap="recolour"),
    ]


def test_an_edit_is_the_same_alone_in_a_batch_and_in_another_order(world):
    images, indices = batch(world["view"])
    draws = augmentation_draws(N, seed=3, epoch=0)
    moved = augment_images(images, indices, draws, augment="flip-shift")
    moves = Moves(
        *augmentation_moves(indices, draws, augment="flip-shift", image_size=(SIZE, SIZE))
    )
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    for editor in editors(world):
        together = editor.swapped(moved, indices, seed=5, moves=moves)
        shuffled = editor.swapped(
            moved[order],
            order,
            seed=5,
            moves=Moves(moves.flipped[order], moves.shifts[order]),
        )
        assert torch.equal(shuffled, together[order])
        alone = editor.swapped(
            moved[4:5], indices[4:5], seed=5, moves=Moves(moves.flipped[4:5], moves.shifts[4:5])
        )
        assert torch.equal(alone, together[4:5])
        assert not torch.equal(editor.swapped(moved, indices, seed=6, moves=moves), together)


def test_planted_edits_are_the_truth(world):
    editor = PlantedEditor(world["clean"], world["cue"])
    images, indices = batch(world["view"])
    clean, _ = batch(world["clean"])
    assert torch.equal(editor.removed(images, indices), clean)
    shown = torch.tensor(world["view"].image_set.metadata["cue_class"].to_numpy())
    assert torch.equal(editor.shown_as(images, indices, shown), images)


def test_planted_after_augmentation_equals_the_training_loop(world):
    """train_classifier(train_cue=...) moves first and plants then."""
    editor = PlantedEditor(world["clean"], world["cue"], after_augmentation=True)
    clean, indices = batch(world["clean"])
    draws = augmentation_draws(N, seed=1, epoch=2)
    moved = augment_images(clean, indices, draws, augment="flip")
    moves = Moves(*augmentation_moves(indices, draws, augment="flip", image_size=(SIZE, SIZE)))
    ids = world["clean"].image_set.ids
    labels = torch.arange(N) % CLASSES
    seen = world["cue"].plant(moved, labels, ids).images
    assert torch.equal(editor.removed(seen, indices, moves=moves), moved)
    assert torch.equal(editor.shown_as(seen, indices, labels, moves=moves), seen)


def test_a_swapped_cue_says_nothing_about_the_label(world):
    """Cue value x label over 200 draws per image: uniform (chi-square under its 99.9 % point)."""
    cue = world["cue"]
    colours = torch.tensor(
        [planted_colour(cue, value) for value in range(CLASSES)], dtype=torch.float32
    )
    images, indices = batch(world["view"])
    for editor in editors(world)[:3]:
        counts = np.zeros((CLASSES, CLASSES))
        for seed in range(200):
            found = editor.swapped(images, indices, seed=seed)
            for i, image in enumerate(found):
                near = ((image[None] - colours[:, :, None, None]).abs() < 0.01).all(1)
                counts[i % CLASSES, int(near.sum(dim=(1, 2)).argmax())] += 1
        assert (counts.sum(1) == 200 * N / CLASSES).all()
        expected = counts.sum() / counts.size
        assert ((counts - expected) ** 2 / expected).sum() < 26.1  # 8 degrees of freedom


def planted_colour(cue, value):
    made = cue.plant_as(torch.zeros(1, 3, SIZE, SIZE), torch.tensor([value]), ["x"])
    return made.images[0][:, made.masks[0]][:, 0].tolist()


def test_a_paste_is_the_fill_with_a_donors_region(world):
    editor = MaskEditor(world["view"], world["masks"])
    images, indices = batch(world["view"])
    masks = world["masks"](indices)
    filled = inpaint(images, masks)
    found = editor.swapped(images, indices, seed=1)
    for i in range(N):
        explained = [
            d
            for d in range(N)
            if torch.equal(torch.where(masks[d][None], images[d], filled[i]), found[i])
        ]
        assert explained, i
    assert torch.equal(editor.removed(images, indices), filled)


def test_a_mirrored_image_is_edited_where_its_cue_is_now(world):
    editor = MaskEditor(world["view"], world["masks"])
    images, indices = batch(world["view"])
    moves = Moves(torch.ones(N, dtype=torch.bool), torch.zeros(N, 2, dtype=torch.int64))
    mirrored = editor.removed(images.flip(3), indices, moves=moves)
    wanted = editor.removed(images, indices).flip(3)
    # The levels of the fill halve from the left: only the fill itself may differ, and little.
    masks = world["masks"](indices).flip(2)[:, None].expand_as(wanted)
    assert torch.equal(mirrored[~masks], wanted[~masks])
    torch.testing.assert_close(mirrored, wanted, atol=0.03, rtol=0)


def test_random_places_stay_inside_and_keep_the_region(world):
    editor = MaskEditor(world["view"], world["masks"], place="random")
    images, indices = batch(world["view"])
    filled = editor.removed(images, indices)
    places = set()
    for seed in range(10):
        changed = (editor.swapped(images, indices, seed=seed) != filled).any(dim=1)
        for one in changed:
            rows, columns = one.any(1).nonzero()[:, 0], one.any(0).nonzero()[:, 0]
            assert int(rows[-1] - rows[0]) <= 4
            assert int(columns[-1] - columns[0]) <= 4
            places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 100


def test_recolour_changes_the_masked_pixels_only_and_keeps_texture():
    rng = np.random.default_rng(1)
    pixels = rng.integers(100, 110, (6, 8, 8, 3), dtype=np.uint8)
    masks = np.zeros((6, 8, 8), bool)
    masks[:4, 2:5, 2:5] = True
    prepared = PreparedImages(from_arrays(pixels, [0, 1] * 3, ["a", "b"]), size=8)
    editor = MaskEditor(prepared, ArrayMasks(masks), swap="recolour")
    assert editor.masked == 4
    images = next(prepared.batches(batch_size=6)).images
    found = editor.swapped(images, torch.arange(6), seed=0)
    where = torch.tensor(masks)[:, None].expand_as(found)
    assert torch.equal(found[~where], images[~where])
    assert torch.equal(found[4:], images[4:])
    before, after = images[0][:, masks[0]], found[0][:, masks[0]]
    inside = (after > 0) & (after < 1)
    shift = (after - before)[inside.all(1)]
    assert float((shift - shift.mean(1, keepdim=True)).abs().max()) < 1e-6


def test_pairs_are_the_same_images_with_and_without(world):
    torch.manual_seed(0)
    classifier = get_model(SmallCNN(CLASSES), class_names=list("abc"), input_size=(SIZE, SIZE))
    editor = PlantedEditor(world["clean"], world["cue"])
    found = masked_pairs(classifier, world["view"], editor, shown="own", limit=None, batch_size=7)
    assert len(found) == N
    assert found.with_cue.indices.tolist() == list(range(N))
    images, _ = batch(world["view"])
    clean, _ = batch(world["clean"])
    torch.testing.assert_close(found.with_cue.logits, classifier.predict(images))
    torch.testing.assert_close(found.without_cue.logits, classifier.predict(clean))
    flipped = (classifier.predict(images).argmax(1) != classifier.predict(clean).argmax(1)).double()
    assert found.flipped == float(flipped.mean())
    swapped = masked_pairs(classifier, world["view"], editor, limit=9, batch_size=2)
    again = masked_pairs(classifier, world["view"], editor, limit=9, batch_size=9)
    assert len(swapped) == 9
    assert swapped.with_cue.indices.tolist() == again.with_cue.indices.tolist()
    torch.testing.assert_close(swapped.with_cue.features, again.with_cue.features)
    assert np.bincount(swapped.with_cue.labels.numpy()).tolist() == [3, 3, 3]


def test_images_without_the_cue_are_left_out_of_the_pairs():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (8, 12, 12, 3), dtype=np.uint8)
    masks = np.zeros((8, 12, 12), bool)
    masks[3:6, 2:5, 2:5] = True
    prepared = PreparedImages(from_arrays(pixels, [0, 1] * 4, ["a", "b"]), size=12)
    classifier = get_model(SmallCNN(2), class_names=["a", "b"], input_size=(12, 12))
    editor = MaskEditor(prepared, ArrayMasks(masks))
    found = masked_pairs(classifier, prepared, editor, shown="own")
    assert found.with_cue.indices.tolist() == [3, 4, 5]
    assert found.unchanged == 5
