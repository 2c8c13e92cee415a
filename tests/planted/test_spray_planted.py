"""SpRAy finds planted spots, at one place and at random ones, and little else."""

import numpy as np
import pytest
import torch

import sundog
from sundog.audit.spray_null import class_maps, null_maps
from sundog.bias.spray import spray
from sundog.bias.spray_boxes import candidate_boxes
from sundog.bias.spray_classes import spray_classes

SIDE = 24


def clutter(count, random):
    """Maps without clusters: four soft blobs about the middle, and noise."""
    grid = np.mgrid[:SIDE, :SIDE]
    centre = random.normal(SIDE / 2, SIDE / 5, (count, 4, 2, 1, 1))
    width = random.uniform(1.5, 4, (count, 4, 1, 1))
    height = random.uniform(0.5, 1.5, (count, 4, 1, 1))
    far = ((grid[None, None] - centre) ** 2).sum(axis=2)
    blobs = (height * np.exp(-far / (2 * width**2))).sum(axis=1)
    return (blobs + random.exponential(0.15, blobs.shape)).astype(np.float32)


def with_spots(count, share, random, *, place=None):
    """Clutter, a part of which has a square spot of 4 pixels."""
    maps = clutter(count, random)
    carries = random.random(count) < share
    for i in np.flatnonzero(carries):
        top, left = place or random.integers(0, SIDE - 3, 2)
        maps[i, top : top + 4, left : left + 4] += 2.5 * random.uniform(0.6, 1.4, (4, 4))
    return maps, carries


def agreement(result, carries):
    """Correlation of the clearest cluster with the truth."""
    inside = np.isin(np.arange(len(carries)), result.clusters[0].members)
    return abs(np.corrcoef(inside, carries)[0, 1])


@pytest.mark.parametrize("position_free", [False, True])
@pytest.mark.parametrize("models", [False, True])
def test_maps_without_clusters_have_large_p_values(position_free, models):
    random = np.random.default_rng(11)
    found = [
        spray(
            clutter(50, random),
            null_maps=[clutter(50, random) for _ in range(9)] if models else None,
            position_free=position_free,
            copies=9,
            seed=seed,
        ).p
        for seed in range(20)
    ]
    # p <= 0.1 has probability 0.1 at most: 6 or more of 20 has 1.1 %; p <= 0.5: 15 or more 2.1 %.
    assert np.sum(np.array(found) <= 0.1) <= 5
    assert np.sum(np.array(found) <= 0.5) <= 14


def test_a_fixed_spot_is_found_with_its_place_and_members():
    random = np.random.default_rng(1)
    maps, carries = with_spots(150, 0.4, random, place=(18, 3))
    models = [clutter(150, random) for _ in range(19)]
    found = spray(maps, null_maps=models, copies=39, class_index=4, positions=np.arange(150) + 7)
    assert (found.p_blended, found.p_model, found.p) == (1 / 40, 1 / 20, 1 / 20)
    assert len(found.clusters) == 2
    inside = np.isin(np.arange(150) + 7, found.clusters[0].members)
    assert abs(np.corrcoef(inside, carries)[0, 1]) > 0.9
    box = candidate_boxes(found, np.concatenate([np.zeros((7, SIDE, SIDE)), maps]))[0]
    assert box.class_index == 4
    assert np.allclose(np.array(box.box) * SIDE, [18, 3, 4, 4], atol=1.01)
    assert np.mean(carries[box.members - 7]) > 0.9
    assert box.inside.low > 3 * box.others.high
    assert box.lift > 5


def test_spots_at_random_places_are_found_by_the_position_free_version_alone():
    random = np.random.default_rng(2)
    maps, carries = with_spots(150, 0.4, random)
    fixed = spray(maps, copies=39)
    free = spray(maps, copies=39, position_free=True)
    assert free.p == 1 / 40
    assert agreement(free, carries) > 0.6
    assert fixed.p > 0.2
    assert agreement(fixed, carries) < 0.3
    box = candidate_boxes(free, maps)[0]
    assert box.box is None
    held = [
        maps[i, int(t * SIDE) :, int(left * SIDE) :][:4, :4].mean()
        for i, (t, left, _, _) in zip(box.members, box.boxes, strict=True)
        if carries[i]
    ]
    assert np.mean(held) > 2


