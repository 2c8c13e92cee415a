"""Small pictures in the run folder of an audit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sundog.audit.evidence import thumbnail_bytes
from sundog.core.errors import DataError
from sundog.core.files import write_bytes
from sundog.data.image_set import ImageSet

PICTURES = "pictures"
"""Folder of pictures below the run folder."""


def write_picture(root: Path, name: str, pixels: NDArray[np.uint8]) -> str:
    """Write ``uint8[height, width, 3]`` as a small JPEG and return its path in the run folder."""
    file = f"{PICTURES}/{name}.jpg"
    write_bytes(root / file, thumbnail_bytes(pixels))
    return file


def write_thumbnail(root: Path, image_set: ImageSet, index: int) -> str | None:
    """Write a small picture of an image, named by its id; None if it cannot be decoded.

    Args:
        root: run folder.
        image_set: the images.
        index: position in the set.
    """
    try:
        pixels = image_set.image(index)
    except DataError:  # listed in the image set's ``skipped``
        return None
    return write_picture(root, image_set.ids[index], pixels)
