"""The images of a setting: training and held-out part, without any cue."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.planted.photographs import photograph_crops
from sundog.data.arrays import from_arrays
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.transforms import Resize

DIGITS = {"digits": 28, "digits-56": 56}
"""Name -> side in pixels."""
FACES = 30
"""Training images of each of the two classes; with more of them hardly any cue is learnt."""
IMAGENETTE = {"imagenette": (64, 3000, 1000)}
"""Name -> side in pixels, training and held-out images."""


@dataclass(frozen=True, eq=False)
class Data:
    """Images without a cue.

    Attributes:
        name: of the data set.
        train: for training.
        held_out: for everything that is measured.
        size: side in pixels at which they are used.
        resize: how they are brought to size.
    """

    name: str
    train: ImageSet
    held_out: ImageSet
    size: int
    resize: Resize = "pad"


@lru_cache(maxsize=4)
def open_data(name: str, seed: int, imagenette: Path | None = None) -> Data:
    """Open a data set; the seed decides which images are used and which are held out.

    Args:
        name: ``faces``, ``photographs``, or a key of :data:`DIGITS` or :data:`IMAGENETTE`.
        seed: of the network.
        imagenette: folder with ``train/CLASS`` and ``validation/CLASS``.
    """
    if name in DIGITS:
        parts = (load_image_set("digits", split=split) for split in ("train", "validation"))
        return Data(name, *parts, size=DIGITS[name])
    if name == "faces":
        faces = even_faces(seed=seed)
        first, second = _parts(faces, FACES, seed=seed)
        return Data(name, faces.subset(first), faces.subset(second), size=32)
    if name == "photographs":
        return Data(
            name,
            photograph_crops("train", per_class=200, size=48, seed=seed),
            photograph_crops("held-out", per_class=60, size=48, seed=seed),
            size=48,
        )
    if name in IMAGENETTE:
        if imagenette is None:
            raise SystemExit("imagenette needs --imagenette FOLDER (train/CLASS, validation/CLASS)")
        size, count, held = IMAGENETTE[name]
        train = load_image_set(imagenette, split="train", limit=count, seed=seed)
        held_out = load_image_set(imagenette, split="validation", limit=held, seed=seed)
        return Data(name, train, held_out, size=size, resize="crop")
    raise SystemExit(f"no data set {name!r}")


def even_faces(*, seed: int) -> ImageSet:
    """Return the faces and the crops without one, each brought to a mean and a standard deviation
    drawn for it: otherwise contrast tells the two apart, and a control would rely on it by right.
    """
    faces = load_image_set("faces")
    rng = np.random.default_rng([seed, 25])
    images = []
    for index in range(len(faces)):
        pixels = faces.image(index).astype(np.float64) / 255
        mean, spread = rng.uniform(0.4, 0.6), rng.uniform(0.13, 0.2)
        even = (pixels - pixels.mean()) / max(pixels.std(), 0.02) * spread + mean
        images.append(np.rint(255 * np.clip(even, 0, 1)).astype(np.uint8))
    return from_arrays(
        np.stack(images), faces.labels.tolist(), faces.class_names, layout="NHWC", name="faces"
    )


def _parts(images: ImageSet, count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of ``count`` images of each class, and of the others."""
    rng = np.random.default_rng(seed)
    first, second = [], []
    for label in range(len(images.class_names)):
        order = rng.permutation(np.flatnonzero(images.labels == label))
        first.append(order[:count])
        second.append(order[count:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))
