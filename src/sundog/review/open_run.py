"""Open an inspection for review: a run folder, or an archive that is unpacked once."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

from sundog.core.errors import RunFolderError, first_line
from sundog.core.inspection.archive import ARCHIVE_SUFFIX, MAX_FILE_BYTES, unpack
from sundog.core.inspection.query import QUERY_FILE, Query


def open_run(path: str | os.PathLike[str]) -> tuple[Path, Query]:
    """Return the run folder and its query.

    An archive ``NAME.sundog`` is unpacked into ``NAME-review`` beside it the first time; later the
    folder is opened, so that verdicts given before are there.

    Raises:
        RunFolderError: nothing there, not an inspection, a damaged archive, or a folder
            ``NAME-review`` that belongs to another inspection.
    """
    source = Path(path)
    if source.is_file():
        return _open_archive(source)
    if not source.is_dir():
        raise RunFolderError(
            f"{str(source)!r}",
            expected=f"a run folder or a {ARCHIVE_SUFFIX} file",
            got="nothing there",
        )
    file = source / QUERY_FILE
    if not file.is_file():
        raise RunFolderError(
            f"{str(source)!r}",
            expected="the folder of an inspection",
            got=f"no {QUERY_FILE}",
            hint="'sundog inspect' writes one.",
        )
    return source, Query.read(file)


def _open_archive(source: Path) -> tuple[Path, Query]:
    folder = source.with_name(f"{source.stem}-review")
    if not folder.exists():
        return folder, Query.read(unpack(source, folder) / QUERY_FILE)
    inside = _query_inside(source)
    query = Query.read(folder / QUERY_FILE)
    if query.content_hash() != inside.content_hash():
        raise RunFolderError(
            f"{str(folder)!r}",
            expected=f"unpacked from {source.name}",
            got="another inspection",
            hint="Rename that folder, or the archive.",
        )
    return folder, query


def _query_inside(source: Path) -> Query:
    try:
        with zipfile.ZipFile(source) as archive:
            entry = archive.getinfo(QUERY_FILE)
            if entry.file_size > MAX_FILE_BYTES:
                raise RunFolderError(
                    f"{str(source)!r}",
                    expected=f"a {QUERY_FILE} of at most {MAX_FILE_BYTES:,} bytes",
                    got=f"{entry.file_size:,}",
                )
            raw = json.loads(archive.read(entry))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(
            f"{str(source)!r}", expected="an archive of an inspection", got=first_line(error)
        ) from error
    return Query.parse(raw, subject=f"{str(source)!r}")
