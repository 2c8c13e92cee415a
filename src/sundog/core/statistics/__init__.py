"""What a number is worth: intervals, paired tests and corrections for many tests, without torch.

Every function takes plain arrays and returns a frozen dataclass or an array.
"""

from sundog.core.statistics.bootstrap import bootstrap_interval
from sundog.core.statistics.estimate import Estimate
from sundog.core.statistics.intervals import mean_interval
from sundog.core.statistics.multiplicity import benjamini_hochberg, holm
from sundog.core.statistics.paired import (
    PairedDifference,
    paired_difference,
    sign_flip_p_values,
    wilcoxon_p_value,
)
from sundog.core.statistics.proportions import (
    PairedProportions,
    mcnemar_exact,
    paired_proportions,
    proportion_difference,
    wilson_interval,
)

__all__ = [
    "Estimate",
    "PairedDifference",
    "PairedProportions",
    "benjamini_hochberg",
    "bootstrap_interval",
    "holm",
    "mcnemar_exact",
    "mean_interval",
    "paired_difference",
    "paired_proportions",
    "proportion_difference",
    "sign_flip_p_values",
    "wilcoxon_p_value",
    "wilson_interval",
]
