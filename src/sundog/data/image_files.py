"""Image files on disk as an image set: hashed and checked at opening, decoded when streamed."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64

from sundog.core.errors import DataError
from sundog.data.content import Pixels, file_id
from sundog.data.decode import check_header, decode_image
from sundog.data.image_set import ImageSet, Skipped
from sundog.data.sampling import balanced_sample
from sundog.data.streaming import ordered_map

OPENING_THREADS = 8


def open_image_files(
    paths: Sequence[Path],
    labels: Int64[np.ndarray, "images"],
    *,
    name: str,
    class_names: Sequence[str],
    sources: Sequence[str],
    metadata: pd.DataFrame | None = None,
    skipped: Sequence[Skipped] = (),
    limit: int | None = None,
    seed: int = 0,
    threads: int = OPENING_THREADS,
) -> ImageSet:
    """Open image files: each is read once in a thread, hashed, and its header checked.

    Args:
        paths: one file per image.
        labels: class of each, -1 = unlabelled.
        name: of the set.
        class_names: one per class.
        sources: what people see, usually the path relative to the set's folder; it also keys the
            drawing of ``limit``.
        metadata: one row per image, or None.
        skipped: what the caller left out already.
        limit: open at most so many, class-balanced, drawn before anything is read.
        seed: of that draw.
        threads: that read.

    Returns:
        The set without the files that are missing, empty or no image; those are in ``skipped``.

    Raises:
        DataError: not one file can be used.
    """
    chosen = balanced_sample(labels, sources, limit=limit, seed=seed)
    files = [paths[i] for i in chosen]
    names = [sources[i] for i in chosen]
    found = list(ordered_map(_inspect, files, workers=threads))
    keep = [i for i, (image_id, _) in enumerate(found) if image_id is not None]
    left_out = [
        Skipped(source=names[i], reason=reason)
        for i, (image_id, reason) in enumerate(found)
        if image_id is None
    ]
    if not keep:
        first = f" First: {left_out[0].source}: {left_out[0].reason}" if left_out else ""
        raise DataError(
            f"Image set {name!r}",
            expected="with at least one readable image",
            got=f"none among {len(files)} files",
            hint=first.strip(),
        )
    return ImageSet(
        name=name,
        class_names=class_names,
        labels=labels[chosen][keep],
        ids=[str(found[i][0]) for i in keep],
        sources=[names[i] for i in keep],
        read=_reader([files[i] for i in keep]),
        metadata=None if metadata is None else metadata.iloc[chosen].iloc[keep],
        skipped=[*skipped, *left_out],
    )


def read_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        DataError: missing, not readable, or not a regular file: a folder, a pipe or a device, which
            may never end.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        data = path.read_bytes() if regular else b""
    except FileNotFoundError as error:
        raise DataError("the file does not exist") from error
    except ValueError as error:  # a null character
        raise DataError("the path is not valid") from error
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}") from error
    if not regular:
        raise DataError("it is not a regular file")
    return data


def _inspect(path: Path) -> tuple[str | None, str]:
    try:
        data = read_file(path)
        check_header(data)
    except DataError as error:
        return None, error.message
    return file_id(data), ""


def _reader(files: Sequence[Path]) -> Callable[[int], Pixels]:
    def read(index: int) -> Pixels:
        return decode_image(read_file(files[index]))

    return read