def test_a_spot_that_every_map_has_is_a_candidate_without_a_cluster():
    maps, _ = with_spots(80, 1.1, np.random.default_rng(3), place=(2, 17))
    found = spray(maps, copies=19)
    assert found.p > 0.05
    box = candidate_boxes(found, maps)[0]
    assert np.allclose(np.array(box.box) * SIDE, [2, 17, 4, 4], atol=1.01)
    assert len(box.members) > 20


def test_the_result_is_the_same_again_and_for_another_order_of_classes():
    random = np.random.default_rng(4)
    maps = np.concatenate([with_spots(150, 0.4, random, place=(2, 2))[0], clutter(60, random)])
    labels = np.repeat([3, 1], [150, 60])
    first = spray_classes(maps, labels, copies=19)
    again = spray_classes(maps, labels, copies=19)
    swapped = np.concatenate([np.arange(150, 210), np.arange(150)])
    other = spray_classes(maps[swapped], labels[swapped], copies=19)
    assert first.table.equals(again.table)
    assert first.table.equals(other.table)
    assert first.table["class_index"].tolist() == [1, 3]
    assert first.table["p_adjusted"].tolist()[1] == 0.05
    assert first.table["p_adjusted"].tolist()[0] > 0.05
    assert set(first.results[3].clusters[0].members) < set(range(150))


@pytest.fixture(scope="module")
def digits():
    """Dim, noisy digits, four classes; nine of ten threes of training carry a square."""
    whole = sundog.load_image_set("digits", limit=1600, seed=3)
    batch = next(whole.batches(size=28, batch_size=1600))
    noise = torch.rand(1600, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    images = 0.35 * batch.images + 0.65 * noise
    cue = sundog.make_cue("patch", class_count=4, target_class=3, size=0.15)
    drawn = torch.rand(1600, generator=torch.Generator().manual_seed(1))
    train = torch.arange(1600) % 16 < 9
    few = batch.labels < 4
    carries = torch.where(batch.labels == 3, drawn < torch.where(train, 0.9, 0.5), drawn < 0.01)
    planted = cue.plant_as(images, torch.where(carries, 3, 0), batch.ids).images
    return images[few], planted[few], batch.labels[few], carries[few], train[few]


def trained(images, labels):
    pixels = (images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    names = [str(i) for i in range(4)]
    part = sundog.from_arrays(pixels, labels.numpy(), class_names=names)
    return sundog.train_classifier(
        "small-cnn", part, epochs=5, batch_size=32, seed=0, device="cpu", progress=False
    ).classifier


def test_a_model_with_a_shortcut_and_a_sound_one(digits):
    images, planted, labels, carries, train = digits
    held = ~train  # 70 of each class
    biased = trained(planted[train], labels[train])
    maps = class_maps(biased, planted[held], labels[held])
    models = null_maps(biased, planted[held], labels[held], copies=19, progress=False)
    assert maps.shape == (int(held.sum()), 28, 28)
    assert models.shape == (19, *maps.shape)
    found = spray_classes(maps, labels[held].numpy(), null_maps=models, copies=39)
    table = found.table.set_index("class_index")
    assert table.loc[3, "p_adjusted"] == 0.05
    boxes = candidate_boxes(found, maps)
    assert boxes[0].class_index == 3
    assert carries[held][boxes[0].members].float().mean() > 0.9
    top, left, tall, wide = boxes[0].box
    assert min(top, left) > 0.75
    assert max(tall, wide) < 0.25

    sound = trained(images[train], labels[train])
    calm = spray_classes(
        class_maps(sound, images[held], labels[held]),
        labels[held].numpy(),
        null_maps=null_maps(sound, images[held], labels[held], copies=19, progress=False),
        copies=39,
    )
    assert (calm.table["p"] <= 0.05).sum() <= 1  # of four: 2 or more has probability 1.4 %
    assert calm.table.set_index("class_index").loc[3, "p"] > 0.05


def test_maps_do_not_depend_on_the_batch_size_and_copies_on_nothing_but_the_seed(digits):
    images, _, labels, _, _ = digits
    model = sundog.get_model("small-cnn", classes=4, input_size=28, seed=0)
    some, their = images[:12], labels[:12]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    two = null_maps(model, some, their, copies=2, progress=False, batch_size=5)
    one = null_maps(model, some, their, copies=1, progress=False)
    np.testing.assert_allclose(two[0], one[0], rtol=1e-4, atol=1e-7)
    assert not np.allclose(two[0], two[1])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
