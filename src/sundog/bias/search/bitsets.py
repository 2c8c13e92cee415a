"""Tags as packed bitsets: one bit per image, 64 images a word, one row per tag."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from sundog.bias.search.counting_loops import pack_rows
from sundog.core.errors import InputError


def check_tags(tags: Bool[np.ndarray, "images tags"]) -> Bool[np.ndarray, "images tags"]:
    """Return the tags as one C-ordered boolean matrix, or say what is wrong with them."""
    matrix = np.asarray(tags)
    if matrix.ndim != 2 or matrix.dtype != np.bool_:
        raise InputError(
            "tags",
            expected="a boolean matrix [images, tags]",
            got=f"{matrix.dtype} with shape {matrix.shape}",
            hint="Compare the scores with the thresholds of the tags first.",
        )
    return np.ascontiguousarray(matrix)


def pack_tags(
    tags: Bool[np.ndarray, "images tags"], *parts: Int64[np.ndarray, "rows"], first_tag: int = 0
) -> UInt64[np.ndarray, "tags words"]:
    """Pack the images of each part, in that order; every part starts at a new word.

    Args:
        tags: whether each image carries each tag.
        parts: image numbers; one part with all images packs them in their own order.
        first_tag: tags before it are left out.

    Returns:
        ``uint64[T - first_tag, words]``: bit b of word w of a part is its image ``64 w + b``; the
        rest is 0.
    """
    sizes = [-(-part.size // 64) for part in parts]
    bits = np.zeros((tags.shape[1] - first_tag, sum(sizes)), dtype=np.uint64)
    first = 0
    for part, size in zip(parts, sizes, strict=True):
        pack_rows(tags.view(np.uint8), part.astype(np.int64, copy=False), first_tag, bits, first)
        first += size
    return bits
