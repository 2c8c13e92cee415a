"""Every combination of tags, counted and tested: bitsets and compiled loops, without torch."""

from sundog.bias.search.slices import SliceCounts, count_slices
from sundog.bias.search.sums import SliceSums, sum_slices
from sundog.bias.search.tests import slice_p_values, welch_p_values
from sundog.bias.search.westfall_young import Problem, westfall_young

__all__ = [
    "Problem",
    "SliceCounts",
    "SliceSums",
    "count_slices",
    "slice_p_values",
    "sum_slices",
    "welch_p_values",
    "westfall_young",
]
