"""What is known about the images without looking: columns, folders and EXIF as tags."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from sundog.concepts.column_tags import ColumnPlan, ColumnTag, as_texts, plan_column
from sundog.concepts.exif import read_exif
from sundog.concepts.tag_scores import Scores
from sundog.concepts.tagger import Rows, Tagger, rows_of
from sundog.core.errors import InputError, ModelStateError, UnknownNameError
from sundog.data.image_set import ImageSet


class MetadataTagger(Tagger):
    """Tags from the set's metadata columns, the folders of its sources, and EXIF.

    A category gives ``column = value``, a number ``column < x`` and ``column >= x`` at the set's
    quartiles, missing values ``column missing``; scores are 1, 0 or NaN (value missing).
    Dates give year, month and hour. Folders are the parts of the sources below the set's common
    root and without the class folder. What is left out is in ``notes``.

    Attributes:
        name: ``metadata``.
        tags: the conditions, once fitted.
    """

    name = "metadata"
    version = 1
    needs_images = False
    fitted = False

    def __init__(
        self,
        *,
        columns: Sequence[str] | None = None,
        folders: bool = True,
        exif: bool = True,
        root: str | os.PathLike[str] | None = None,
        max_values: int = 20,
        quantiles: Sequence[float] = (0.25, 0.5, 0.75),
    ) -> None:
        """Choose what to use.

        Args:
            columns: metadata columns; None: all.
            folders: whether folder names become tags.
            exif: whether the headers of image files are read, where the sources are files.
            root: folder that the sources are relative to; needed for EXIF of such sources.
            max_values: categories per column, >= 2; see
                :func:`~sundog.concepts.column_tags.plan_column`.
            quantiles: of numeric columns, in (0, 1).

        Raises:
            InputError: a number out of range.
        """
        if max_values < 2:
            raise InputError("max_values", expected=">= 2", got=str(max_values))
        if not all(0 < q < 1 for q in quantiles):
            raise InputError("quantiles", expected="in (0, 1)", got=str(tuple(quantiles)))
        self._columns = None if columns is None else tuple(columns)
        self._folders = folders
        self._exif = exif
        self._root = None if root is None else Path(root)
        self._max_values = max_values
        self._quantiles = tuple(quantiles)
        self._common = 0
        self.tags: tuple[ColumnTag, ...] = ()
        self.tag_names = ()
        self.thresholds = np.zeros(0, dtype=np.float32)

    def fit(self, image_set: ImageSet, *, seed: int = 0, progress: bool | None = None) -> Self:
        """Choose the tags of this set.

        Raises:
            UnknownNameError: a column that the set does not have.
        """
        for column in self._columns or ():
            if column not in image_set.metadata.columns:
                raise UnknownNameError("column", column, map(str, image_set.metadata.columns))
        made = copy.copy(self)
        made._common = _common_folders(image_set.sources)
        made.fitted = True
        table = made._table(rows_of(image_set, np.arange(len(image_set))))
        tags: list[ColumnTag] = []
        notes: list[str] = []
        if self._root is not None and not any(c.startswith("EXIF ") for c in table.columns):
            notes.append(f"no file below {str(self._root)!r} has EXIF, or none was found")
        sources = list(image_set.sources)
        kept: dict[tuple[object, ...], str] = {}
        for column in table.columns:
            values = table[column]
            texts = as_texts(values)
            if texts == sources:
                continue  # the path of each image
            split = _split_of(texts, self._max_values)
            if split in kept:
                notes.append(f"column {column!r} says the same as {kept[split]!r}")
                continue
            plan = self._plan(str(column), values, image_set)
            tags.extend(plan.tags)
            notes.extend([plan.note] if plan.note else [])
            if plan.tags:
                kept[split] = str(column)
        made.tags = tuple({tag.name: tag for tag in tags}.values())
        made.tag_names = tuple(tag.name for tag in made.tags)
        made.thresholds = np.full(len(made.tags), 0.5, dtype=np.float32)
        made.notes = tuple(notes)
        return made

    def identity(self) -> dict[str, Any]:
        """Return the conditions; the values themselves stand in the set."""
        return {
            "name": self.name,
            "version": self.version,
            "tags": [[tag.column, tag.rule, tag.value] for tag in self.tags],
            "common_folders": self._common,
        }

    def score(self, rows: Rows) -> Scores:
        """Return 1, 0 or NaN by condition.

        Raises:
            ModelStateError: not fitted.
        """
        if not self.fitted:
            raise ModelStateError("Tagger 'metadata'", expected="fitted", got="one that is not")
        table = self._table(rows)
        unknown = pd.Series([None] * len(rows), dtype=object)
        columns = [
            tag.score(table[tag.column] if tag.column in table.columns else unknown)
            for tag in self.tags
        ]
        if not columns:
            return np.zeros((len(rows), 0), dtype=np.float32)
        return np.stack(columns, axis=1)

    def _plan(self, column: str, values: pd.Series, image_set: ImageSet) -> ColumnPlan:
        return plan_column(
            column,
            values,
            labels=image_set.labels,
            max_values=self._max_values,
            quantiles=self._quantiles,
        )

    def _table(self, rows: Rows) -> pd.DataFrame:
        """Return all columns that tags may come from, one row per image."""
        metadata = rows.metadata
        chosen = metadata.columns if self._columns is None else list(self._columns)
        parts: dict[str, pd.Series] = {}
        for column in chosen:
            if column not in metadata.columns:
                continue
            values = metadata[column]
            if pd.api.types.is_datetime64_any_dtype(values.dtype):
                for part in ("year", "month", "hour"):
                    parts[f"{column} {part}"] = getattr(values.dt, part)
            else:
                parts[str(column)] = values
        if self._folders:
            for name, values in _folder_columns(rows.sources, self._common).items():
                parts[name if name not in parts else f"{name} of the file"] = values
        if self._exif:
            found = read_exif([self._file(source) for source in rows.sources])
            for column in found.columns:
                if found[column].notna().any():
                    parts[f"EXIF {column}"] = found[column]
        return pd.DataFrame(parts, index=range(len(rows)))

    def _file(self, source: str) -> Path | None:
        path = Path(source) if self._root is None else self._root / source
        try:
            return path if path.is_file() else None
        except (OSError, ValueError):  # a source that is no path
            return None


def _split_of(texts: Sequence[str], max_values: int) -> tuple[object, ...]:
    """Return what two columns share if they part the images in the same way.

    Columns of many values are alike only if the values are.
    """
    numbers: dict[str, int] = {}
    for text in texts:
        numbers.setdefault(text, len(numbers))
    if len(numbers) > max_values:
        return tuple(texts)
    return tuple(numbers[text] for text in texts)


def _parts(source: str) -> list[str]:
    """Return the folders of a source, without the file name."""
    return [part for part in source.replace("\\", "/").split("/") if part not in ("", ".")][:-1]


def _common_folders(sources: Sequence[str]) -> int:
    """Return how many leading folders all sources share."""
    rows = [_parts(source) for source in sources]
    count = 0
    while rows and all(len(row) > count and row[count] == rows[0][count] for row in rows):
        count += 1
    return count


def _folder_columns(sources: Sequence[str], common: int) -> dict[str, pd.Series]:
    """Return the folder names by depth below the common root; None where there is none."""
    rows = [_parts(source)[common:] for source in sources]
    depth = max((len(row) for row in rows), default=0)
    return {
        "folder" if level == 0 else f"folder {level + 1}": pd.Series(
            [row[level] if len(row) > level else None for row in rows], dtype=object
        )
        for level in range(depth)
    }
