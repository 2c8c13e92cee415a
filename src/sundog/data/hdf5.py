"""An HDF5 file as an image set: ``images`` uint8 NHWC, ``labels``; images are read when needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from sundog.core.errors import DataError, InputError, MissingExtraError
from sundog.data.arrays import Layout, array_to_pixels
from sundog.data.content import Pixels, pixel_id
from sundog.data.image_set import ImageSet
from sundog.data.labels import resolve_labels
from sundog.data.sampling import balanced_sample

Channels = Literal["rgb", "bgr"]
"""Order of the colours in a file; OpenCV writes bgr. Images of a set are always RGB."""


def open_hdf5(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    image_key: str = "images",
    label_key: str = "labels",
    channels: Channels = "rgb",
    limit: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Open an HDF5 file; every image is read once now, for its id, and again when streamed.

    Class names come from ``class_names``, from the attribute ``class_names`` of the file or of the
    labels, or are the class indices. Other one-dimensional data sets of the same length become
    metadata.

    Args:
        path: ``.h5`` or ``.hdf5``.
        split: name of the group that holds the data sets; None: the file's root.
        class_names: in order, or None.
        image_key: data set ``uint8[n, h, w, c]`` (c = 1, 3 or 4) or ``[n, h, w]``.
        label_key: data set ``[n]`` or ``[n, 1]`` of indices or names; unlabelled if the file has
            none.
        channels: order of the colours in the file, ``rgb`` or ``bgr`` (the face lab's
            ``train_face.h5``). A file does not say it: look at an image.
        limit: at most so many images, class-balanced.
        seed: of the draw of ``limit``.

    Raises:
        DataError: missing or broken file, no such group or data set, wrong type or shape.
        InputError: an unknown order of colours, or ``bgr`` for grey images.
        MissingExtraError: h5py is not installed.
    """
    if channels not in get_args(Channels):
        raise InputError("channels", expected=f"one of {get_args(Channels)}", got=repr(channels))
    file_path = Path(path)
    with _open(file_path) as file:
        if split is not None and split not in file:
            raise DataError("split", expected=f"a group of {file_path.name!r}", got=repr(split))
        group = file if split is None else file[split]
        if image_key not in group:
            raise DataError(
                f"HDF5 file {file_path.name!r}",
                expected=f"with a data set {image_key!r}",
                got=", ".join(sorted(group)) or "an empty file",
                hint="With groups, name one as split=...",
            )
        images = group[image_key]
        shape = images.shape
        layout: Layout = "NHWC" if images.ndim == 4 else "NHW"
        bad_shape = images.ndim not in (3, 4) or (images.ndim == 4 and shape[3] not in (1, 3, 4))
        if bad_shape or images.dtype != np.uint8 or 0 in shape:
            raise DataError(
                f"data set {image_key!r}",
                expected="uint8[n, h, w, c] with c = 1, 3 or 4, n > 0",
                got=f"{images.dtype}{shape}",
            )
        if channels == "bgr" and (images.ndim == 3 or shape[3] == 1):
            raise InputError("channels", expected="'rgb' for grey images", got="'bgr'")
        columns = {
            key: _values(group[key])
            for key in group
            if key != image_key and getattr(group[key], "shape", None) in (shape[:1], (shape[0], 1))
        }
        if label_key in group and label_key not in columns:
            raise DataError(
                f"data set {label_key!r}",
                expected=f"one label per image, shape ({shape[0]},)",
                got=str(getattr(group[label_key], "shape", "a group")),
            )
        stored = class_names if class_names is not None else _names(file, group, label_key)
        labels, names = resolve_labels(columns.get(label_key, [None] * shape[0]), stored)
        sources = [f"{file_path.name}[{i}]" for i in range(shape[0])]
        chosen = balanced_sample(labels, sources, limit=limit, seed=seed)
        ids = [pixel_id(_pixels(images[i], layout, channels)) for i in chosen.tolist()]
    columns.pop(label_key, None)
    return ImageSet(
        name=file_path.stem,
        class_names=names,
        labels=labels[chosen],
        ids=ids,
        sources=[sources[i] for i in chosen],
        read=_reader(file_path, split, image_key, layout, channels, chosen),
        metadata=pd.DataFrame(columns, index=range(shape[0])).iloc[chosen],
    )


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", extra="lab", purpose="Reading HDF5 files") from error
    if not path.is_file():
        raise DataError(f"HDF5 file {str(path)!r}", expected="an existing file", got="nothing")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"File {str(path)!r}", expected="HDF5", got=str(error)[:120]) from error


def _values(data: Any) -> list[Any]:
    values = data[()].reshape(-1).tolist()
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]


def _names(file: Any, group: Any, label_key: str) -> list[str] | None:
    holders = [group[label_key]] if label_key in group else []
    for holder in (*holders, group, file):
        if "class_names" in holder.attrs:
            raw = np.asarray(holder.attrs["class_names"]).tolist()
            return [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in raw]
    return None


def _reader(
    path: Path,
    split: str | None,
    image_key: str,
    layout: Layout,
    channels: Channels,
    chosen: np.ndarray,
) -> Callable[[int], Pixels]:
    """Read one image at a time from a file that is opened at first use and stays open."""
    opened: list[Any] = []
    lock = threading.Lock()

    def read(index: int) -> Pixels:
        with lock:
            if not opened:
                opened.append(_open(path))
            group = opened[0] if split is None else opened[0][split]
            try:
                image = group[image_key][int(chosen[index])]
            except OSError as error:
                raise DataError(f"the image cannot be read: {str(error)[:120]}") from error
        return _pixels(image, layout, channels)

    return read


def _pixels(image: np.ndarray, layout: Layout, channels: Channels) -> Pixels:
    if channels == "bgr":
        image = np.concatenate([image[:, :, 2::-1], image[:, :, 3:]], axis=2)
    return array_to_pixels(image, layout)
