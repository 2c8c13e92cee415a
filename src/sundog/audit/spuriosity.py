"""The spuriosity gap: the images with most of a concept against those with least of it.

An illustration, not a test: with five images per end, only gaps of 60 points and more could be told
from chance. The tests look at all images.

Source: Moayeri, Wang, Singla & Feizi, 2023, NeurIPS, arXiv 2212.02648.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sundog.bias.hidden_effect import end_mean
from sundog.core.inspection.finding import Finding, Ranking


def top_gap(
    outcome: Float[np.ndarray, "images"], scores: Float[np.ndarray, "images"], top_k: int
) -> tuple[int, float] | None:
    """Return (images per end, mean outcome of the top minus that of the bottom), or None.

    Args:
        outcome: right (1) or wrong (0), or the probability of the label.
        scores: of the concept; NaN is left out; of images with equal scores at the cut, each
            counts in part, so that the order of the images does not matter.
        top_k: images per end, at most half of the known ones.
    """
    known = ~np.isnan(scores)
    ends = min(top_k, int(known.sum()) // 2)
    if ends < 1:
        return None
    return ends, end_mean(outcome[known], scores[known], ends) - end_mean(
        outcome[known], -scores[known], ends
    )


def with_top_gap(
    finding: Finding,
    outcome: Float[np.ndarray, "images"],
    scores: Float[np.ndarray, "images"],
    top_k: int,
) -> Finding:
    """Return the finding with its spuriosity gap for this ``top_k``."""
    found = top_gap(outcome, scores, top_k)
    ranking = finding.ranking or Ranking(auroc=None, low=None, high=None)
    return finding.model_copy(
        update={
            "ranking": ranking.model_copy(
                update={
                    "top_k": None if found is None else found[0],
                    "top_gap": None if found is None else found[1],
                }
            )
        }
    )
