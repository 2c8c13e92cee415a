"""Compiled loops that permute outcomes and walk down the ordered slices of Westfall and Young."""

from __future__ import annotations

from typing import Any

import numpy as np

from sundog.bias.search.compiled import compiled, popcount, trailing_zeros

SUPPORTS, OBSERVED, STEP_DOWN = 0, 1, 2
"""What :func:`walk_down` computes."""


@compiled
def shuffle_blocks(uniforms: Any, members: Any, starts: Any, runs: Any, orders: Any) -> None:
    """Write one random order per row; see :func:`~sundog.bias.search.permutations.drawn_orders`.

    Args:
        uniforms: ``float64[lanes, blocks]`` in [0, 1).
        members: ``int64[n]`` image numbers, block after block.
        starts: ``int64[blocks + 1]``.
        runs: ``int64[sizes + 1]``, runs of blocks of equal size.
        orders: ``int32[lanes, n]``, written.
    """
    taken = np.empty(starts.size - 1, np.int64)
    for lane in range(orders.shape[0]):
        for block in range(taken.size):
            taken[block] = block
        for run in range(runs.size - 1):
            first = runs[run]
            for block in range(runs[run + 1] - 1, first, -1):
                other = first + np.int64(uniforms[lane, block] * (block - first + 1))
                taken[block], taken[other] = taken[other], taken[block]
        for block in range(taken.size):
            source = starts[taken[block]]
            for place in range(starts[block + 1] - starts[block]):
                orders[lane, members[starts[block] + place]] = members[source + place]


@compiled
def permute_rows(outcome: Any, orders: Any, first_image: int, first_lane: int, rows: Any) -> None:
    """Write ``outcome[orders[lane, i]]`` to ``rows[first_image + i, first_lane + lane]``."""
    lanes = min(orders.shape[0], rows.shape[1] - first_lane)
    for image in range(orders.shape[1]):
        for lane in range(lanes):
            rows[first_image + image, first_lane + lane] = outcome[orders[lane, image]]


@compiled
def walk_down(
    mode: int,
    order: Any,
    problem: Any,
    combos: Any,
    layout: Any,
    bits: Any,
    hits: Any,
    values: Any,
    number: Any,
    offsets: Any,
    lows: Any,
    strengths: Any,
    thresholds: Any,
    out: Any,
    counts: Any,
) -> None:
    """Find the images of each slice and its strength in every permutation (lane).

    Args:
        mode: ``SUPPORTS`` writes the size of each slice to ``counts``; ``OBSERVED`` the strength in
            lane 0 to ``out``; ``STEP_DOWN`` keeps in ``out[lane]`` the largest strength so far and
            adds to ``counts`` the lanes where it reaches the slice's threshold.
        order: ``int64[m]`` slices, from the weakest to the strongest.
        problem: ``int32[m]`` of each slice.
        combos: ``int32[m, L]``.
        layout: ``int64[problems, 7]``: real-valued or not, images, correct, words, first word in
            ``bits``, first row in ``hits`` or ``values``, first entry in ``number``.
        bits: ``uint64[all words]``, the packed tags of the problems, flat.
        hits: ``uint8[images, lanes]`` permuted outcomes of the problems with yes-or-no outcome.
        values: ``float64[images, lanes]`` permuted standardised outcomes of the others.
        number: ``int64``, table of each slice size, flat over problems.
        offsets: ``int64``, first entry of each table, and the end.
        lows: ``int64``, hits of the first entry of each table.
        strengths: ``float64``, the entries.
        thresholds: ``float64[m]``.
        out: see ``mode``.
        counts: see ``mode``.
    """
    carried = np.empty(layout[:, 3].max(), np.uint64)
    members = np.empty(layout[:, 1].max(), np.int64)
    lanes = max(hits.shape[1], values.shape[1])
    few = np.empty(lanes, np.uint8)
    found = np.empty(lanes, np.int32)
    totals = np.empty(lanes, np.float64)
    strength = np.empty(lanes, np.float64)
    for position in range(order.size):
        item = order[position]
        here = layout[problem[item]]
        images, words = here[1], here[3]
        slice_bits = carried[:words]
        start = here[4] + combos[item, 0] * words
        slice_bits[:] = bits[start : start + words]
        for place in range(1, combos.shape[1]):
            if combos[item, place] < 0:
                break
            start = here[4] + combos[item, place] * words
            row = bits[start : start + words]
            for word in range(slice_bits.size):
                slice_bits[word] &= row[word]
        held = np.uint64(0)
        for word in range(slice_bits.size):
            held += popcount(slice_bits[word])
        support = np.int64(held)
        if mode == SUPPORTS:
            counts[item] = support
            continue
        # Sum over the smaller of slice and complement.
        turned = 2 * support > images
        if turned:
            for word in range(slice_bits.size):
                slice_bits[word] = ~slice_bits[word]
            if images % 64:
                slice_bits[words - 1] &= (np.uint64(1) << np.uint64(images % 64)) - np.uint64(1)
        size = 0
        for word in range(slice_bits.size):
            rest = slice_bits[word]
            while rest:
                members[size] = here[5] + 64 * word + np.int64(trailing_zeros(rest))
                size += 1
                rest &= rest - np.uint64(1)
        if size == 0:
            strength[:] = 0.0
        elif here[0] == 0:
            found[:] = 0
            for start in range(0, size, 255):
                few[:] = 0
                for place in range(start, min(start + 255, size)):
                    sample = hits[members[place]]
                    for lane in range(few.size):
                        few[lane] += sample[lane]
                for lane in range(few.size):
                    found[lane] += few[lane]
            if turned:
                for lane in range(found.size):
                    found[lane] = here[2] - found[lane]
            table = number[here[6] + support]
            own = strengths[offsets[table] : offsets[table + 1]]
            for lane in range(found.size):
                entry = min(max(found[lane] - lows[table], 0), own.size - 1)
                strength[lane] = own[np.uint64(entry)]
        else:
            totals[:] = 0.0
            for place in range(size):
                numbers = values[members[place]]
                for lane in range(totals.size):
                    totals[lane] += numbers[lane]
            scale = (images - 1.0) / (float(size) * float(images - size))
            for lane in range(totals.size):
                strength[lane] = totals[lane] * totals[lane] * scale
        if mode == OBSERVED:
            out[item] = strength[0]
            continue
        threshold = thresholds[item]
        reached = 0
        for lane in range(out.size):
            if strength[lane] > out[lane]:
                out[lane] = strength[lane]
            reached += out[lane] >= threshold
        counts[item] += reached
