"""One directory per run: a manifest, tables that grow part by part, and results.

::

    folder/
    ├── manifest.json          what was run; status running or complete
    ├── cells/TABLE/*.parquet  one part per finished unit of work, named by the hash of its key
    └── tables/NAME.parquet    results

Parts are written atomically and carry their key and checksums; a part that cannot be read back is
set aside and its work is done again. So a run may be killed at any moment and continued.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from sundog.core.errors import RunFolderError, first_line
from sundog.core.files import atomic_path, write_json, write_table
from sundog.core.locks import FolderLock
from sundog.core.records import SCHEMA_VERSION, Manifest

_KEY = b"sundog_key"
WRITTEN = (".parquet", ".json", ".csv", ".jpg", ".png", ".svg", ".html", ".safetensors")
"""Kinds of file that runs write, each first under a hidden name."""


class RunFolder:
    """An open run folder; use it as a context manager, so that its lock is freed.

    Attributes:
        path: the directory.
        manifest: what the run is.
        damaged: parts that could not be read back and were set aside, as ``TABLE/file``.
    """

    _begun = False
    """Whether this object wrote the manifest: no run was there before."""

    def __init__(self, path: Path, manifest: Manifest, lock: FolderLock | None) -> None:
        self.path = path
        self.manifest = manifest
        self.damaged: list[str] = []
        self._lock = lock

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        kind: str,
        arguments: Mapping[str, Any] | None = None,
        seeds: Mapping[str, int] | None = None,
        data_fingerprint: str | None = None,
        model_fingerprint: str | None = None,
    ) -> Self:
        """Create a run folder, or continue the one that is there.

        Args:
            path: the directory; it is created with its parents.
            kind: what is run.
            arguments: JSON values; what differs here is another run.
            seeds: every seed by its name.
            data_fingerprint: hash of the image set's ids.
            model_fingerprint: hash of the classifier.

        Raises:
            RunFolderError: the folder belongs to another run, is locked by another writer, is of
                another schema version, or holds files that are not a run's.
        """
        folder = Path(path)
        if folder.is_file():
            raise RunFolderError("The run folder", expected="a directory", got=f"file {folder}")
        wanted = Manifest(
            kind=kind,
            arguments=_as_json(dict(arguments or {})),
            seeds=dict(seeds or {}),
            data_fingerprint=data_fingerprint,
            model_fingerprint=model_fingerprint,
        )
        present = folder / "manifest.json"
        if not present.exists() and folder.is_dir():
            foreign = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
            if foreign:
                raise RunFolderError(
                    f"The run folder {str(folder)!r}",
                    expected="empty, new, or a run folder",
                    got=f"{len(foreign)} other files (such as {sorted(foreign)[0]!r})",
                    hint="Choose another folder.",
                )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(folder)
        except OSError as error:
            raise RunFolderError(
                f"The run folder {str(folder)!r}",
                expected="one that can be written",
                got=first_line(error),
                hint="Choose another folder.",
            ) from error
        try:
            begun = not present.exists()
            if begun:
                manifest = wanted
                write_json(present, manifest.model_dump(mode="json"))
            else:
                manifest = read_manifest(folder)
                _refuse_other_run(folder, manifest, wanted)
            opened = cls(folder, manifest, lock)
            opened._begun = begun
            opened._remove_temporary_files()
        except BaseException:
            lock.release()
            raise
        return opened

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Open a run folder for reading only: no lock, nothing is created.

        Raises:
            RunFolderError: there is no readable run folder of this schema version.
        """
        folder = Path(path)
        return cls(folder, read_manifest(folder), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._give_back()
        self.close()

    def close(self) -> None:
        """Free the lock; afterwards the folder can only be read."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def finish(self) -> None:
        """Mark the run complete."""
        self._require_writable()
        self.manifest = self.manifest.model_copy(update={"status": "complete"})
        write_json(self.path / "manifest.json", self.manifest.model_dump(mode="json"))

    def note(self, environment: Mapping[str, Any]) -> None:
        """Keep in the manifest what may differ when the run is continued; the latest stands.

        Args:
            environment: JSON values by name; those of before stay if they are not given.

        Raises:
            RunFolderError: values that JSON does not have, or a folder opened for reading.
        """
        self._require_writable()
        latest = {**self.manifest.environment, **_as_json(dict(environment))}
        if latest != self.manifest.environment:
            self.manifest = self.manifest.model_copy(update={"environment": latest})
            write_json(self.path / "manifest.json", self.manifest.model_dump(mode="json"))

    def bind(self, table: str, specification: Mapping[str, Any]) -> None:
        """Fix what the parts of a table mean; a later run must say the same.

        Raises:
            RunFolderError: the table's parts were made with another specification.
        """
        self._require_writable()
        wanted = _as_json(dict(specification))
        path = self._cells(table) / "specification.json"
        if path.exists():
            found = _read_json(path)
            _refuse_difference(f"Table {table!r} of {str(self.path)!r}", found, wanted)
        else:
            write_json(path, wanted)

    def append(self, table: str, key: str, frame: pd.DataFrame) -> None:
        """Write the part of one finished unit of work; the same key replaces its part.

        Raises:
            RunFolderError: the folder was opened for reading.
        """
        self._require_writable()
        data = pa.Table.from_pandas(frame, preserve_index=False)
        data = data.replace_schema_metadata({**(data.schema.metadata or {}), _KEY: key.encode()})
        with atomic_path(self._part(table, key)) as temporary:
            pq.write_table(data, temporary, write_page_checksum=True)

    def part(self, table: str, key: str) -> pd.DataFrame | None:
        """Return the part of ``key``, or None if its work has not been done (or is damaged)."""
        path = self._part(table, key)
        found = self._load(path) if path.exists() else None
        return found[1] if found is not None and found[0] == key else None

    def parts(self, table: str) -> dict[str, pd.DataFrame]:
        """Return every intact part of a table by its key, sorted by key.

        Damaged parts are set aside (renamed to ``*.damaged``) and listed in ``damaged``.
        """
        loaded = [self._load(path) for path in sorted(self._cells(table).glob("[!.]*.parquet"))]
        return dict(sorted((part for part in loaded if part is not None), key=lambda p: p[0]))

    def table(self, table: str) -> pd.DataFrame:
        """Return all intact parts of a table as one frame; empty if there is none."""
        parts = list(self.parts(table).values())
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def write_result(self, name: str, frame: pd.DataFrame) -> Path:
        """Write a result to ``tables/NAME.parquet`` and return its path."""
        self._require_writable()
        return write_table(self.path / "tables" / f"{name}.parquet", frame)

    def read_result(self, name: str) -> pd.DataFrame:
        """Return a result written by :meth:`write_result`.

        Raises:
            RunFolderError: there is none of this name.
        """
        path = self.path / "tables" / f"{name}.parquet"
        if not path.exists():
            known = sorted(p.stem for p in (self.path / "tables").glob("*.parquet"))
            raise RunFolderError(
                f"Result {name!r} of {str(self.path)!r}",
                expected="written",
                got="no such table",
                hint=f"Present: {', '.join(known) or 'none'}. Has the run finished?",
            )
        return pd.read_parquet(path)

    def _cells(self, table: str) -> Path:
        if not table.isidentifier():
            raise RunFolderError("A table's name", expected="an identifier", got=repr(table))
        return self.path / "cells" / table

    def _part(self, table: str, key: str) -> Path:
        digest = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        return self._cells(table) / f"{digest}.parquet"

    def _load(self, path: Path) -> tuple[str, pd.DataFrame] | None:
        """Return key and rows of a part; set it aside if it is torn, None then."""
        try:
            data = pq.read_table(path, page_checksum_verification=True, partitioning=None)
            return data.schema.metadata[_KEY].decode(), data.to_pandas()
        except (OSError, KeyError, TypeError, pa.ArrowException):
            self.damaged.append(f"{path.parent.name}/{path.name}")
            if self._lock is not None:
                path.replace(path.with_suffix(".damaged"))
            return None

    def _remove_temporary_files(self) -> None:
        """Remove what a killed writer left half-written; we hold the lock, so nobody else is."""
        for path in self.path.rglob(".*"):
            if path.is_file() and path.suffix in WRITTEN:
                path.unlink()

    def _give_back(self) -> None:
        """Take back the manifest of a run that failed before it wrote anything.

        A mistyped argument must not reserve the folder: the corrected command is another run.
        """
        manifest = self.path / "manifest.json"
        if self._begun and self._lock is not None:
            files = (p for p in self.path.rglob("*") if p.is_file() and not p.name.startswith("."))
            if all(file == manifest for file in files):
                manifest.unlink(missing_ok=True)

    def _require_writable(self) -> None:
        if self._lock is None:
            raise RunFolderError(
                f"The run folder {str(self.path)!r}",
                expected="open for writing",
                got="one that is closed or was opened for reading",
                hint="Use RunFolder.open(...) as a context manager.",
            )


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a run folder.

    Raises:
        RunFolderError: missing, unreadable, or of another schema version.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise RunFolderError(
            f"{str(folder)!r}", expected="a run folder", got="a path without manifest.json"
        )
    raw = _read_json(path)
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RunFolderError(
            f"The run folder {str(folder)!r}",
            expected=f"of schema version {SCHEMA_VERSION}",
            got=f"version {version}",
            hint="It was written by another version of Sundog; use that one, or a new folder.",
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in e["loc"]) for e in error.errors()})
        raise RunFolderError(
            f"The manifest {str(path)!r}", expected="valid", got=f"bad fields: {', '.join(fields)}"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{str(path)!r}", expected="readable JSON", got=type(error).__name__
        ) from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{str(path)!r}", expected="a JSON object", got=type(value).__name__)
    return value


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return the value as it comes back from JSON (tuples become lists), so that it compares."""
    try:
        return dict(json.loads(json.dumps(value, allow_nan=False, sort_keys=True)))
    except (TypeError, ValueError) as error:
        raise RunFolderError(
            "The arguments of a run",
            expected="JSON values (text, numbers, booleans, None, lists, dictionaries)",
            got=str(error),
        ) from error


def _refuse_other_run(folder: Path, found: Manifest, wanted: Manifest) -> None:
    subject = f"The run folder {str(folder)!r}"
    _refuse_difference(subject, found.identity(), wanted.identity())


def _refuse_difference(subject: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse if two JSON objects differ, naming the fields that do."""
    differing = _differences(found, wanted)
    if differing:
        shown = "; ".join(
            f"{name} = {_short(old)} there, {_short(new)} now" for name, old, new in differing[:4]
        )
        raise RunFolderError(
            subject,
            expected="continued with the arguments it was started with",
            got=shown,
            hint="Choose another folder, or repeat the first arguments.",
        )


def _differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    differing: list[tuple[str, Any, Any]] = []
    for name in sorted({*found, *wanted}):
        old, new = found.get(name), wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            differing += _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            differing.append((f"{prefix}{name}", old, new))
    return differing


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
