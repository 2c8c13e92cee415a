"""Opening the images for the doctor: all of them for counting, a sample for looking at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from sundog.audit.doctor_result import Check
from sundog.core.errors import DataError, SundogError
from sundog.core.shapes import Images
from sundog.data.content import Pixels
from sundog.data.folder import canonical_split
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.sampling import balanced_sample
from sundog.data.streaming import ordered_map
from sundog.data.torch_dataset import from_torch_dataset
from sundog.data.transforms import Image, Resize, resize_image

OPENED = 20_000
"""Images that are opened at most; counts are of these."""
SAMPLE_BYTES = 512 << 20
"""Memory of the sample at most: fewer images where they are large."""
ONE_COLOUR = 3
"""An image whose channels vary by less than this (of 255) is of one colour."""
_PREFERRED = ("validation", "test", "train")


@dataclass(frozen=True, eq=False)
class OpenedData:
    """What could be opened.

    Attributes:
        image_set: the part that is asked about; None if nothing could be opened.
        parts: all parts of the source by split, if it has several.
        root: folder that the sources of the images are relative to; None if they are no files.
        complete: whether every image of the source was opened.
        checks: of the opening.
    """

    image_set: ImageSet | None
    parts: dict[str, ImageSet]
    root: Path | None
    complete: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """Some images, decoded and brought to size.

    Attributes:
        images: ``float32[n, 3, height, width]`` in [0, 1].
        rows: ``int64[n]``, positions in the image set.
        shapes: (height, width) of each before it was resized.
        one_colour: names of images of a single colour.
        broken: (name, reason) of images that could not be decoded.
        asked: images that were tried.
    """

    images: Images
    rows: Int64[np.ndarray, "n"]
    shapes: tuple[tuple[int, int], ...]
    one_colour: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]
    asked: int


def open_data(
    data: Any,
    *,
    split: str | None = None,
    seed: int = 0,
    download: bool = False,
    path_column: str | None = None,
    label_column: str | None = None,
) -> OpenedData:
    """Open images for the doctor; an error becomes a check that failed.

    Args:
        data: an image set, a torch dataset, or what :func:`load_image_set` takes.
        split: the part that is asked about.
        seed: of the draw where there are more than 20,000.
        download: see :func:`load_image_set`.
        path_column: of a manifest.
        label_column: of a manifest.
    """
    try:
        if isinstance(data, ImageSet):
            return _opened(data, None, split=split)
        if not isinstance(data, (str, os.PathLike)):
            return _opened(from_torch_dataset(data, limit=OPENED, seed=seed), None, split=split)
        given = {"path_column": path_column, "label_column": label_column}
        common: dict[str, Any] = {"limit": OPENED, "seed": seed, "download": download, **given}
        root = _root(data)
        if root is not None and Path(data).suffix.lower() not in (".h5", ".hdf5"):
            whole = load_image_set(data, split="all", **common)
            if not _parts(whole) and split not in (None, "all"):
                whole = load_image_set(data, split=split, **common)
                return _opened(whole, root, split=None)
            return _opened(whole, root, split=split, folder=Path(data).is_dir())
        return _opened(load_image_set(data, split=split, **common), None, split=None)
    except SundogError as error:
        check = Check(
            "images: opened", "fail", error.message, "images that can be read", "see the message"
        )
        return OpenedData(None, {}, None, complete=False, checks=(check,))


def _opened(
    whole: ImageSet, root: Path | None, *, split: str | None, folder: bool = False
) -> OpenedData:
    parts = _parts(whole)
    chosen, checks = whole, []
    if parts and split not in (None, "all"):
        wanted = canonical_split(split)
        if wanted not in parts:
            found = ", ".join(sorted(parts))
            raise DataError("split", expected=f"one of {found}, all", got=repr(split))
        chosen = parts[wanted]
    elif parts and folder and split is None:
        name = next((s for s in _PREFERRED if s in parts), sorted(parts)[0])
        chosen = parts[name]
        checks.append(
            Check(
                "images: split",
                "warn",
                f"the folder has {', '.join(sorted(parts))}; looked at {name}",
                "one part named",
                f"--split {name}",
            )
        )
    many = len(whole) + len(whole.skipped) >= OPENED
    text = f"{len(chosen)} images, {len(chosen.class_names)} classes"
    if many:
        text += f" (of more than {OPENED}: counts are of these)"
    checks.insert(0, Check("images: opened", "ok", text, "images that can be read"))
    return OpenedData(chosen, parts, root, complete=not many, checks=tuple(checks))


def _parts(whole: ImageSet) -> dict[str, ImageSet]:
    """Return the parts of a set whose metadata say them; none if there is only one."""
    if "split" not in whole.metadata.columns:
        return {}
    values = whole.metadata["split"].astype("string").fillna("").map(canonical_split).to_numpy()
    names = [name for name in dict.fromkeys(values.tolist()) if name]
    if len(names) < 2:
        return {}
    return {name: whole.subset(np.flatnonzero(values == name)) for name in names}


def _root(source: str | os.PathLike[str]) -> Path | None:
    place = Path(source).expanduser()
    if place.is_dir():
        return place
    return place.parent if place.is_file() else None


def draw_sample(
    image_set: ImageSet, *, size: tuple[int, int], resize: Resize, limit: int, seed: int
) -> Sample:
    """Decode at most ``limit`` images, as many of each class as can be.

    Args:
        image_set: the images.
        size: (height, width) they are brought to.
        resize: pad, crop or stretch.
        limit: images.
        seed: of the draw.

    Raises:
        DataError: not one can be decoded.
    """
    most = max(16, SAMPLE_BYTES // (12 * size[0] * size[1]))
    chosen = balanced_sample(image_set.labels, image_set.sources, limit=min(limit, most), seed=seed)
    broken: list[tuple[str, str]] = []

    def prepare(row: int) -> tuple[int, tuple[int, int], bool, Image] | None:
        try:
            pixels = image_set.image(row)
        except DataError as error:
            broken.append((image_set.sources[row], error.message))
            return None
        shape = (int(pixels.shape[0]), int(pixels.shape[1]))
        return row, shape, _is_one_colour(pixels), resize_image(pixels, size, resize=resize)

    found = [one for one in ordered_map(prepare, chosen.tolist(), workers=2) if one is not None]
    if not found:
        first = f"First reason: {broken[0][1]}" if broken else ""
        raise DataError(
            f"Image set {image_set.name!r}",
            expected="readable",
            got=f"{len(chosen)} images of which not one can be decoded",
            hint=first,
        )
    return Sample(
        images=torch.stack([image for _, _, _, image in found]),
        rows=np.array([row for row, _, _, _ in found], dtype=np.int64),
        shapes=tuple(shape for _, shape, _, _ in found),
        one_colour=tuple(image_set.sources[row] for row, _, plain, _ in found if plain),
        broken=tuple(sorted(broken)),
        asked=len(chosen),
    )


def files_of(image_set: ImageSet, root: Path | None, *, limit: int) -> Sequence[Path]:
    """Return the files of at most ``limit`` images, spread over the set; none if there are none."""
    if root is None or len(image_set) == 0:
        return ()
    rows = np.unique(np.linspace(0, len(image_set) - 1, min(limit, len(image_set))).astype(int))
    paths = [root / image_set.sources[row] for row in rows.tolist()]
    return [path for path in paths if path.is_file()]


def _is_one_colour(pixels: Pixels) -> bool:
    flat = pixels.reshape(-1, 3)
    return bool((flat.max(axis=0).astype(int) - flat.min(axis=0) < ONE_COLOUR).all())
