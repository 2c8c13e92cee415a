"""A small, class-balanced part of a set, the same for the same seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed


def balanced_sample(
    labels: Int64[np.ndarray, "images"], keys: Sequence[str], *, limit: int | None, seed: int = 0
) -> Int64[np.ndarray, "chosen"]:
    """Return at most ``limit`` positions, as many of each class as can be, in their old order.

    Each class is put in an order drawn from (seed, key); then every class gives one image in turn
    until ``limit`` is reached.

    Args:
        labels: class of each image, -1 = unlabelled (a class of its own here).
        keys: one text per image that stays the same between runs, such as its relative path.
        limit: images, >= 1, or None for all.
        seed: of the draw.

    Raises:
        InputError: a limit < 1.
    """
    if limit is None:
        return np.arange(len(labels))
    if limit < 1:
        raise InputError("limit", expected=">= 1 or None", got=str(limit))
    if limit >= len(labels):
        return np.arange(len(labels))
    members: dict[int, list[int]] = defaultdict(list)
    for position, label in enumerate(labels.tolist()):
        members[label].append(position)
    turns: list[tuple[int, int, int]] = []
    for label, positions in members.items():
        drawn = sorted(positions, key=lambda p: (derive_seed(seed, "limit", keys[p]), p))
        turns.extend((turn, label, position) for turn, position in enumerate(drawn))
    chosen = [position for _, _, position in sorted(turns)[:limit]]
    return np.array(sorted(chosen), dtype=np.int64)
