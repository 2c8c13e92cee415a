"""Compiled loops that pack tags into bitsets and count combinations of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sundog.bias.search.compiled import compiled, popcount, trailing_zeros


@compiled
def pack_rows(tags: Any, rows: Any, first_tag: int, bits: Any, first_word: int) -> None:
    """Write tags ``first_tag`` and later of the images ``rows`` to ``bits[:, first_word:]``.

    Args:
        tags: ``uint8[n, T]`` of 0 and 1.
        rows: ``int64[r]`` image numbers, 64 to a word.
        first_tag: tags before it are left out.
        bits: ``uint64[T - first_tag, words]``, zeroed.
        first_word: where to start.
    """
    count = tags.shape[1] - first_tag
    column = np.empty(count, np.uint64)
    for start in range(0, rows.size, 64):
        column[:] = 0
        for bit in range(min(64, rows.size - start)):
            row = tags[rows[start + bit], first_tag:]
            shift = np.uint64(bit)
            for tag in range(count):
                column[tag] |= np.uint64(row[tag]) << shift
        word = first_word + start // 64
        for tag in range(count):
            bits[tag, word] = column[tag]


@compiled
def extend(
    bits: Any,
    first_tag: int,
    skip: int,
    split: int,
    values: Any,
    parents: Any,
    ends: Any,
    pairs: Any,
    start: int,
    stop: int,
    min_support: int,
    out_combos: Any,
    out_support: Any,
    out_hits: Any,
    out_sums: Any,
) -> int:
    """Extend the combinations ``parents[start:stop]`` by every later sibling's last tag.

    Args:
        bits: ``uint64[T - first_tag, words]``; the hits fill the words before ``split``.
        first_tag: tag of the first row of ``bits``.
        skip: leading tags of each parent that all images of ``bits`` carry.
        split: see ``bits``.
        values: ``float64[images]`` in the order of the bits, or empty: no sums wanted.
        parents: ``int32[m, k]`` frequent combinations of one size, lexicographic.
        ends: ``int64[m]``, where the siblings (same first k - 1 tags) of each row end.
        pairs: ``bool[T, T]``, tag pairs that are frequent.
        start: first parent.
        stop: one past the last parent.
        min_support: images that a combination needs.
        out_combos: ``int32[room, size]`` combinations found: the first tags of the parent and one.
        out_support: ``int32[room]`` their images.
        out_hits: ``int32[room]`` their hits.
        out_sums: ``float64[room, 2]`` sum of values and of squares; unused if ``values`` is empty.

    Returns:
        How many combinations were found.
    """
    words = bits.shape[1]
    last = parents.shape[1] - 1
    size = out_combos.shape[1]
    prefix = np.empty(words, np.uint64)
    hit_words = prefix[:split]
    miss_words = prefix[split:]
    found = 0
    for parent in range(start, stop):
        if parent + 1 >= ends[parent]:
            continue
        prefix[:] = bits[parents[parent, skip] - first_tag]
        for place in range(skip + 1, last + 1):
            row = bits[parents[parent, place] - first_tag]
            for word in range(words):
                prefix[word] &= row[word]
        before = parents[parent, last]
        for sibling in range(parent + 1, ends[parent]):
            tag = parents[sibling, last]
            if not pairs[before, tag]:
                continue
            row = bits[tag - first_tag]
            row_hits = row[:split]
            row_misses = row[split:]
            hits = np.uint64(0)
            for word in range(hit_words.size):
                hits += popcount(hit_words[word] & row_hits[word])
            misses = np.uint64(0)
            for word in range(miss_words.size):
                misses += popcount(miss_words[word] & row_misses[word])
            if np.int64(hits + misses) < min_support:
                continue
            for place in range(size - 1):
                out_combos[found, place] = parents[parent, place]
            out_combos[found, size - 1] = tag
            out_support[found] = hits + misses
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
