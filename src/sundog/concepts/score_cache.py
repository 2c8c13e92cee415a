"""Scores of images kept on disk, so that an image is never scored twice by the same scorer.

::

    cache/
    └── photometric-3f0c.../          one folder per scorer: its name and the hash of its identity
        ├── identity.json             the identity, for people
        └── 9b1d....safetensors       finished blocks: ``scores`` float32[rows, width], and the ids

A block is written once, atomically, and named by the hash of its content. So a writer may be
killed at any moment, several processes may write into one cache, and a block that is torn or
altered is recognised, set aside (``*.damaged``) and its images are scored again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sundog.concepts.tagger import identity_hash
from sundog.core.errors import InputError, RunFolderError, first_line
from sundog.core.files import write_bytes, write_json

BLOCK_ROWS = 1024
"""A block is written when it holds so many images ..."""
BLOCK_SECONDS = 30.0
"""... or when the last one was written so long ago: what a kill can cost at most."""
_STALE_SECONDS = 24 * 3600.0
_BROKEN = (OSError, ValueError, KeyError, TypeError, SafetensorError)

Matrix = Float32[np.ndarray, "images width"]


class ScoreCache:
    """The blocks of one scorer; use it as a context manager, so that the last block is written.

    Attributes:
        folder: of this scorer.
        width: numbers per image.
        damaged: files that were set aside.
    """

    def __init__(
        self,
        cache: str | os.PathLike[str],
        *,
        name: str,
        identity: Mapping[str, Any],
        width: int,
        block_rows: int = BLOCK_ROWS,
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        """Open or create the folder of a scorer.

        Args:
            cache: folder of all scorers; it is created with its parents.
            name: of the scorer, for people.
            identity: everything that the numbers depend on, as JSON values.
            width: numbers per image.
            block_rows: images per block, >= 1.
            block_seconds: a block is also written when the last one is so old.

        Raises:
            InputError: an identity that JSON cannot hold, or a block of no rows.
            RunFolderError: the folder cannot be created.
        """
        if block_rows < 1 or width < 0:
            raise InputError("block_rows and width", expected=">= 1 and >= 0")
        slug = re.sub(r"[^A-Za-z0-9+_.-]+", "_", name).strip("._")[:40] or "scorer"
        self.folder = Path(cache) / f"{slug}-{identity_hash(identity)}"
        self.width = width
        self.damaged: list[str] = []
        self._block_rows = block_rows
        self._block_seconds = block_seconds
        self._ids: list[str] = []
        self._parts: list[Matrix] = []
        self._last = time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / "identity.json").exists():
                write_json(self.folder / "identity.json", dict(identity))
            self._remove_stale()
        except OSError as error:
            raise RunFolderError(
                f"The score cache {str(self.folder)!r}",
                expected="a folder that can be written",
                got=first_line(error),
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()

    def read(self, ids: Sequence[str]) -> tuple[Matrix, Bool[np.ndarray, "images"]]:
        """Return the numbers of these images, and which of them are known.

        One block is held at a time. Rows of unknown images are NaN.

        Args:
            ids: of the images; repeats are allowed.
        """
        scores = np.full((len(ids), self.width), np.nan, dtype=np.float32)
        known = np.zeros(len(ids), dtype=bool)
        wanted: dict[str, list[int]] = {}
        for position, image_id in enumerate(ids):
            wanted.setdefault(image_id, []).append(position)
        for path in sorted(self.folder.glob("[!.]*.safetensors")):
            try:
                found = _read_block(path, wanted, self.width)
            except FileNotFoundError:  # another process has set it aside
                continue
            except _BROKEN:
                self._set_aside(path)
                continue
            for image_id, row in found.items():
                positions = wanted[image_id]
                scores[positions] = row
                known[positions] = True
        return scores, known

    def add(self, ids: Sequence[str], scores: Matrix) -> None:
        """Keep the numbers of these images; they are on disk after the next :meth:`flush`.

        Raises:
            InputError: numbers of another shape.
            RunFolderError: a block cannot be written.
        """
        if scores.shape != (len(ids), self.width):
            raise InputError(
                "scores", expected=f"of shape {(len(ids), self.width)}", got=str(scores.shape)
            )
        self._ids.extend(ids)
        self._parts.append(np.array(scores, dtype=np.float32))
        waited = time.monotonic() - self._last
        if len(self._ids) >= self._block_rows or waited >= self._block_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what was added as one block.

        Raises:
            RunFolderError: it cannot be written.
        """
        if self._ids:
            scores = np.concatenate(self._parts)
            header = json.dumps(self._ids)
            path = self.folder / f"{_content_hash(header, scores)}.safetensors"
            try:
                write_bytes(path, save({"scores": scores}, metadata={"ids": header}))
            except OSError as error:
                raise RunFolderError(
                    f"The score cache {str(self.folder)!r}",
                    expected="a folder that can be written",
                    got=first_line(error),
                    hint="Scores written before are kept; the next run continues from them.",
                ) from error
        self._ids, self._parts, self._last = [], [], time.monotonic()

    def _set_aside(self, path: Path) -> None:
        self.damaged.append(path.name)
        with contextlib.suppress(FileNotFoundError):  # another process has done it
            path.replace(path.with_suffix(".damaged"))

    def _remove_stale(self) -> None:
        """Remove what killed writers left half-written a day ago or earlier."""
        for path in self.folder.glob(".*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()


def _read_block(
    path: Path, wanted: Mapping[str, object], width: int
) -> dict[str, Float32[np.ndarray, "width"]]:
    """Return the wanted rows of a block; only its header is read if there is none."""
    with safe_open(path, framework="np") as opened:
        header = opened.metadata()["ids"]
        ids = json.loads(header)
        rows = [(row, image_id) for row, image_id in enumerate(ids) if image_id in wanted]
        if not rows:
            return {}
        scores = opened.get_tensor("scores")
    if scores.dtype != np.float32 or scores.shape != (len(ids), width):
        raise ValueError("a block of another shape")
    if path.stem != _content_hash(header, scores):
        raise ValueError("a block whose content was altered")
    return {image_id: scores[row] for row, image_id in rows}


def _content_hash(header: str, scores: Matrix) -> str:
    digest = hashlib.blake2b(header.encode("utf-8"), digest_size=16)
    digest.update(np.ascontiguousarray(scores).data)
    return digest.hexdigest()
