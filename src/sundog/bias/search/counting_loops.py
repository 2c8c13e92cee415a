"""Compiled loops that pack tags into bitsets and count combinations of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sundog.bias.search.compiled import compiled, popcount, trailing_zeros


@compiled
def pack_rows(tags: Any, rows: Any, bits: Any, first_word: int) -> None:
    """Write the tags of the images ``rows`` into ``bits[:, first_word:]``, 64 images a word.

    Args:
        tags: ``uint8[n, T]`` of 0 and 1.
        rows: ``int64[r]`` image numbers.
        bits: ``uint64[T, words]``, zeroed.
        first_word: where to start.
    """
    count = tags.shape[1]
    column = np.empty(count, np.uint64)
    for start in range(0, rows.size, 64):
        column[:] = 0
        for bit in range(min(64, rows.size - start)):
            row = tags[rows[start + bit]]
            shift = np.uint64(bit)
            for tag in range(count):
                column[tag] |= np.uint64(row[tag]) << shift
        word = first_word + start // 64
        for tag in range(count):
            bits[tag, word] = column[tag]


@compiled
def extend(
    bits: Any,
    split: int,
    values: Any,
    parents: Any,
    ends: Any,
    pairs: Any,
    start: int,
    stop: int,
    min_support: int,
    out_parent: Any,
    out_tag: Any,
    out_support: Any,
    out_hits: Any,
    out_sums: Any,
) -> int:
    """Extend the combinations ``parents[start:stop]`` by every later sibling's last tag.

    Args:
        bits: ``uint64[T, words]``; the correct images fill the words before ``split``.
        split: see ``bits``.
        values: ``float64[images]`` in the order of the bits, or empty: no sums wanted.
        parents: ``int32[m, k]`` frequent combinations of one size, lexicographic.
        ends: ``int64[m]``, where the siblings (same first k - 1 tags) of each row end.
        pairs: ``bool[T, T]``, tag pairs that are frequent.
        start: first parent.
        stop: one past the last parent.
        min_support: images that a combination needs.
        out_parent: ``int64[room]`` row of the parent of each combination found.
        out_tag: ``int32[room]`` its last tag.
        out_support: ``int64[room]`` its images.
        out_hits: ``int64[room]`` its correct images.
        out_sums: ``float64[room, 2]`` sum of values and of squares; unused if ``values`` is empty.

    Returns:
        How many combinations were found.
    """
    words = bits.shape[1]
    last = parents.shape[1] - 1
    prefix = np.empty(words, np.uint64)
    found = 0
    for parent in range(start, stop):
        if parent + 1 >= ends[parent]:
            continue
        prefix[:] = bits[parents[parent, 0]]
        for place in range(1, last + 1):
            row = bits[parents[parent, place]]
            for word in range(words):
                prefix[word] &= row[word]
        before = parents[parent, last]
        for sibling in range(parent + 1, ends[parent]):
            tag = parents[sibling, last]
            if not pairs[before, tag]:
                continue
            row = bits[tag]
            hits = np.uint64(0)
            for word in range(split):
                hits += popcount(prefix[word] & row[word])
            support = hits
            for word in range(split, words):
                support += popcount(prefix[word] & row[word])
            if np.int64(support) < min_support:
                continue
            out_parent[found] = parent
            out_tag[found] = tag
            out_support[found] = support
            out_hits[found] = hits
            if values.size:
                total = 0.0
                squares = 0.0
                for word in range(words):
                    members = prefix[word] & row[word]
                    while members:
                        value = values[64 * word + np.int64(trailing_zeros(members))]
                        total += value
                        squares += value * value
                        members &= members - np.uint64(1)
                out_sums[found, 0] = total
                out_sums[found, 1] = squares
            found += 1
    return found
