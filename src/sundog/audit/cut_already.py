"""Images that were cut to size when they were written are not cut again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sundog.core.errors import DataError
from sundog.data.transforms import Resize

PLAN = "cue.json"
"""Beside the manifest of ``sundog plant``: among others, how the images were brought to size."""


def resize_left(
    sources: Sequence[str | Path], *, resize: Resize, size: tuple[int, int] | None
) -> Resize:
    """Return how images are brought to size: ``stretch``, which leaves images of that size as they
    are, if ``sundog plant`` cut all of them to it; else what was asked for.

    ``crop`` enlarges an image before it cuts the middle out. Done to a copy that was cut already,
    it would show the classifier another, enlarged image, its planted cue blurred or lost.

    Args:
        sources: folders or manifests.
        resize: what was asked for.
        size: (height, width) at which images are used; None = unknown.

    Raises:
        DataError: a copy whose record is broken.
    """
    if resize != "crop" or size is None or not sources:
        return resize
    return "stretch" if all(_cut(Path(source)) == size for source in sources) else resize


def _cut(source: Path) -> tuple[int, int] | None:
    """Return (height, width) to which ``sundog plant`` cut these images, None if it did not."""
    file = (source if source.is_dir() else source.parent) / PLAN
    if not file.is_file():
        return None
    try:
        plan = json.loads(file.read_text(encoding="utf-8"))
        height, width = plan["size"]
        cut = plan["resize"] == "crop"
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"File {str(file)!r}",
            expected="how the images beside it were planted",
            got="broken JSON",
            hint="Write the copy again with sundog plant, or delete this file.",
        ) from error
    return (int(height), int(width)) if cut else None
