"""Torchvision's data sets by name: from disk, or downloaded if the user asks for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sundog.core.errors import DataError, MissingExtraError, UnknownNameError
from sundog.data.image_files import open_image_files
from sundog.data.image_set import ImageSet
from sundog.data.torch_dataset import from_torch_dataset

DEFAULT_ROOT = Path("~/.cache/sundog/torchvision")


@dataclass(frozen=True)
class TorchvisionSet:
    """One row of the table.

    Attributes:
        class_name: in ``torchvision.datasets``.
        splits: our name of a split -> the class's own arguments.
    """

    class_name: str
    splits: dict[str, dict[str, Any]]


_TRAIN_FLAG = {"train": {"train": True}, "test": {"train": False}}
_TRAIN_TEST = {"train": {"split": "train"}, "test": {"split": "test"}}
_THREE = {**_TRAIN_TEST, "validation": {"split": "val"}}
_NO_SPLIT: dict[str, dict[str, Any]] = {"all": {}}

TORCHVISION_SETS: dict[str, TorchvisionSet] = {
    "caltech101": TorchvisionSet("Caltech101", _NO_SPLIT),
    "celeba": TorchvisionSet(
        "CelebA",
        {
            "train": {"split": "train", "target_type": "attr"},
            "validation": {"split": "valid", "target_type": "attr"},
            "test": {"split": "test", "target_type": "attr"},
        },
    ),
    "cifar10": TorchvisionSet("CIFAR10", _TRAIN_FLAG),
    "cifar100": TorchvisionSet("CIFAR100", _TRAIN_FLAG),
    "dtd": TorchvisionSet("DTD", _THREE),
    "eurosat": TorchvisionSet("EuroSAT", _NO_SPLIT),
    "fashion_mnist": TorchvisionSet("FashionMNIST", _TRAIN_FLAG),
    "fgvc_aircraft": TorchvisionSet("FGVCAircraft", _THREE),
    "flowers102": TorchvisionSet("Flowers102", _THREE),
    "food101": TorchvisionSet("Food101", _TRAIN_TEST),
    "gtsrb": TorchvisionSet("GTSRB", _TRAIN_TEST),
    "imagenette": TorchvisionSet(
        "Imagenette",
        {
            "train": {"split": "train", "size": "320px"},
            "validation": {"split": "val", "size": "320px"},
        },
    ),
    "kmnist": TorchvisionSet("KMNIST", _TRAIN_FLAG),
    "mnist": TorchvisionSet("MNIST", _TRAIN_FLAG),
    "oxford_iiit_pet": TorchvisionSet(
        "OxfordIIITPet", {"train": {"split": "trainval"}, "test": {"split": "test"}}
    ),
    "pcam": TorchvisionSet("PCAM", _THREE),
    "stl10": TorchvisionSet("STL10", _TRAIN_TEST),
    "svhn": TorchvisionSet("SVHN", _TRAIN_TEST),
}


def open_torchvision(
    name: str,
    *,
    split: str | None = None,
    download: bool = False,
    root: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Open one of torchvision's data sets.

    Args:
        name: a key of :data:`TORCHVISION_SETS`.
        split: train, validation or test, as the table says; needed if there is more than one.
        download: fetch it into ``root`` if it is not there.
        root: folder of the files; None: ``~/.cache/sundog/torchvision``.
        label_column: for celeba: the attribute that is the label (default Blond_Hair). All 40
            attributes are metadata.
        limit: at most so many images.
        seed: of the draw of ``limit``.

    Raises:
        UnknownNameError: not in the table, or no such attribute.
        DataError: not on disk and ``download`` is false, no such split, or a failed download.
        MissingExtraError: torchvision is not installed.
    """
    if name not in TORCHVISION_SETS:
        raise UnknownNameError("torchvision data set", name, TORCHVISION_SETS)
    row = TORCHVISION_SETS[name]
    if split is None and len(row.splits) == 1:
        split = next(iter(row.splits))
    if split not in row.splits:
        raise DataError(
            f"split of {name!r}", expected=f"one of {', '.join(row.splits)}", got=repr(split)
        )
    dataset = _construct(row, row.splits[str(split)], name, download, root)
    if name == "celeba":
        return _celeba(dataset, label_column or "Blond_Hair", limit=limit, seed=seed)
    samples = getattr(dataset, "samples", getattr(dataset, "_samples", None))
    if isinstance(samples, list) and samples and len(samples[0]) == 2:
        paths = [Path(path) for path, _ in samples]
        return open_image_files(
            paths,
            np.array([label for _, label in samples], dtype=np.int64),
            name=name,
            class_names=_class_names(dataset, samples),
            sources=[f"{p.parent.name}/{p.name}" for p in paths],
            limit=limit,
            seed=seed,
        )
    return from_torch_dataset(dataset, name=name, limit=limit, seed=seed)


def _construct(
    row: TorchvisionSet,
    arguments: dict[str, Any],
    name: str,
    download: bool,
    root: str | os.PathLike[str] | None,
) -> Any:
    try:
        from torchvision import datasets
    except ImportError as error:
        raise MissingExtraError(
            "torchvision", extra="zoo", purpose="Torchvision's data sets"
        ) from error
    folder = Path(root) if root is not None else DEFAULT_ROOT.expanduser()
    try:
        return getattr(datasets, row.class_name)(str(folder), download=download, **arguments)
    except Exception as error:  # "not found", network, checksums, a missing reader, ...
        raise DataError(
            f"Data set {name!r} in {str(folder)!r}",
            expected="on disk" if not download else "downloadable",
            got=f"{type(error).__name__}: {str(error)[:160]}",
            hint="" if download else "Pass download=True (--download) to fetch it.",
        ) from error


def _class_names(dataset: Any, samples: list[Any]) -> list[str]:
    classes = getattr(dataset, "classes", None)
    if not classes:
        return [str(i) for i in range(max(label for _, label in samples) + 1)]
    return [str(c[0]) if isinstance(c, list | tuple) else str(c) for c in classes]


def _celeba(dataset: Any, attribute: str, *, limit: int | None, seed: int) -> ImageSet:
    names = [n for n in dataset.attr_names if n]
    if attribute not in names:
        raise UnknownNameError("label_column", attribute, names)
    table = pd.DataFrame(dataset.attr.numpy()[:, : len(names)], columns=names)
    folder = Path(dataset.root) / dataset.base_folder / "img_align_celeba"
    return open_image_files(
        [folder / name for name in dataset.filename],
        table[attribute].to_numpy(dtype=np.int64),
        name="celeba",
        class_names=(f"not {attribute}", attribute),
        sources=list(dataset.filename),
        metadata=table,
        limit=limit,
        seed=seed,
    )
