"""Compiled loops of Fisher's exact test: hypergeometric weights by recurrence, tails by sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from sundog.bias.search.compiled import compiled

TIE = 1e-7
"""Tables whose probabilities differ by less than this share count as equally likely (as in R)."""


@compiled
def fisher_tables(
    images: int, correct: int, supports: Any, floor: float, offsets: Any, lows: Any, flat: Any
) -> int:
    """Write the two-sided p-values of every number of hits, for each support, one after the other.

    Only hits whose probability is above about ``1e-15 floor`` times the largest have an entry;
    p-values are cut off at ``floor``, so that the outermost entries stand for all beyond them.

    Args:
        images: n.
        correct: K.
        supports: ``int64[d]`` slice sizes in [0, n].
        floor: smallest p-value, at least 1e-290.
        offsets: ``int64[d + 1]``, where each table starts in ``flat``.
        lows: ``int64[d]``, hits of the first entry of each table.
        flat: ``float64[room]``; if it is too small nothing is lost, only the sizes are counted.

    Returns:
        Entries needed in all.
    """
    used = 0
    wrong = images - correct
    for number in range(supports.size):
        support = supports[number]
        least = max(0, support - wrong)
        most = min(support, correct)
        mode = ((support + 1) * (correct + 1)) // (images + 2)
        mode = min(max(mode, least), most)
        small = floor * 1e-15
        low = mode
        weight = 1.0
        while low > least and weight >= small:
            weight *= float(low) * float(wrong - support + low)
            weight /= float(correct - low + 1) * float(support - low + 1)
            low -= 1
        high = mode
        weight = 1.0
        while high < most and weight >= small:
            weight *= float(correct - high) * float(support - high)
            weight /= float(high + 1) * float(wrong - support + high + 1)
            high += 1
        size = high - low + 1
        offsets[number] = used
        lows[number] = low
        used += size
        if used > flat.size:
            continue
        _fill(images, correct, support, low, mode, floor, flat[used - size : used])
    offsets[supports.size] = used
    return used


@compiled
def _fill(
    images: int, correct: int, support: int, low: int, mode: int, floor: float, table: Any
) -> None:
    wrong = images - correct
    size = table.size
    peak = mode - low
    weights = np.empty(size)
    weights[peak] = 1.0
    for place in range(peak, 0, -1):
        hits = low + place
        ratio = float(hits) * float(wrong - support + hits)
        ratio /= float(correct - hits + 1) * float(support - hits + 1)
        weights[place - 1] = weights[place] * ratio
    for place in range(peak, size - 1):
        hits = low + place
        ratio = float(correct - hits) * float(support - hits)
        ratio /= float(hits + 1) * float(wrong - support + hits + 1)
        weights[place + 1] = weights[place] * ratio
    # Tails, summed from the smallest weight inwards.
    left = np.empty(size + 1)
    right = np.empty(size + 1)
    left[0] = 0.0
    right[size] = 0.0
    for place in range(size):
        left[place + 1] = left[place] + weights[place]
    for place in range(size - 1, -1, -1):
        right[place] = right[place + 1] + weights[place]
    whole = left[peak] + right[peak]
    other = size
    for place in range(peak + 1):
        # Weights grow towards the peak: so does the far tail that is no more likely.
        bound = weights[place] * (1.0 + TIE)
        while other > place + 1 and other > peak and weights[other - 1] <= bound:
            other -= 1
        p = 1.0 if other <= place + 1 else (left[place + 1] + right[other]) / whole
        table[place] = min(max(p, floor), 1.0)
    other = 0
    for place in range(size - 1, peak, -1):
        bound = weights[place] * (1.0 + TIE)
        while other < place and other <= peak and weights[other] <= bound:
            other += 1
        p = 1.0 if other >= place else (right[place] + left[other]) / whole
        table[place] = min(max(p, floor), 1.0)
