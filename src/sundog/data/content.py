"""Stable names of images: a hash of their content, the same wherever the image lies."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8

Pixels = UInt8[np.ndarray, "height width 3"]
"""One decoded image: RGB, 0..255."""
ID_BYTES = 16


def file_id(data: bytes) -> str:
    """Return the id of an image file: BLAKE2b (16 bytes, hexadecimal) of its bytes."""
    return hashlib.blake2b(data, digest_size=ID_BYTES).hexdigest()


def pixel_id(pixels: Pixels) -> str:
    """Return the id of an image without a file: BLAKE2b of height, width and RGB bytes."""
    digest = hashlib.blake2b(digest_size=ID_BYTES)
    digest.update(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def identical_groups(ids: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return the positions that share an id, in groups of at least two, in order of appearance."""
    groups: dict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(ids):
        groups[name].append(position)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def conflicting_groups(
    ids: Sequence[str], labels: Int64[np.ndarray, "images"]
) -> tuple[tuple[int, ...], ...]:
    """Return the groups of identical images whose labels differ."""
    return tuple(
        group for group in identical_groups(ids) if len(set(labels[list(group)].tolist())) > 1
    )
