"""Broken, missing and odd data: a clear error, or skipped and listed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sundog.core.errors import DataError, UnknownNameError
from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set


def save(path, seed, side=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(("cat", "dog")):
        for j in range(3):
            save(tmp_path / "pets" / name / f"{j}.jpg", 10 * i + j)
    return tmp_path / "pets"


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match="path that does not exist"):
        load_image_set(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="with images in it"):
        load_image_set(tmp_path / "empty")
    (tmp_path / "classes" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="with images in it"):
        load_image_set(tmp_path / "classes")


def test_empty_class_folder_is_a_class_and_is_reported(folder):
    (folder / "eel").mkdir()
    found = load_image_set(folder)
    assert found.class_names == ("cat", "dog", "eel")
    assert found.empty_classes == ("eel",)
    assert [(s.source, s.reason) for s in found.skipped] == [
        ("eel", "the class folder holds no image")
    ]
    assert "1 empty classes" in repr(found)
    with pytest.raises(DataError, match=r"at least 3 classes that have images; got 2. .*eel"):
        found.require_classes(3)


def test_one_class_and_no_labels_are_refused_where_they_matter(folder):
    found = load_image_set(folder)
    found.require_classes()
    one = found.subset(np.flatnonzero(found.labels == 0))
    with pytest.raises(DataError, match=r"at least 2 classes .*got 1"):
        one.require_classes()
    flat = load_image_set(folder / "cat")
    with pytest.raises(DataError, match=r"got 0. Every image is unlabelled"):
        flat.require_classes(1)


def test_corrupt_images_are_skipped_and_listed(folder):
    whole = (folder / "dog" / "1.jpg").read_bytes()
    (folder / "dog" / "1.jpg").write_bytes(whole[: len(whole) * 2 // 3])  # found when decoded
    (folder / "cat" / "2.jpg").write_bytes(b"not an image")  # found when opened
    (folder / "cat" / "3.jpg").write_bytes(b"")
    (folder / "cat" / "notes.txt").write_text("x")
    save(folder / "loose.png", 77)
    found = load_image_set(folder)
    assert len(found) == 5
    reasons = {s.source: s.reason for s in found.skipped}
    assert set(reasons) == {"cat/2.jpg", "cat/3.jpg", "cat/notes.txt", "loose.png"}
    assert "not an image" in reasons["cat/2.jpg"]
    assert "empty" in reasons["cat/3.jpg"]
    assert "outside the class folders" in reasons["loose.png"]
    for workers in (0, 3):
        batches = list(found.batches(size=8, batch_size=2, workers=workers))
        indices = [i for b in batches for i in b.indices.tolist()]
        assert indices == [0, 1, 2, 4]
        assert [found.ids[i] for i in indices] == [i for b in batches for i in b.ids]
    assert found.skipped[-1].source == "dog/1.jpg"
    assert "truncated" in found.skipped[-1].reason
    assert len(found.skipped) == 5
    part = found.subset([3, 4])
    assert [s.source for s in part.skipped][-1] == "dog/1.jpg"
    with pytest.raises(DataError, match="truncated"):
        found.image(3)


def test_a_file_that_vanishes_after_opening_is_listed(folder):
    found = load_image_set(folder)
    (folder / "cat" / "1.jpg").unlink()
    assert sum(len(b) for b in found.batches(size=8)) == 5
    assert (found.skipped[0].source, found.skipped[0].reason) == (
        "cat/1.jpg",
        "the file does not exist.",
    )


def test_a_set_of_which_nothing_can_be_decoded_is_refused(folder):
    for path in folder.glob("*/*.jpg"):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
    found = load_image_set(folder)
    with pytest.raises(DataError, match=r"not one can be decoded. First reason: .*truncated"):
        list(found.batches(size=8))
    for path in folder.glob("*/*.jpg"):
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"none among 6 files. First: cat/0.jpg: "):
        load_image_set(folder)


def test_manifest_faults(folder):
    path = folder / "list.csv"

    def write(**columns):
        pd.DataFrame(columns).to_csv(path, index=False)
        return path

    found = load_image_set(write(path=["cat/0.jpg", "gone.jpg"], label=["cat", "dog"]))
    assert len(found) == 1
    assert [(s.source, s.reason) for s in found.skipped] == [
        ("gone.jpg", "the file does not exist.")
    ]
    with pytest.raises(DataError, match=r"none among 1 files. First: gone.jpg"):
        load_image_set(write(path=["gone.jpg"], label=["cat"]))
    with pytest.raises(UnknownNameError, match=r"path_column .*Did you mean 'paths'"):
        load_image_set(write(paths=["cat/0.jpg"]))
    with pytest.raises(UnknownNameError, match="label_column"):
        load_image_set(write(path=["cat/0.jpg"], label=["cat"]), label_column="lable")
    unlabelled = load_image_set(write(path=["cat/0.jpg"]))
    assert unlabelled.labels.tolist() == [-1]
    with pytest.raises(DataError, match="at least one row"):
        load_image_set(write(path=[], label=[]))
    with pytest.raises(DataError, match="one of the 2 class names; got 1 other values: 'fish'"):
        load_image_set(
            write(path=["cat/0.jpg", "dog/1.jpg"], label=["cat", "fish"]),
            class_names=["cat", "dog"],
        )
    path.write_bytes(b"")
    with pytest.raises(DataError, match="a readable table; got EmptyDataError"):
        load_image_set(path)
    path.with_suffix(".parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="a readable table"):
        load_image_set(path.with_suffix(".parquet"))
    write(path=["cat/0.jpg"], label=["cat"])
    (folder / "classes.json").write_text("{")
    with pytest.raises(DataError, match="broken JSON"):
        load_image_set(path)


def test_one_pixel_images_stream_at_every_size():
    found = from_arrays(
        np.array([[[[255, 0, 0]]], [[[0, 0, 255]]]], dtype=np.uint8), [0, 1], layout="NHWC"
    )
    for size in (None, 1, 2, 7, (3, 5)):
        for resize in ("pad", "crop", "stretch"):
            (batch,) = found.batches(size=size, resize=resize)
            assert float(batch.images[0, 0].max()) == 1
            assert float(batch.images[0, 1:].max()) == 0


def test_unreadable_file_is_reported_by_name(folder):
    bad = folder / "cat" / "dangling.jpg"
    bad.symlink_to(folder / "nowhere.jpg")
    found = load_image_set(folder)
    assert found.skipped[0].source == "cat/dangling.jpg"
