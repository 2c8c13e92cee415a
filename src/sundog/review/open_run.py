"""Open findings for review: of an inspection, of an audit, of a search for cues, or an archive."""

from __future__ import annotations

import os
from pathlib import Path

from sundog.core.audit.cue_findings import cue_query
from sundog.core.audit.cues import CUES_FILE, Cues
from sundog.core.errors import RunFolderError
from sundog.core.inspection.archive import ARCHIVE_SUFFIX, read_packed_query, unpack
from sundog.core.inspection.query import QUERY_FILE, Query

STAGES = ("inspect", "cues")
"""Folders of an audit that hold what people judge: the first one that is there is opened."""


def open_run(path: str | os.PathLike[str]) -> tuple[Path, Query]:
    """Return the run folder and its query.

    An archive ``NAME.sundog`` is unpacked into ``NAME-review`` beside it the first time; later the
    folder is opened, so that verdicts given before are there. Of an audit its inspection is opened,
    which has the cues in front; if there is none, its cues alone. A search for cues has no query of
    its own: it is made, always the same, and written at the first opening.

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
    for folder in (source, *(source / stage for stage in STAGES)):
        if (folder / QUERY_FILE).is_file():
            return folder, Query.read(folder / QUERY_FILE)
        if (folder / CUES_FILE).is_file():
            return folder, _query_of_cues(folder)
    raise RunFolderError(
        f"{str(source)!r}",
        expected="the folder of an inspection or an audit",
        got=f"no {QUERY_FILE}",
        hint="'sundog inspect' and 'sundog audit' write one.",
    )


def _query_of_cues(folder: Path) -> Query:
    """Return the query of a search for cues, and write it."""
    file = folder / CUES_FILE
    cues = Cues.read(file)
    query = cue_query(cues, title=f"Suspected cues of {folder.resolve().name}")
    try:
        query.write(folder / QUERY_FILE)
    except OSError as error:
        raise RunFolderError(
            f"{str(folder)!r}",
            expected="one that can be written",
            got=str(error.strerror),
            hint="Copy the folder to a place of your own.",
        ) from error
    return query


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
