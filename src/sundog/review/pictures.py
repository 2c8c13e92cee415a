"""The pictures that a review may show: those the query names, inside the run folder, no links."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sundog.core.inspection.query import Query

TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""No SVG: opened by itself it is a document."""
MAX_PICTURE_BYTES = 20_000_000


class Pictures:
    """Reads pictures by the names that the query gives them."""

    def __init__(self, folder: Path, query: Query) -> None:
        """Collect the names."""
        cards = query.images.values()
        named = {card.thumbnail for card in cards} | set(query.previews.values())
        named |= {card.overlay for card in cards if card.overlay is not None}
        named |= set(query.cue_pictures())
        self._names = frozenset(named)
        self._folder = folder.resolve()

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return bytes and content type, or None for whatever must not or cannot be shown."""
        kind = TYPES.get(Path(name).suffix.lower())
        if kind is None or name not in self._names:
            return None
        wanted = self._folder / name
        try:
            if wanted.resolve(strict=True) != wanted:
                return None  # a link somewhere on the way
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            flags |= getattr(os, "O_BINARY", 0)
            with open(os.open(wanted, flags), "rb") as stream:  # noqa: PTH123
                found = os.fstat(stream.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_PICTURE_BYTES:
                    return None
                return stream.read(), kind
        except (OSError, ValueError):
            return None
