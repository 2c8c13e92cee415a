"""A person's own tags: a CSV or Parquet table with one row per image."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Float32

from sundog.concepts.column_tags import missing
from sundog.concepts.match_rows import match_rows
from sundog.concepts.tag_scores import Scores
from sundog.concepts.tagger import Rows, Tagger
from sundog.core.errors import DataError, InputError, ModelStateError, UnknownNameError, first_line
from sundog.data.image_set import ImageSet

KEYS = ("path", "id")
_WORDS = {"yes": 1.0, "true": 1.0, "y": 1.0, "no": 0.0, "false": 0.0, "n": 0.0}


class CsvTagger(Tagger):
    """Tags from a table.

    ::

        path,tags                 path,night,snow         id,fence
        cat/1.jpg,night|snow      cat/1.jpg,1,0.8         3f0c...,yes
        cat/2.jpg,                cat/2.jpg,0,            9b1d...,no

    Either one column ``tags`` (an empty cell means none of them), or one column per tag with 0, 1,
    yes, no or any score (an empty cell means not known), or both. A row names its image by
    ``path`` (the source, or an end of it that is unambiguous) or by ``id`` (content hash). Rows
    without an image and images without a row are in ``notes``; such images have NaN.

    Attributes:
        name: ``csv``.
        path: of the table.
    """

    name = "csv"
    version = 1
    needs_images = False
    fitted = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        key: str | None = None,
        columns: Sequence[str] | None = None,
        separator: str = "|",
        threshold: float = 0.5,
    ) -> None:
        """Read the table.

        Args:
            path: ``.csv`` or ``.parquet``.
            key: ``path`` or ``id``; None: the one that the table has, ``path`` if both.
            columns: columns that are tags; None: all that hold numbers, or yes and no.
            separator: between tags of the column ``tags``.
            threshold: present where the score reaches it.

        Raises:
            DataError: no such file, no readable table, no key, no rows, no tag, or a score that is
                infinite.
            UnknownNameError: a column that the table does not have.
            InputError: another key, or an empty separator.
        """
        if key is not None and key not in KEYS:
            raise InputError("key", expected=f"one of {KEYS}", got=repr(key))
        if not separator:
            raise InputError("separator", expected="not empty", got="''")
        self.path = Path(path)
        table = _read(self.path)
        self._key = key or next((k for k in KEYS if k in table.columns), "path")
        if self._key not in table.columns:
            raise DataError(
                f"Table {str(self.path)!r}",
                expected="with a column path or id" if key is None else f"with a column {key!r}",
                got=f"columns {', '.join(map(str, table.columns))[:120]}",
            )
        if not len(table):
            raise DataError(f"Table {str(self.path)!r}", expected="with rows", got="none")
        self._keys = [str(value).strip() for value in table[self._key]]
        names, scores, notes = _tags(table, self._key, columns, separator, self.path)
        self.tag_names = tuple(names)
        self.thresholds = np.full(len(names), threshold, dtype=np.float32)
        self.notes = tuple(notes)
        self._scores = scores
        self._row_of: dict[str, int] = {}

    def fit(self, image_set: ImageSet, *, seed: int = 0, progress: bool | None = None) -> Self:
        """Match the rows of the table with the images of the set.

        Raises:
            DataError: a row that fits several images, several rows of one image that differ, or
                not one row that fits an image.
        """
        made = copy.copy(self)
        subject = f"Table {str(self.path)!r}"
        found, notes = match_rows(
            self._keys, image_set.sources if self._key == "path" else image_set.ids, subject=subject
        )
        made._row_of = {}
        for row, image_key in found:
            other = made._row_of.setdefault(image_key, row)
            if not np.array_equal(self._scores[row], self._scores[other], equal_nan=True):
                raise DataError(
                    subject,
                    expected="with one row per image",
                    got=f"rows {other + 1} and {row + 1} that differ for {image_key!r}",
                )
        made.notes = (*self.notes, *notes)
        made.fitted = True
        return made

    def identity(self) -> dict[str, Any]:
        """Return the content of the table as a hash."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update("\n".join(self._keys).encode("utf-8"))
        digest.update(np.ascontiguousarray(self._scores).data)
        return {"name": self.name, "version": self.version, "table": digest.hexdigest()}

    def score(self, rows: Rows) -> Scores:
        """Return the scores of the table, NaN for images without a row.

        Raises:
            ModelStateError: not fitted.
        """
        if not self.fitted:
            raise ModelStateError("Tagger 'csv'", expected="fitted", got="one that is not")
        scores = np.full((len(rows), len(self.tag_names)), np.nan, dtype=np.float32)
        for position, key in enumerate(rows.sources if self._key == "path" else rows.ids):
            if key in self._row_of:
                scores[position] = self._scores[self._row_of[key]]
        return scores


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"Table {str(path)!r}", expected="an existing file", got="nothing there")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(f"Table {str(path)!r}", expected=".csv or .parquet", got=path.suffix)
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path).reset_index(drop=True)
        else:
            header = pd.read_csv(path, nrows=0).columns
            texts = {c: str for c in (*KEYS, "tags") if c in header}
            table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    except Exception as error:  # pandas and pyarrow raise many kinds
        raise DataError(
            f"Table {str(path)!r}", expected="a readable table", got=first_line(error)
        ) from error
    table.columns = [str(column).strip() for column in table.columns]
    return table


