"""Planted views and mask readers: as the folder `sundog plant` writes, without a folder."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sundog.core.errors import DataError, InputError
from sundog.data.arrays import from_arrays
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.mask_reader import ArrayMasks, ManifestMasks, mask_areas, mask_digest
from sundog.data.planted_set import write_planted
from sundog.data.planted_view import PlantedMasks, planted_view
from sundog.data.planting import make_cue


def photos(n=12, classes=3, size=40, seed=0):
    rng = np.random.default_rng(seed)
    return from_arrays(
        rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8),
        np.arange(n) % classes,
        [f"c{i}" for i in range(classes)],
        metadata=pd.DataFrame({"cue": ["mine"] * n, "place": range(n)}),
    )


@pytest.mark.parametrize("cue_name", ["pixel", "patch", "tint"])
@pytest.mark.parametrize("target", [None, 1])
def test_view_and_masks_equal_the_folder_on_disk(tmp_path, cue_name, target):
    source = photos()
    cue = make_cue(cue_name, class_count=3, strength=0.7, seed=4, target_class=target)
    write_planted(source, cue, tmp_path, size=32, resize="crop")
    folder = load_image_set(tmp_path / "manifest.csv")
    view = planted_view(source, cue, size=32, resize="crop")
    masks = PlantedMasks(source, cue, size=32, resize="crop")
    on_disk = ManifestMasks(folder, tmp_path, size=32)
    for i in range(len(view)):
        assert np.array_equal(view.image(i), folder.image(i))
    assert torch.equal(masks(range(12)), on_disk(range(12)))
    assert mask_digest(masks) == mask_digest(on_disk)
    names = np.array(view.class_names)
    table = folder.metadata
    assert (names[view.metadata["cue_class"]] == table["cue_class"].to_numpy()).all()
    for column in ("present", "aligned", "source_id", "original_cue", "place"):
        assert view.metadata[column].tolist() == table[column].tolist()
    assert (mask_areas(masks) > 0).tolist() == view.metadata["present"].tolist()


def test_ids_are_those_of_the_view_and_the_labels_stay():
    source = photos()
    cue = make_cue("patch", class_count=3, strength=0.5)
    ids = planted_view(source, cue, size=32).ids
    assert planted_view(source, cue, size=32).ids == ids
    others = [
        planted_view(source, make_cue("patch", class_count=3, strength=0.6), size=32).ids,
        planted_view(source, cue, size=30).ids,
        planted_view(source, cue, size=32, resize="stretch").ids,
        planted_view(source, cue, size=32, cue_class=np.full(12, -1)).ids,
        source.ids,
    ]
    for found in others:
        assert not set(ids) & set(found)
    assert len(set(ids)) == 12
    part = planted_view(source, cue, size=32).subset([7, 2])
    assert part.ids == (ids[7], ids[2])
    assert part.labels.tolist() == [1, 2]


def test_interventions_show_what_is_asked_and_minus_one_leaves_the_image():
    source = photos(size=32)
    cue = make_cue("patch", class_count=3)
    shown = np.array([-1, 0, 1, 2] * 3)
    view = planted_view(source, cue, size=32, cue_class=shown)
    masks = PlantedMasks(source, cue, size=32, cue_class=shown)(range(12))
    for i, value in enumerate(shown):
        changed = (view.image(i) != source.image(i)).any(axis=2)
        assert not (changed & ~masks[i].numpy()).any()
        assert bool(masks[i].any()) == (value >= 0)
    assert view.metadata["aligned"].tolist() == (shown == source.labels).tolist()
    assert view.metadata["present"].tolist() == (shown >= 0).tolist()


def test_unlabelled_images_need_an_intervention():
    source = from_arrays(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], ["a", "b"])
    unlabelled = ImageSet(
        name="x",
        class_names=["a", "b"],
        labels=np.array([0, -1]),
        ids=source.ids,
        sources=source.sources,
        read=source.image,
    )
    cue = make_cue("patch", class_count=2)
    with pytest.raises(DataError, match="1 unlabelled"):
        planted_view(unlabelled, cue, size=8)
    assert len(planted_view(unlabelled, cue, size=8, cue_class=[0, 1])) == 2
    with pytest.raises(InputError, match="one per image"):
        planted_view(unlabelled, cue, size=8, cue_class=[0])
    with pytest.raises(InputError, match="-1 for none"):
        planted_view(unlabelled, cue, size=8, cue_class=[0, 2])
    with pytest.raises(DataError, match="class_count"):
        planted_view(unlabelled, make_cue("patch", class_count=3), size=8)


def test_an_image_that_cannot_be_decoded_is_skipped_once_and_has_no_mask():
    source = photos(4)

    def read(row):
        if row == 2:
            raise DataError("Image 2", expected="readable", got="noise")
        return source.image(row)

    broken = ImageSet(
        name="x",
        class_names=source.class_names,
        labels=source.labels,
        ids=source.ids,
        sources=source.sources,
        read=read,
    )
    cue = make_cue("patch", class_count=3)
    with pytest.raises(DataError):
        broken.image(2)
    view = planted_view(broken, cue, size=16)
    found = [i for batch in view.batches(size=16, batch_size=3) for i in batch.indices.tolist()]
    assert found == [0, 1, 3]
    assert [s.source for s in view.skipped] == [source.sources[2]]
    assert mask_areas(PlantedMasks(broken, cue, size=16)).astype(bool).tolist() == [
        True,
        True,
        False,
        True,
    ]


def test_manifest_masks_without_a_file_are_empty_and_resized_like_the_images(tmp_path):
    mask = np.zeros((20, 40), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    source = photos(4)
    source.metadata["mask_path"] = ["m.png", "", np.nan, "broken.png"]
    reader = ManifestMasks(source, tmp_path, size=20)
    wanted = np.zeros((20, 20), bool)
    wanted[5:15, :10] = True  # padded: 20 x 40 becomes 10 x 20 in the middle
    assert np.array_equal(reader([0])[0].numpy(), wanted)
    assert not reader([1, 2]).any()
    with pytest.raises(DataError, match=r"broken\.png"):
        reader([3])
    with pytest.raises(InputError, match="positions"):
        reader([4])
    with pytest.raises(DataError, match="mask_path"):
        ManifestMasks(photos(4), tmp_path, size=20)


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 4, 4)), np.zeros((4, 4), bool), np.zeros((2, 0, 4), bool)]
)
def test_array_masks_of_the_wrong_kind_are_refused(bad):
    with pytest.raises(InputError, match=r"bool\[images, height, width\]"):
        ArrayMasks(bad)
