"""Pictures of a run folder for the report of an audit: small, and never from outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sundog.report.blocks import Photo

SIDE = 208
"""Longest side of a small picture in the file; it is shown at half of that."""
LARGE = 352
"""Longest side of a picture of a cue."""
MOST_PIXELS = 25_000_000
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
"""What Pillow raises over files that are missing or damaged."""


@dataclass
class Shelf:
    """The pictures of one run folder.

    Attributes:
        folder: run folder.
        lost: files that are missing, damaged, too large, or not in the folder.
    """

    folder: Path
    lost: list[str] = field(default_factory=list)
    _read_before: dict[tuple[str, int], NDArray[np.uint8] | None] = field(default_factory=dict)

    def pixels(self, file: str, *, side: int = SIDE) -> NDArray[np.uint8] | None:
        """Return a picture no larger than ``side``, or None (and remember it as lost).

        A path that leads out of the folder, by ``..``, by an absolute path or by a link, is lost.
        """
        key = file, side
        if key not in self._read_before:
            self._read_before[key] = self._read(file, side)
            if self._read_before[key] is None:
                self.lost.append(file)
        return self._read_before[key]

    def photo(
        self,
        file: str,
        *,
        words: str,
        alt: str,
        head: str = "",
        correct: bool | None = None,
        side: int = SIDE,
    ) -> Photo | None:
        """Return a picture with its words, or None if it cannot be read."""
        pixels = self.pixels(file, side=side)
        if pixels is None:
            return None
        return Photo(pixels, words, alt, head=head, correct=correct, file=file)

    def lost_note(self) -> str:
        """Return a sentence about the pictures that could not be read, or nothing."""
        if not self.lost:
            return ""
        many = len(self.lost)
        return (
            f"{many} picture{' is' if many == 1 else 's are'} missing from the run folder or could "
            f"not be read, for instance {self.lost[0]!r}; the numbers do not depend on "
            f"{'it' if many == 1 else 'them'}."
        )

    def _read(self, file: str, side: int) -> NDArray[np.uint8] | None:
        try:
            root = self.folder.resolve()
            path = (root / file).resolve()
            if not path.is_relative_to(root):
                return None
            with Image.open(path) as image:
                if image.width * image.height > MOST_PIXELS:
                    return None
                image.draft("RGB", (side, side))  # JPEG: decode no more than is needed
                small = image.convert("RGB")
                small.thumbnail((side, side), Image.Resampling.LANCZOS)
                return np.asarray(small)
        except UNREADABLE:
            return None


def rows_of(photos: Sequence[Photo | None], columns: int) -> list[Photo]:
    """Return the complete rows: one lost picture takes its row with it, so that rows stay true."""
    kept: list[Photo] = []
    for first in range(0, len(photos), columns):
        row = photos[first : first + columns]
        whole = [photo for photo in row if photo is not None]
        if len(whole) == columns:
            kept += whole
    return kept
