"""One file that holds a whole inspection: a zip of the run folder, opened again without a model."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from sundog.core.errors import RunFolderError, first_line
from sundog.core.files import atomic_path
from sundog.core.inspection.query import QUERY_FILE

ARCHIVE_SUFFIX = ".sundog"
MAX_FILE_BYTES = 200_000_000
MAX_TOTAL_BYTES = 4_000_000_000
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
    refused; the folder appears only when everything is there.

    Raises:
        RunFolderError: not an archive, an unsafe entry, or a folder that exists.
    """
    source, target = Path(path), Path(folder)
    if target.exists():
        raise RunFolderError(f"{str(target)!r}", expected="a new folder", got="one that exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:40]}-"))
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
        staging.chmod(0o755)
        staging.replace(target)
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(
            f"{str(source)!r}", expected="a readable archive", got=first_line(error)
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


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
    names = archive.namelist()
    if QUERY_FILE not in names:
        raise RunFolderError(
            f"{str(source)!r}", expected="an archive of an inspection", got=f"no {QUERY_FILE}"
        )
    total = 0
    for entry in archive.infolist():
        parts = PurePosixPath(entry.filename).parts
        unsafe = (
            entry.filename.startswith("/")
            or "\\" in entry.filename
            or ":" in entry.filename
            or any(part in ("..", ".") or part.startswith(".") for part in parts)
            or (entry.external_attr >> 28) == 0xA
        )
        total += entry.file_size
        odd = not entry.is_dir() and PurePosixPath(entry.filename).suffix not in KEPT
        if unsafe or odd or entry.file_size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES:
            raise RunFolderError(
                f"{str(source)!r}",
                expected="an archive written by Sundog",
                got="an entry with an unsafe path, an unknown kind of file, or too large",
                hint="It was not opened, and nothing was written.",
            )
