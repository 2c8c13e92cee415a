"""One file that holds a whole inspection: a zip of the run folder, opened again without a model."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sundog.core.errors import RunFolderError, first_line
from sundog.core.files import atomic_path
from sundog.core.inspection.query import QUERY_FILE, Query

ARCHIVE_SUFFIX = ".sundog"
MAX_FILE_BYTES = 200_000_000
MAX_TOTAL_BYTES = 4_000_000_000
MAX_FILES = 100_000
MAX_GROWTH = 100
"""An archive of more than ``FREE_GROWTH_BYTES`` may unpack to so many times its own size: pictures
and tables do not shrink when packed, and JSON by 10 to 30 times."""
FREE_GROWTH_BYTES = 100_000_000
UNREADABLE = (
    OSError,
    RuntimeError,  # encrypted, or packed by an unknown method
    ValueError,
    EOFError,
    KeyError,
    zlib.error,
    zipfile.BadZipFile,
)
"""What zipfile raises over damaged archives."""
KEPT = (".json", ".jsonl", ".jpg", ".png", ".svg", ".html", ".parquet", ".csv")
"""Kinds of file that an archive holds; others are neither packed nor unpacked."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write all files of a run folder into one archive, atomically; the same files, the same bytes.

    Args:
        folder: a run folder with a query.
        path: of the archive; ``.sundog`` is added if it has no suffix.

    Raises:
        RunFolderError: no query in the folder.
    """
    root, target = Path(folder), Path(path)
    if not target.suffix:
        target = target.with_suffix(ARCHIVE_SUFFIX)
    if not (root / QUERY_FILE).is_file():
        raise RunFolderError(f"{str(root)!r}", expected="an inspection", got=f"no {QUERY_FILE}")
    with (
        atomic_path(target) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for file in sorted(_packed(root)):
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return target


def unpack(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Unpack an archive into a new folder and return it.

    Paths that leave the folder, links, other kinds of file and files that are too large are
    refused; the folder appears only when everything is there and its query can be read.

    Raises:
        RunFolderError: not an archive, an unsafe entry, no readable query, or a folder that exists.
    """
    source, target = Path(path), Path(folder)
    if target.exists():
        raise RunFolderError(f"{str(target)!r}", expected="a new folder", got="one that exists")
    staging = _new_folder_beside(target)
    try:
        with zipfile.ZipFile(source) as archive:
            _check(archive, source)
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                file = staging / entry.filename
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as read, file.open("wb") as write:
                    shutil.copyfileobj(read, write)
        Query.read(staging / QUERY_FILE, subject=f"{QUERY_FILE} in {str(source)!r}")
        staging.chmod(0o755)
        staging.replace(target)
    except UNREADABLE as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(
            f"{str(source)!r}", expected="a readable archive", got=first_line(error)
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def read_packed_query(path: str | os.PathLike[str]) -> Query:
    """Return the query inside an archive; nothing is unpacked.

    Raises:
        RunFolderError: not an archive, or no readable query in it.
    """
    source = Path(path)
    try:
        with zipfile.ZipFile(source) as archive:
            _check(archive, source)
            raw = archive.read(QUERY_FILE)
    except UNREADABLE as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(
            f"{str(source)!r}", expected="a readable archive", got=first_line(error)
        ) from error
    return Query.from_bytes(raw, subject=f"{QUERY_FILE} in {str(source)!r}")


def _new_folder_beside(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:40]}-"))
    except OSError as error:
        raise RunFolderError(
            f"{str(target.parent)!r}",
            expected="a folder where an archive can be unpacked",
            got=first_line(error),
            hint="Copy the archive to a folder of your own.",
        ) from error


def _packed(root: Path) -> list[Path]:
    return [
        file
        for file in root.rglob("*")
        if file.is_file()
        and not file.is_symlink()
        and file.suffix in KEPT
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
        and file.relative_to(root).parts[0] != "cells"
    ]


def _check(archive: zipfile.ZipFile, source: Path) -> None:
    """Refuse an archive that Sundog cannot have written, and say what is wrong with it."""
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    packed = source.stat().st_size
    if QUERY_FILE not in archive.namelist():
        expected, got = "an archive of an inspection", f"no {QUERY_FILE}"
    elif len(entries) > MAX_FILES:
        expected, got = f"of at most {MAX_FILES:,} files", f"{len(entries):,}"
    elif total > MAX_TOTAL_BYTES:
        expected, got = f"of at most {MAX_TOTAL_BYTES:,} bytes unpacked", f"{total:,}"
    elif total > max(FREE_GROWTH_BYTES, MAX_GROWTH * packed):
        expected = f"unpacked at most {MAX_GROWTH} times its size"
        got = f"{packed:,} bytes that would unpack to {total:,}"
    else:
        expected = "an archive written by Sundog"
        got = next((wrong for entry in entries if (wrong := _wrong(entry))), "")
        if not got:
            return
    raise RunFolderError(
        f"{str(source)!r}",
        expected=expected,
        got=got,
        hint="It was not opened, and nothing was written.",
    )


def _wrong(entry: zipfile.ZipInfo) -> str:
    """Return what is wrong with an entry, or nothing."""
    name = entry.filename
    parts = PurePosixPath(name).parts
    shown = repr(name[:60])
    if (
        name.startswith("/")
        or "\\" in name
        or ":" in name
        or any(part in ("..", ".") or part.startswith(".") for part in parts)
    ):
        return f"an unsafe path, {shown}"
    if (entry.external_attr >> 28) == 0xA:
        return f"a link, {shown}"
    if not entry.is_dir() and PurePosixPath(name).suffix not in KEPT:
        return f"an unknown kind of file, {shown}"
    if entry.file_size > MAX_FILE_BYTES:
        return f"a file of {entry.file_size:,} bytes, {shown}"
    return ""
