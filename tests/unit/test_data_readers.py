"""Each reader gives the right images, labels, names, metadata and ids."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import json
import struct

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sundog.core.errors import DataError, InputError, MissingExtraError, UnknownNameError
from sundog.data.arrays import from_arrays
from sundog.data.huggingface import from_hf_dataset
from sundog.data.load import load_image_set
from sundog.data.torch_dataset import from_torch_dataset


def picture(seed, height=5, width=7):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pets"
    for split in ("train", "val"):
        for i, name in enumerate(("dog", "cat")):
            for j in range(3):
                seed = 100 * (split == "val") + 10 * i + j
                save(root / split / name / f"{j}.png", picture(seed))
    return root


def missing(monkeypatch, package):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


# folder


def test_folder_with_splits(folder):
    found = load_image_set(folder, split="validation")
    assert found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.sources[0] == "val/cat/0.png"
    np.testing.assert_array_equal(found.image(4), picture(101))
    data = (folder / "val/cat/0.png").read_bytes()
    assert found.ids[0] == hashlib.blake2b(data, digest_size=16).hexdigest()
    assert len(load_image_set(folder, split="val")) == 6
    whole = load_image_set(folder, split="all")
    assert whole.metadata["split"].tolist() == ["train"] * 6 + ["validation"] * 6
    with pytest.raises(DataError, match="several splits; split must be one of train, validation"):
        load_image_set(folder)
    with pytest.raises(DataError, match="must be one of train, validation; got 'test'"):
        load_image_set(folder, split="test")


def test_plain_folder_nested_images_and_class_names(folder):
    plain = folder / "train"
    save(plain / "dog" / "deep" / "er" / "x.png", picture(50))
    (plain / "dog" / ".hidden.png").write_bytes(b"")
    found = load_image_set(plain)
    assert found.name == "train"
    assert found.sources[-1] == "dog/deep/er/x.png"
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    turned = load_image_set(plain, class_names=["dog", "cat", "fish"])
    assert turned.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert turned.empty_classes == ("fish",)
    with pytest.raises(DataError, match="1 others: 'cat'"):
        load_image_set(plain, class_names=["dog"])
    with pytest.raises(DataError, match="None: it has none"):
        load_image_set(plain, split="train")


def test_classes_agree_between_splits_even_if_one_lacks_a_class(folder):
    save(folder / "train" / "ant" / "1.png", picture(60))
    found = load_image_set(folder, split="val")
    assert found.class_names == ("ant", "cat", "dog")
    assert found.labels.tolist() == [1, 1, 1, 2, 2, 2]
    assert found.empty_classes == ("ant",)


def test_a_class_called_train_is_no_split(tmp_path):
    for i, name in enumerate(("train", "car")):
        save(tmp_path / "vehicles" / name / "1.png", picture(i))
    assert load_image_set(tmp_path / "vehicles").class_names == ("car", "train")


def test_flat_folder_is_unlabelled(tmp_path):
    for i in range(3):
        save(tmp_path / "flat" / f"{i}.png", picture(i))
    found = load_image_set(tmp_path / "flat")
    assert found.class_names == ()
    assert found.labels.tolist() == [-1, -1, -1]


def test_folder_links_are_followed_and_loops_are_not(folder):
    plain = folder / "train"
    (plain / "dog" / "loop").symlink_to(plain / "dog", target_is_directory=True)
    (plain / "cow").symlink_to(folder / "val" / "dog", target_is_directory=True)
    found = load_image_set(plain)
    assert found.class_counts.tolist() == [3, 3, 3]


def test_limit_is_balanced_seeded_and_keeps_the_order(folder):
    one = load_image_set(folder / "train", limit=4, seed=1)
    assert one.class_counts.tolist() == [2, 2]
    assert one.ids == load_image_set(folder / "train", limit=4, seed=1).ids
    draws = {load_image_set(folder / "train", limit=4, seed=s).ids for s in range(8)}
    assert len(draws) > 3
    assert list(one.sources) == sorted(one.sources)
    assert len(load_image_set(folder / "train", limit=99)) == 6
    with pytest.raises(InputError, match="limit must be >= 1"):
        load_image_set(folder / "train", limit=0)


# manifest


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_manifest_keeps_metadata_and_reads_names(folder, suffix):
    table = pd.DataFrame(
        {
            "file": ["train/dog/0.png", str(folder / "val/cat/1.png"), "train/cat/2.png"],
            "kind": ["dog", "NA", ""],
            "age": [3, 4, 5],
            "split": ["a", "b", "a"],
        }
    )
    path = folder / f"list{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    found = load_image_set(path, path_column="file", label_column="kind")
    assert found.class_names == ("NA", "dog")
    assert found.labels.tolist() == [1, 0, -1]
    assert found.metadata["age"].tolist() == [3, 4, 5]
    assert found.metadata["kind"].tolist() == ["dog", "NA", ""]
    np.testing.assert_array_equal(found.image(1), picture(111))
    part = load_image_set(path, path_column="file", label_column="kind", split="a")
    assert part.labels.tolist() == [0, -1]
    with pytest.raises(DataError, match="split must be one of a, b; got 'c'"):
        load_image_set(path, path_column="file", label_column="kind", split="c")


def test_manifest_labels_as_numbers_and_names(folder):
    path = folder / "list.csv"
    files = [f"train/{c}/{i}.png" for c in ("dog", "cat") for i in range(2)]

    def load(labels, **options):
        pd.DataFrame({"path": files, "label": labels}).to_csv(path, index=False)
        return load_image_set(path, **options)

    numbers = load([0, 3, -1, 1])
    assert numbers.labels.tolist() == [0, 3, -1, 1]
    assert numbers.class_names == ("0", "1", "2", "3")
    assert numbers.empty_classes == ("2",)
    given = load([0, 1, 1, 0], class_names=["cat", "dog"])
    assert given.labels.tolist() == [0, 1, 1, 0]
    named = load(["dog", "cat", "cat", "dog"], class_names=["dog", "cat"])
    assert named.labels.tolist() == [0, 1, 1, 0]
    digits = load([7, 3, 3, 7], class_names=["7", "3"])
    assert digits.labels.tolist() == [0, 1, 1, 0]
    some = load([7, -1, 3, ""], class_names=["7", "3"])
    assert some.labels.tolist() == [0, -1, 1, -1]
    (folder / "classes.json").write_text(json.dumps(["dog", "cow", "cat"]))
    beside = load(["dog", "cat", "cat", "dog"])
    assert beside.class_names == ("dog", "cow", "cat")
    assert beside.labels.tolist() == [0, 2, 2, 0]
    with pytest.raises(DataError, match=r"1 other values: 'dgo'. Did you mean 'dog'"):
        load(["dgo", "cat", "cat", "dog"])
    with pytest.raises(DataError, match=r"class indices in 0..1, or -1 for unlabelled; got 0..2"):
        load([0, 1, 2, 0], class_names=["cat", "dog"])


# arrays


def test_arrays_of_every_kind():
    pixels = np.stack([picture(i) for i in range(4)])
    reference = from_arrays(pixels, [0, 1, 1, 0], ["a", "b"])
    assert reference.class_names == ("a", "b")
    for variant in (
        pixels.transpose(0, 3, 1, 2),
        torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()),
        pixels.astype(np.float64) / 255,
        torch.from_numpy(pixels.astype(np.float32) / 255),
        pixels.astype(np.uint16) * 257,
        np.concatenate([pixels, np.full((4, 5, 7, 1), 255, np.uint8)], axis=3),
    ):
        found = from_arrays(variant, ["a", "b", "b", "a"])
        assert found.labels.tolist() == [0, 1, 1, 0]
        assert found.ids == reference.ids
        np.testing.assert_array_equal(found.image(2), pixels[2])
    grey = from_arrays(pixels[..., 0])
    assert grey.labels.tolist() == [-1] * 4
    np.testing.assert_array_equal(grey.image(1), np.repeat(pixels[1, :, :, :1], 3, axis=2))
    clear = np.zeros((1, 2, 2, 4), np.uint8)
    np.testing.assert_array_equal(from_arrays(clear).image(0), np.full((2, 2, 3), 255))


def test_numbers_given_with_arrays_are_class_indices_even_if_names_are_numbers():
    pixels = np.stack([picture(i) for i in range(4)])
    found = from_arrays(pixels, [0, 1, 2, -1], ["1", "2", "3"])
    assert found.labels.tolist() == [0, 1, 2, -1]
    named = from_arrays(pixels, ["1", "3", "2", None], ["1", "2", "3"])
    assert named.labels.tolist() == [0, 2, 1, -1]
    with pytest.raises(DataError, match=r"class indices in 0..2, or -1 .*got 0..3"):
        from_arrays(pixels, [0, 1, 2, 3], ["1", "2", "3"])
    with pytest.raises(DataError, match=r"labels must be class indices .*got -2..1"):
        from_arrays(pixels, [0, 1, -2, 1])


def test_arrays_that_leave_doubt_or_are_wrong():
    with pytest.raises(DataError, match="layout must be given"):
        from_arrays(np.zeros((2, 3, 8, 3), np.uint8))
    assert from_arrays(np.zeros((2, 3, 8, 3), np.uint8), layout="NCHW").image(0).shape == (8, 3, 3)
    for bad, words in (
        (np.zeros((2, 5, 5, 2), np.uint8), "no side empty"),
        (np.zeros((2, 0, 5, 3), np.uint8), "no side empty"),
        (np.zeros((0, 5, 5, 3), np.uint8), "an empty array"),
        (np.zeros((2, 5, 5, 3), np.int64), "uint8, uint16 or float; got int64"),
        (np.full((2, 5, 5, 3), 7.0), r"in \[0, 1\]; got values from 7 to 7"),
        (np.full((2, 5, 5, 3), np.nan), "NaN or infinity in all 2"),
    ):
        with pytest.raises(DataError, match=words):
            from_arrays(bad)
    with pytest.raises(DataError, match=r"labels must be one per image \(2\); got 3"):
        from_arrays(np.zeros((2, 5, 5, 3), np.uint8), [0, 1, 1])
    with pytest.raises(InputError, match="layout must be one of"):
        from_arrays(np.zeros((2, 5, 5, 3), np.uint8), layout="CHW")


def test_nan_images_are_skipped_and_listed():
    pixels = np.full((4, 5, 5, 3), 0.5)
    pixels[1, 2, 2, 0] = np.nan
    pixels[3, 0, 0, 1] = np.inf
    found = from_arrays(pixels, [0, 1, 2, 0], metadata=pd.DataFrame({"n": range(4)}))
    assert found.labels.tolist() == [0, 2]
    assert found.metadata["n"].tolist() == [0, 2]
    assert [s.source for s in found.skipped] == ["arrays[1]", "arrays[3]"]
    assert "NaN" in found.skipped[0].reason


# HDF5


def test_hdf5_is_read_lazily(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    pixels = np.stack([picture(i) for i in range(6)])
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file["images"] = pixels
        file["labels"] = np.array([0, 1, 2, 0, 1, 2])
        file["site"] = np.array(["x", "y"] * 3, dtype="S1")
        file.attrs["class_names"] = ["a", "b", "c"]
        file["test/images"] = pixels[:2, :, :, 0]
    found = load_image_set(path)
    assert found.class_names == ("a", "b", "c")
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert found.metadata["site"].tolist() == ["x", "y"] * 3
    assert found.ids == from_arrays(pixels).ids
    np.testing.assert_array_equal(found.image(3), pixels[3])
    streamed = torch.cat([b.images for b in found.batches(size=None, batch_size=4, workers=3)])
    assert torch.equal(streamed, torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    grey = load_image_set(path, split="test")
    assert grey.labels.tolist() == [-1, -1]
    np.testing.assert_array_equal(grey.image(1)[:, :, 2], pixels[1, :, :, 0])
    part = load_image_set(path, limit=3)
    assert part.class_counts.tolist() == [1, 1, 1]
    where = [found.ids.index(i) for i in part.ids]
    np.testing.assert_array_equal(part.image(2), pixels[where[2]])
    with pytest.raises(DataError, match=r"a group of 'set.h5'; got 'train'"):
        load_image_set(path, split="train")
    missing(monkeypatch, "h5py")
    with pytest.raises(MissingExtraError, match=r"sundog\[lab\]"):
        load_image_set(path)


def test_bad_hdf5_files_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w") as file:
        file["pictures"] = np.zeros((2, 3, 3, 3), np.uint8)
    with pytest.raises(DataError, match="with a data set 'images'; got pictures"):
        load_image_set(path)
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((2, 3, 3, 3), np.float32)
    with pytest.raises(DataError, match="got float32"):
        load_image_set(path)
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((2, 3, 3, 3), np.uint8)
        file["labels"] = np.zeros(3)
    with pytest.raises(DataError, match=r"one label per image, shape \(2,\); got \(3,\)"):
        load_image_set(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="must be HDF5"):
        load_image_set(path)


# torch


class Items(torch.utils.data.Dataset):
    classes = ("zero", "one")

    def __init__(self, convert, broken=()):
        self.convert, self.broken = convert, broken

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index in self.broken:
            raise RuntimeError("disk on fire")
        return self.convert(picture(index)), index % 2


@pytest.mark.parametrize(
    "convert",
    [
        lambda p: p,
        Image.fromarray,
        lambda p: torch.from_numpy(p).permute(2, 0, 1),
        lambda p: torch.from_numpy(p).permute(2, 0, 1).float() / 255,
    ],
)
def test_torch_dataset_items(convert):
    found = from_torch_dataset(Items(convert))
    assert found.class_names == ("zero", "one")
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.ids == from_arrays(np.stack([picture(i) for i in range(4)])).ids
    np.testing.assert_array_equal(found.image(3), picture(3))


def test_torch_dataset_faults_are_reported():
    found = from_torch_dataset(Items(Image.fromarray, broken=(1,)))
    assert len(found) == 3
    assert found.skipped[0].source == "Items[1]"
    assert "disk on fire" in found.skipped[0].reason
    with pytest.raises(DataError, match=r"First reason: .*disk on fire"):
        from_torch_dataset(Items(Image.fromarray, broken=(0, 1, 2, 3)))
    state = np.random.default_rng(0)
    with pytest.raises(DataError, match="Remove random transforms"):
        from_torch_dataset(Items(lambda p: np.roll(p, int(state.integers(1, 5)), axis=1)))
    normalised = from_torch_dataset
    with pytest.raises(DataError, match=r"in \[0, 1\]"):
        normalised(Items(lambda p: torch.from_numpy(p).permute(2, 0, 1).float() - 3))
    with pytest.raises(DataError, match="map-style"):
        from_torch_dataset(iter([1]))


# Hugging Face


def test_hugging_face_sets(tmp_path, folder, monkeypatch):
    datasets = pytest.importorskip("datasets")
    files = [str(folder / f"train/{c}/{i}.png") for c in ("dog", "cat") for i in range(2)]
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "age": datasets.Value("int64"),
        }
    )
    columns = {"image": files, "label": [1, 1, 0, 0], "age": [1, 2, 3, 4]}
    table = datasets.Dataset.from_dict(columns, features=features)
    found = from_hf_dataset(table)
    assert found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [1, 1, 0, 0]
    assert found.metadata["age"].tolist() == [1, 2, 3, 4]
    by_folder = load_image_set(folder / "train")
    assert set(found.ids) <= set(by_folder.ids)  # the same file has the same id
    np.testing.assert_array_equal(found.image(3), picture(11))
    datasets.DatasetDict({"train": table, "test": table}).save_to_disk(str(tmp_path / "saved"))
    again = load_image_set(f"hf:{tmp_path / 'saved'}", split="test")
    assert again.ids == found.ids
    for options, words in (
        ({}, "split must be one of train, test"),
        ({"split": "dev"}, "split must be one of train, test"),
    ):
        with pytest.raises(DataError, match=words):
            load_image_set(f"hf:{tmp_path / 'saved'}", **options)
    with pytest.raises(DataError, match="save_to_disk"):
        load_image_set(f"hf:{folder}")
    with pytest.raises(DataError, match="--download"):
        load_image_set("hf:nobody/nothing")
    with pytest.raises(UnknownNameError, match="Did you mean 'label'"):
        load_image_set(f"hf:{tmp_path / 'saved'}", split="test", label_column="labell")
    missing(monkeypatch, "datasets")
    with pytest.raises(MissingExtraError, match=r"sundog\[hub\]"):
        from_hf_dataset(table)


# torchvision


def test_torchvision_imagenette_on_disk(tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    wnids = ["n01440764", "n02102040", "n02979186", "n03000684", "n03028079"]
    wnids += ["n03394916", "n03417042", "n03425413", "n03445777", "n03888257"]
    for split in ("train", "val"):
        for i, wnid in enumerate(wnids):
            path = tmp_path / "imagenette2-320" / split / wnid / "1.JPEG"
            path.parent.mkdir(parents=True)
            Image.fromarray(picture(i)).save(path, "JPEG")
    (tmp_path / "imagenette2-320.tgz").write_bytes(b"")
    found = load_image_set("torchvision:imagenette", split="validation", root=tmp_path)
    assert found.labels.tolist() == list(range(10))
    assert found.class_names[:2] == ("tench", "English springer")
    assert found.sources[1] == "n02102040/1.JPEG"
    with pytest.raises(DataError, match="one of train, validation; got None"):
        load_image_set("torchvision:imagenette", root=tmp_path)
    with pytest.raises(DataError, match="--download"):
        load_image_set("torchvision:cifar10", split="test", root=tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'cifar10'"):
        load_image_set("torchvision:cifar1", split="test")
    missing(monkeypatch, "torchvision")
    with pytest.raises(MissingExtraError, match=r"sundog\[zoo\]"):
        load_image_set("torchvision:imagenette", split="train", root=tmp_path)


def test_torchvision_mnist_from_its_raw_files(tmp_path):
    pytest.importorskip("torchvision")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    labels = np.array([0, 1, 2, 9, 8, 7], dtype=np.uint8)
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (raw / f"{part}-{kind}-ubyte").write_bytes(head + array.tobytes())
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    found = load_image_set("torchvision:mnist", split="test", root=tmp_path)
    assert found.labels.tolist() == labels.tolist()
    np.testing.assert_array_equal(found.image(3)[:, :, 0], pixels[3])


def test_torchvision_celeba_attributes(tmp_path, monkeypatch):
    vision = pytest.importorskip("torchvision")
    monkeypatch.setattr(vision.datasets.CelebA, "_check_integrity", lambda self: True)
    base = tmp_path / "celeba"
    names = [f"{i:06d}.jpg" for i in range(1, 5)]
    for i, name in enumerate(names):
        save(base / "img_align_celeba" / name, picture(i))
    rows = ["-1 1", "1 1", "-1 -1", "1 -1"]
    attributes = "\n".join(f"{n} {r}" for n, r in zip(names, rows, strict=True))
    (base / "list_attr_celeba.txt").write_text(f"4\nBlond_Hair Male\n{attributes}\n")
    (base / "list_eval_partition.txt").write_text("".join(f"{n} 0\n" for n in names))
    (base / "identity_CelebA.txt").write_text("".join(f"{n} 1\n" for n in names))
    boxes = "".join(f"{n} 0 0 1 1\n" for n in names)
    (base / "list_bbox_celeba.txt").write_text("4\nx y w h\n" + boxes)
    points = "".join(f"{n} 0 0\n" for n in names)
    (base / "list_landmarks_align_celeba.txt").write_text("4\nx y\n" + points)
    found = load_image_set("torchvision:celeba", split="train", root=tmp_path)
    assert found.class_names == ("not Blond_Hair", "Blond_Hair")
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.metadata["Male"].tolist() == [1, 1, 0, 0]
    male = load_image_set("torchvision:celeba", split="train", root=tmp_path, label_column="Male")
    assert male.labels.tolist() == [1, 1, 0, 0]
    with pytest.raises(UnknownNameError, match="Did you mean 'Male'"):
        load_image_set("torchvision:celeba", split="train", root=tmp_path, label_column="Mole")


# the front door


def test_front_door_suggests_and_refuses(tmp_path, folder):
    with pytest.raises(DataError, match="Did you mean 'digits'"):
        load_image_set("digit")
    with pytest.raises(DataError, match=r"Did you mean '.*pets'"):
        load_image_set(tmp_path / "pet")
    with pytest.raises(DataError, match="torchvision:imagenette"):
        load_image_set("imagenette")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="another kind of file"):
        load_image_set(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"label_column for '.*' must be left out"):
        load_image_set(folder / "train", label_column="x")
    with pytest.raises(InputError, match="Options of this source: none"):
        load_image_set("digits", class_names=["a"])
