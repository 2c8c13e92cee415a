"""Reading the small pictures of a run folder; one that is missing or damaged is None."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
"""What Pillow raises over files that are missing or damaged."""
MOST_PIXELS = 4_000_000
"""A picture with more is no thumbnail of ours."""


def read_thumbnail(file: Path) -> NDArray[np.uint8] | None:
    """Return ``uint8[height, width, 3]``, or None for a file that cannot be shown."""
    try:
        with Image.open(file) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            return np.asarray(image.convert("RGB"))
    except UNREADABLE:  # the strip is shorter then, and the section says so; the numbers stand
        return None
