"""Is a slice different from the rest of its class: Fisher's exact test, and Welch's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy import special

from sundog.bias.search.slices import SliceCounts
from sundog.bias.search.sums import SliceSums
from sundog.bias.search.testing_loops import fisher_tables

SMALLEST = 1e-290
"""P-values below are reported as this: a smaller one says nothing more."""
_ENTRIES = 1 << 22


@dataclass(frozen=True, eq=False)
class FisherTables:
    """Two-sided p-values for every number of hits, for some slice sizes of one class.

    Attributes:
        number: table of each slice size 0 ... n; -1: none.
        offsets: where each table starts in ``flat``, and the end.
        lows: hits of the first entry of each table.
        flat: p-values; hits outside a table have the p-value of its nearest end.
    """

    number: Int64[np.ndarray, "sizes"]
    offsets: Int64[np.ndarray, "bounds"]
    lows: Int64[np.ndarray, "tables"]
    flat: Float64[np.ndarray, "entries"]

    def look_up(
        self, support: Int64[np.ndarray, "slices"], hits: Int64[np.ndarray, "slices"]
    ) -> Float64[np.ndarray, "slices"]:
        """Return the p-value of each slice."""
        table = self.number[support]
        first = self.offsets[table]
        place = first + hits
        place -= self.lows[table]
        return self.flat[np.clip(place, first, self.offsets[table + 1] - 1)]


def tabulate(
    supports: Int64[np.ndarray, "tables"], *, images: int, correct: int, floor: float = SMALLEST
) -> FisherTables:
    """Build the tables of the given distinct slice sizes."""
    offsets = np.zeros(supports.size + 1, dtype=np.int64)
    lows = np.zeros(supports.size, dtype=np.int64)
    size = fisher_tables(images, correct, supports, floor, offsets, lows, np.empty(0))
    flat = np.empty(size)
    fisher_tables(images, correct, supports, floor, offsets, lows, flat)
    number = np.full(images + 1, -1, dtype=np.int64)
    number[supports] = np.arange(supports.size)
    return FisherTables(number, offsets, lows, flat)


def slice_p_values(counts: SliceCounts) -> Float64[np.ndarray, "slices"]:
    """Return the two-sided p-value of Fisher's exact test: slice against the rest of the class.

    With K of n images correct, the hits of s images are hypergeometric if the slice means nothing;
    ``p(h) = sum of P(j) over all j with P(j) <= P(h) (1 + 1e-7)``. The slice and its complement
    are compared, not the slice and the class that holds it.

    Args:
        counts: of one class.

    Returns:
        ``float64[m]`` in [1e-290, 1]; 1 where no other outcome was possible (all images of the
        class correct, or none, or a slice that is the whole class).

    Source: Fisher, 1922, JRSS 85; ties as in R's ``fisher.test``.
    """
    sizes = np.flatnonzero(np.bincount(counts.support, minlength=1))
    p_values = np.empty(counts.support.size)
    # Few distinct sizes hold many slices; a group of sizes bounds the memory of the tables.
    widths = np.minimum(sizes, counts.images - sizes) + 1
    group = np.cumsum(widths) // _ENTRIES
    for number in np.unique(group):
        chosen = sizes[group == number]
        tables = tabulate(chosen, images=counts.images, correct=counts.correct)
        if chosen.size == sizes.size:
            return tables.look_up(counts.support, counts.hits)
        rows = np.flatnonzero(tables.number[counts.support] >= 0)
        p_values[rows] = tables.look_up(counts.support[rows], counts.hits[rows])
    return p_values


def welch_p_values(sums: SliceSums) -> Float64[np.ndarray, "slices"]:
    """Return the two-sided p-value of Welch's t-test: slice against the rest of the class.

    ``t = (m1 - m0) / sqrt(v1 / n1 + v0 / n0)`` with the degrees of freedom of Welch and
    Satterthwaite. Approximate for small skewed slices: Westfall and Young permute.

    Args:
        sums: of one class.

    Returns:
        ``float64[m]`` in [0, 1]; NaN where one side has fewer than two images or neither varies.

    Source: Welch, 1947, Biometrika 34.
    """
    inside = sums.support.astype(np.float64)
    outside = sums.images - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums.sums / inside + sums.sums / outside
        spread_in = np.maximum(sums.squares - sums.sums**2 / inside, 0.0)
        spread_out = np.maximum(sums.total_squares - sums.squares - sums.sums**2 / outside, 0.0)
        error_in = spread_in / (inside - 1) / inside
        error_out = spread_out / (outside - 1) / outside
        error = error_in + error_out
        # Variances that are 0 but for rounding.
        error[error <= 1e-24 * sums.total_squares] = np.nan
        error[(inside < 2) | (outside < 2)] = np.nan
        freedom = error**2 / (error_in**2 / (inside - 1) + error_out**2 / (outside - 1))
        p_values: Float64[np.ndarray, "slices"] = 2 * special.stdtr(
            freedom, -np.abs(gap) / np.sqrt(error)
        )
    return p_values
