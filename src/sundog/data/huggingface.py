"""A Hugging Face ``Dataset``, in memory or saved with ``save_to_disk``, as an image set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sundog.core.errors import DataError, MissingExtraError, UnknownNameError
from sundog.data.content import Pixels, file_id
from sundog.data.decode import check_header, decode_image
from sundog.data.image_files import read_file
from sundog.data.image_set import ImageSet, Skipped
from sundog.data.labels import resolve_labels
from sundog.data.sampling import balanced_sample


def open_hf(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    download: bool = False,
    **options: Any,
) -> ImageSet:
    """Open a folder written by ``save_to_disk``; with ``download``, also a name on the hub.

    Args:
        path: folder, or with ``download`` the name of a data set.
        split: needed if there is more than one.
        download: allow the network.
        options: as for :func:`from_hf_dataset`.

    Raises:
        DataError: no such folder, a folder of another kind, no such split, or a failed download.
        MissingExtraError: datasets is not installed.
    """
    library = _library()
    folder = Path(path)
    if folder.is_dir():
        try:
            found = library.load_from_disk(str(folder))
        except Exception as error:  # the library raises many kinds
            raise DataError(
                f"Folder {str(folder)!r}",
                expected="written by datasets' save_to_disk",
                got=f"{type(error).__name__}: {str(error)[:160]}",
            ) from error
    elif download:
        try:
            found = library.load_dataset(str(path))
        except Exception as error:  # network, name, authorisation, ...
            raise DataError(
                f"Data set {str(path)!r} of the hub",
                expected="available",
                got=f"{type(error).__name__}: {str(error)[:160]}",
            ) from error
    else:
        raise DataError(
            f"Folder {str(folder)!r}",
            expected="written by datasets' save_to_disk",
            got="nothing there",
            hint="A name on the hub needs download=True (--download).",
        )
    return from_hf_dataset(found, split=split, name=folder.name, **options)


def from_hf_dataset(
    dataset: Any,
    *,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    name: str = "hf",
    limit: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Make an image set from a ``Dataset`` or ``DatasetDict`` with an ``Image`` column.

    Files are decoded by Sundog's own rules (:mod:`sundog.data.decode`), and ids are hashes of the
    files' bytes, so that the same file has the same id in a folder and here. The other columns of
    one value per row become metadata.

    Args:
        dataset: of the ``datasets`` library.
        split: needed for a ``DatasetDict`` with more than one.
        class_names: in order; None: those of the ``ClassLabel`` column, or those that occur.
        image_column: None: the only ``Image`` column.
        label_column: None: the only ``ClassLabel`` column, or one called label; else unlabelled.
        name: shown in results.
        limit: at most so many images, class-balanced.
        seed: of the draw of ``limit``.

    Raises:
        DataError: no such split, no or several image columns, or no usable image.
        UnknownNameError: a column that does not exist.
        MissingExtraError: datasets is not installed.
    """
    library = _library()
    table = _one_split(dataset, split)
    features = table.features
    if not len(table):
        raise DataError(f"Data set {name!r}", expected="with at least one row", got="none")
    image_key = _column(features, image_column, library.Image, "image_column")
    if image_key is None:
        raise DataError("image_column", expected="given", got="no Image column, or several")
    label_key = _column(features, label_column, library.ClassLabel, "label_column")
    label_key = label_key or ("label" if "label" in features else None)
    raw = table.cast_column(image_key, library.Image(decode=False))
    plain = raw.remove_columns([image_key]).to_pandas()
    stored = class_names
    plain_labels: list[Any] = (
        [None] * len(raw) if label_key is None else plain.pop(label_key).tolist()
    )
    values: list[Any] = plain_labels
    if label_key is not None and isinstance(features[label_key], library.ClassLabel):
        stored = features[label_key].names if class_names is None else class_names
        names_of = features[label_key].int2str
        values = [None if not v >= 0 else names_of(int(v)) for v in plain_labels]
    labels, names = resolve_labels(values, stored, subject=f"column {label_key!r}")
    sources = [f"{name}[{i}]" for i in range(len(raw))]
    rows, ids, skipped = [], [], []
    for row in balanced_sample(labels, sources, limit=limit, seed=seed).tolist():
        try:
            data = _file_bytes(raw[row][image_key])
            check_header(data)
        except DataError as error:
            skipped.append(Skipped(sources[row], error.message))
            continue
        rows.append(row)
        ids.append(file_id(data))
    if not rows:
        raise DataError(
            f"Data set {name!r}",
            expected="with a readable image",
            got="none",
            hint=f"First reason: {skipped[0].reason}",
        )

    def read(index: int) -> Pixels:
        return decode_image(_file_bytes(raw[rows[index]][image_key]))

    return ImageSet(
        name=name,
        class_names=names,
        labels=labels[rows],
        ids=ids,
        sources=[sources[row] for row in rows],
        read=read,
        metadata=pd.DataFrame(plain).iloc[rows],
        skipped=skipped,
    )


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            "datasets", extra="hub", purpose="Reading Hugging Face data sets"
        ) from error
    return datasets


def _one_split(dataset: Any, split: str | None) -> Any:
    if not isinstance(dataset, dict):
        if split is not None and str(getattr(dataset, "split", None)) != split:
            raise DataError("split", expected="None: there is one", got=repr(split))
        return dataset
    if split is None and len(dataset) == 1:
        return next(iter(dataset.values()))
    if split not in dataset:
        raise DataError("split", expected=f"one of {', '.join(map(str, dataset))}", got=repr(split))
    return dataset[split]


def _column(features: Any, given: str | None, kind: type, what: str) -> str | None:
    if given is not None:
        if given not in features:
            raise UnknownNameError(what, given, map(str, features))
        return given
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    return found[0] if len(found) == 1 else None


def _file_bytes(cell: Any) -> bytes:
    if cell is None:
        raise DataError("the row has no image")
    if cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    return read_file(Path(cell["path"]))
