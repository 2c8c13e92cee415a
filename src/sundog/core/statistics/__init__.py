"""What a number is worth: intervals, paired tests and corrections for many tests, without torch.

Every function takes plain arrays and returns a frozen dataclass or an array.
"""

from sundog.core.statistics.agreement import Agreement, fleiss_kappa
from sundog.core.statistics.bootstrap import bootstrap_interval
from sundog.core.statistics.estimate import Estimate
from sundog.core.statistics.intervals import mean_interval
from sundog.core.statistics.mann_whitney import MannWhitney, auroc_interval, mann_whitney
from sundog.core.statistics.multiplicity import benjamini_hochberg, holm
from sundog.core.statistics.paired import (
    PairedDifference,
    paired_difference,
    sign_flip_p_values,
    wilcoxon_p_value,
)
from sundog.core.statistics.permutation import permutation_blocks, studentised_permutation
from sundog.core.statistics.power import (
    fisher_power,
    smallest_detectable_gap,
    smallest_detectable_mean_gap,
)
from sundog.core.statistics.proportions import (
    PairedProportions,
    mcnemar_exact,
    paired_proportions,
    proportion_difference,
    wilson_interval,
)
from sundog.core.statistics.tag_errors import TagErrors, TagReview, estimate_tag_errors
from sundog.core.statistics.two_groups import (
    effective_size,
    fisher_p_values,
    fisher_table,
    newcombe_gap,
    welch_gap,
)

__all__ = [
    "Agreement",
    "Estimate",
    "MannWhitney",
    "PairedDifference",
    "PairedProportions",
    "TagErrors",
    "TagReview",
    "auroc_interval",
    "benjamini_hochberg",
    "bootstrap_interval",
    "effective_size",
    "estimate_tag_errors",
    "fisher_p_values",
    "fisher_power",
    "fisher_table",
    "fleiss_kappa",
    "holm",
    "mann_whitney",
    "mcnemar_exact",
    "mean_interval",
    "newcombe_gap",
    "paired_difference",
    "paired_proportions",
    "permutation_blocks",
    "proportion_difference",
    "sign_flip_p_values",
    "smallest_detectable_gap",
    "smallest_detectable_mean_gap",
    "studentised_permutation",
    "welch_gap",
    "wilcoxon_p_value",
    "wilson_interval",
]
