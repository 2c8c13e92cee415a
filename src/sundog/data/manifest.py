"""A table of images: CSV or Parquet with a path, a label and any metadata per row."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sundog.core.errors import DataError, UnknownNameError
from sundog.data.folder import canonical_split
from sundog.data.image_files import open_image_files
from sundog.data.image_set import ImageSet
from sundog.data.labels import resolve_labels

CLASSES_FILE = "classes.json"
"""A list of class names beside a manifest: gives their order, and names classes without images."""

_MISSING = ["", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None"]


def open_manifest(
    manifest: str | os.PathLike[str],
    *,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    limit: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Open a manifest: one row per image.

    Paths are relative to the manifest's folder, or absolute. A label is a name or a class index
    (:func:`sundog.data.labels.resolve_labels`); an empty one, or no label column at all, means
    unlabelled. All columns are kept as metadata, unchanged.

    Args:
        manifest: ``.csv`` or ``.parquet``.
        split: keep the rows whose ``split_column`` has this value, or a synonym of it; None or
            ``all`` keeps all.
        class_names: allowed classes, in order; None: those of ``classes.json`` beside the
            manifest, or else those that occur.
        path_column: name of the column with the paths.
        label_column: name of the column with the labels.
        split_column: name of the column with the splits.
        limit: at most so many images, class-balanced.
        seed: of the draw of ``limit``.

    Raises:
        DataError: missing or broken file, no rows, no usable image, no such split, or a label
            outside the class names.
        UnknownNameError: a column that the table does not have.
    """
    path = Path(manifest)
    table = _read_table(path, text_columns=(path_column, label_column, split_column))
    if path_column not in table.columns:
        raise UnknownNameError("path_column", path_column, map(str, table.columns))
    if split not in (None, "all"):
        table = _only_split(table, split_column, str(split))
    if not len(table):
        raise DataError(f"Manifest {path.name!r}", expected="with at least one row", got="none")
    if label_column in table.columns:
        values = table[label_column].astype(object).tolist()
    elif label_column == "label":
        values = [None] * len(table)
    else:
        raise UnknownNameError("label_column", label_column, map(str, table.columns))
    labels, names = resolve_labels(
        values,
        class_names if class_names is not None else _sidecar(path),
        subject=f"column {label_column!r} of {path.name!r}",
        numbers_can_be_names=True,
    )
    relative = [str(value) for value in table[path_column]]
    return open_image_files(
        [path.parent / text for text in relative],
        labels,
        name=path.stem if path.stem != "manifest" else path.parent.resolve().name,
        class_names=names,
        sources=relative,
        metadata=table,
        limit=limit,
        seed=seed,
    )


def _read_table(path: Path, *, text_columns: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"Manifest {str(path)!r}", expected="an existing file", got="nothing there")
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path).reset_index(drop=True)
        header = pd.read_csv(path, nrows=0).columns
        return pd.read_csv(  # in paths, labels and splits "NA" and "None" are texts
            path,
            dtype={c: str for c in text_columns if c in header},
            keep_default_na=False,
            na_values={c: _MISSING for c in header if c not in text_columns},
        )
    except Exception as error:  # pandas and pyarrow raise many kinds
        reason = f"{type(error).__name__}: {str(error)[:160]}"
        raise DataError(
            f"Manifest {str(path)!r}", expected="a readable table", got=reason
        ) from error


def _only_split(table: pd.DataFrame, column: str, split: str) -> pd.DataFrame:
    if column not in table.columns:
        raise UnknownNameError("split_column", column, map(str, table.columns))
    values = table[column].astype(str)
    chosen = values == split
    if not chosen.any():  # as folders: val and valid mean validation
        chosen = values.map(canonical_split) == canonical_split(split)
    if not chosen.any():
        found = ", ".join(sorted(set(values))[:8])
        raise DataError("split", expected=f"one of {found}", got=repr(split))
    return table[chosen].reset_index(drop=True)


def _sidecar(manifest: Path) -> list[str] | None:
    path = manifest.parent / CLASSES_FILE
    if not path.is_file():
        return None
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"File {str(path)!r}", expected="JSON", got="broken JSON") from error
    if not (isinstance(names, list) and all(isinstance(n, str) for n in names)):
        raise DataError(f"File {str(path)!r}", expected="a JSON list of class names", got="other")
    return names
