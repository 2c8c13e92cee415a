"""What SpRAy refuses, and what it leaves out."""

import numpy as np
import pytest
import torch

import sundog
from sundog.audit.spray_null import class_maps, null_maps
from sundog.bias.spray import spray
from sundog.bias.spray_boxes import candidate_boxes
from sundog.bias.spray_classes import spray_classes
from sundog.bias.spray_features import pool_maps
from sundog.core.errors import InputError

MAPS = np.random.default_rng(0).random((30, 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"maps": MAPS[0]}, "height, width"),
        ({"maps": MAPS[:20]}, "at least 21"),
        ({"maps": np.where(MAPS > 0.99, np.nan, MAPS)}, "finite"),
        ({"maps": (MAPS * 9).astype(int)}, "floating"),
        ({"maps": -MAPS}, "0 of 30"),
        ({"null_maps": [MAPS[:29]]}, "(30, 8, 8)"),
        ({"null_maps": []}, "at least one model"),
        ({"grid": 1}, "grid"),
        ({"neighbours": 1}, "neighbours"),
        ({"copies": 0}, "copies"),
        ({"spot": 0.6, "position_free": True}, "spot"),
        ({"positions": np.arange(3)}, "30 numbers"),
    ],
)
def test_refused(change, words):
    given = {"maps": MAPS, "copies": 2, **change}
    maps = given.pop("maps")
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace(")", r"\)")):
        spray(maps, **given)


def test_empty_maps_are_left_out_and_named():
    maps = MAPS.copy()
    maps[[2, 5]] = -1
    found = spray(maps, copies=2, positions=np.arange(100, 130))
    assert found.empty.tolist() == [102, 105]
    assert found.n == 28
    members = np.sort(np.concatenate([cluster.members for cluster in found.clusters]))
    assert members.tolist() == [i for i in range(100, 130) if i not in (102, 105)]
    assert sum(cluster.share.value for cluster in found.clusters) == pytest.approx(1)
    assert all(cluster.mean.sum() == pytest.approx(1, abs=1e-4) for cluster in found.clusters)


def test_a_null_model_with_empty_maps_never_helps_to_call():
    found = spray(MAPS, null_maps=[np.zeros_like(MAPS)] * 5, copies=2)
    assert found.p_model == 1


def test_equal_maps_are_one_cluster_without_a_surprise():
    found = spray(np.tile(MAPS[:1], (30, 1, 1)), copies=9)
    assert found.p == 1


def test_small_classes_and_unlabelled_images_are_left_out():
    labels = np.repeat([0, 1, -1], [22, 5, 3])
    found = spray_classes(MAPS, labels, copies=2)
    assert list(found.results) == [0]
    assert "5 usable maps" in found.left_out[1]
    with pytest.raises(InputError, match="no such class"):
        spray_classes(MAPS, np.arange(30), copies=2)
    with pytest.raises(InputError, match="30 maps"):
        spray_classes(MAPS, labels[:4], copies=2)
    with pytest.raises(InputError, match="null_maps"):
        spray_classes(MAPS, labels, null_maps=MAPS[None, :4], copies=2)
    with pytest.raises(InputError, match="those that were clustered"):
        candidate_boxes(found, MAPS[:10])


def test_maps_of_models_are_checked():
    model = sundog.get_model("small-cnn", classes=3, input_size=8, seed=0)
    images, labels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), [0, 1]
    labels = torch.tensor(labels)
    with pytest.raises(InputError, match="one per image"):
        class_maps(model, images, labels[:1])
    with pytest.raises(InputError, match="batch_size"):
        class_maps(model, images, labels, batch_size=0)
    with pytest.raises(InputError, match="copies"):
        null_maps(model, images, labels, copies=0)
    assert class_maps(model, images, labels, side=4).shape == (2, 4, 4)
    with pytest.raises(InputError, match="at least 2"):
        pool_maps(MAPS, 0)