def _tags(
    table: pd.DataFrame, key: str, columns: Sequence[str] | None, separator: str, path: Path
) -> tuple[list[str], Scores, list[str]]:
    """Return names, ``float32[rows, tags]`` and what was left out."""
    for column in columns or ():
        if column not in table.columns:
            raise UnknownNameError("column", column, map(str, table.columns))
    made: dict[str, Float32[np.ndarray, "rows"]] = {}
    notes: list[str] = []
    wanted = [c for c in table.columns if c not in KEYS and c != key]
    for column in wanted if columns is None else columns:
        if column == "tags":
            continue
        values = _numbers(table[column])
        if values is None and columns is not None:
            raise DataError(
                f"Column {column!r} of {str(path)!r}", expected="numbers, or yes and no", got="text"
            )
        if values is None:
            notes.append(f"column {column!r} holds text: left out")
        elif np.isinf(values).any():
            raise DataError(f"Column {column!r} of {str(path)!r}", expected="finite")
        else:
            made[column] = values
    if "tags" in wanted and (columns is None or "tags" in columns):
        cells = [_split(cell, separator) for cell in table["tags"]]
        for name in sorted({name for cell in cells for name in cell}):
            if name in made:
                raise DataError(
                    f"Table {str(path)!r}",
                    expected="with each tag once",
                    got=f"{name!r} as a column and in the column tags",
                )
            made[name] = np.array([name in cell for cell in cells], dtype=np.float32)
    if not made:
        raise DataError(
            f"Table {str(path)!r}",
            expected="with a column 'tags', or columns of numbers",
            got=f"columns {', '.join(map(str, table.columns))[:120]}",
        )
    return list(made), np.stack(list(made.values()), axis=1), notes


def _split(cell: object, separator: str) -> set[str]:
    if not isinstance(cell, str):
        return set()
    return {" ".join(part.split()) for part in cell.split(separator)} - {""}


def _numbers(values: pd.Series) -> Float32[np.ndarray, "rows"] | None:
    """Return a column as numbers, NaN where a cell is empty; None if it holds other text."""
    gone = missing(values.where(values.notna(), None)) & ~_infinite(values)
    found = np.full(len(values), np.nan, dtype=np.float32)
    for position in np.flatnonzero(~gone):
        value = values.iloc[position]
        if isinstance(value, str) and value.strip().lower() in _WORDS:
            found[position] = _WORDS[value.strip().lower()]
            continue
        try:
            found[position] = float(value)
        except (TypeError, ValueError):
            return None
    return found


def _infinite(values: pd.Series) -> np.ndarray:
    return np.array([isinstance(v, (float, np.floating)) and np.isinf(v) for v in values], bool)
