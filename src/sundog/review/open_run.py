"""Open an inspection for review: a run folder, or an archive that is unpacked once."""

from __future__ import annotations

import os
from pathlib import Path

from sundog.core.errors import RunFolderError
from sundog.core.inspection.archive import ARCHIVE_SUFFIX, read_packed_query, unpack
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
    inside = read_packed_query(source)
    query = Query.read(folder / QUERY_FILE)
    if query.content_hash() != inside.content_hash():
        raise RunFolderError(
            f"{str(folder)!r}",
            expected=f"unpacked from {source.name}",
            got="another inspection",
            hint="Rename that folder, or the archive.",
        )
    return folder, query
