"""How biases are looked for: one object that the command line, the library and the query share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sundog.bias.class_images import Metric
from sundog.bias.complex_adjust import Adjustment
from sundog.bias.minimality import Minimality


@dataclass(frozen=True)
class SearchSettings:
    """How biases are looked for.

    Attributes:
        metric: ``accuracy`` (right or wrong) or ``confidence`` (probability of the label).
        alpha: bound on the probability of any false finding in the whole inspection (with
            ``benjamini_hochberg``: on the share of false ones).
        adjustment: ``westfall_young``, ``holm``, ``benjamini_hochberg`` or ``none``.
        min_support: images with a single concept, and without it, for a test.
        min_hidden_gap: smallest |gap| of a single concept that is reported.
        max_tags: most concepts in a combination; 1 = no combinations.
        min_pop: images with the whole combination.
        min_gap: smallest |gap| of a combination that is reported.
        minimality: which of several nested combinations are kept: ``noise``, ``recursive``,
            ``prime`` or ``none``.
        minimal_criteria: thresholds of ``recursive`` and ``prime``.
        across: whether concepts are also tested over all classes together, stratified by class.
        replicate: whether findings are looked for again on a random half, and measured on the
            other.
        permutations: of Westfall-Young and of confidence tests.
        top_k: images per end of a ranking for its illustrating gap.
        seed: of all permutations and halves.
    """

    metric: Metric = "accuracy"
    alpha: float = 0.05
    adjustment: Adjustment = "westfall_young"
    min_support: int = 5
    min_hidden_gap: float = 0.0
    max_tags: int = 3
    min_pop: int = 10
    min_gap: float = 0.1
    minimality: Minimality = "noise"
    minimal_criteria: tuple[float, ...] | None = None
    across: bool = True
    replicate: bool = True
    permutations: int = 1000
    top_k: int = 5
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = asdict(self)
        if self.minimal_criteria is not None:
            values["minimal_criteria"] = list(self.minimal_criteria)
        return values
