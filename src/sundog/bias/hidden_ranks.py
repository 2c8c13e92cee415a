"""Permutation of the outcome against many rankings at once: single and step-down p-values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from sundog.core.statistics import permutation_blocks

_TOGETHER = 64
"""Permutations drawn at once, whatever the number of classes and rankings."""
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class RankProblem:
    """The rankings of one class.

    Attributes:
        scores: finite, or NaN where not known; no column constant, at least one column.
        outcome: right or wrong, or the confidence, of each image; not constant.
        groups: near-duplicates, permuted together; None: every image alone.
        key: what the permutations of this class are drawn from, besides the seed.
    """

    scores: Float[np.ndarray, "images rankings"]
    outcome: Float[np.ndarray, " images"]
    groups: Int[np.ndarray, " images"] | None
    key: bytes


def permute_ranks(
    problems: Sequence[RankProblem], *, permutations: int, seed: int
) -> tuple[list[Float[np.ndarray, " rankings"]], list[Float[np.ndarray, " rankings"]]]:
    """Return two-sided permutation p-values of rank correlations, single and held together.

    ``z = sqrt(n - 1) cor(ranks of the scores, ranks of the outcome)``, of a right-or-wrong outcome
    Mann-Whitney's statistic; an unknown score takes the middle rank. Single:
    ``(1 + #{|z*| >= |z|}) / (B + 1)``. Together: step-down max |z| over all rankings of all
    classes, the outcome permuted within its class.

    Args:
        problems: one per class.
        permutations: B.
        seed: same seed, same result; a class's permutations do not depend on the other classes.

    Returns:
        Single and joint p-values, one array per problem.

    Source: Westfall & Young, 1993, algorithm 4.1; Phipson & Smyth, 2010, arXiv 1603.05766.
    """
    weights = [_unit_ranks(problem.scores) for problem in problems]
    outcomes = [_unit_ranks(problem.outcome[:, None])[:, 0] for problem in problems]
    roots = [np.sqrt(max(outcome.size - 1, 1)) for outcome in outcomes]
    observed = np.concatenate(
        [
            np.abs(root * (outcome @ weight))
            for weight, outcome, root in zip(weights, outcomes, roots, strict=True)
        ]
    )
    bound = observed - _ROUNDING * np.maximum(observed, 1.0)
    order = np.argsort(observed, kind="stable")
    rngs = [np.random.default_rng([seed, *problem.key]) for problem in problems]
    single, joint = np.zeros(observed.size, np.int64), np.zeros(observed.size, np.int64)
    for start in range(0, permutations, _TOGETHER):
        size = min(_TOGETHER, permutations - start)
        parts = []
        for problem, weight, outcome, root, rng in zip(
            problems, weights, outcomes, roots, rngs, strict=True
        ):
            blocks = permutation_blocks(
                outcome.size, permutations=size, rng=rng, groups=problem.groups
            )
            parts.append(
                np.concatenate([np.abs(root * (outcome[block] @ weight)) for block in blocks])
            )
        drawn = np.concatenate(parts, axis=1)
        single += (drawn >= bound).sum(axis=0)
        strongest = np.maximum.accumulate(drawn[:, order], axis=1)
        joint[order] += (strongest >= bound[order]).sum(axis=0)
    raw, together = (1 + single) / (1 + permutations), (1 + joint) / (1 + permutations)
    down = order[::-1]
    together[down] = np.maximum.accumulate(together[down])
    ends = np.cumsum([weight.shape[1] for weight in weights])[:-1]
    return np.split(raw, ends), np.split(together, ends)


def one_sided_rank_p(problem: RankProblem, *, rising: bool, permutations: int, seed: int) -> float:
    """Return the permutation p-value that the outcome rises (or falls) with one ranking.

    ``(1 + #{z* >= z}) / (B + 1)`` with the z of :func:`permute_ranks`, for a fall with ``<=``.

    Args:
        problem: with one ranking.
        rising: whether a rise is asked about; else a fall.
        permutations: B.
        seed: same seed, same result.

    Source: as :func:`permute_ranks`.
    """
    weight, outcome = _unit_ranks(problem.scores)[:, 0], _unit_ranks(problem.outcome[:, None])[:, 0]
    if not rising:
        weight = -weight
    bound = float(outcome @ weight) - _ROUNDING
    rng = np.random.default_rng([seed, *problem.key])
    blocks = permutation_blocks(
        outcome.size, permutations=permutations, rng=rng, groups=problem.groups
    )
    hits = sum(int((outcome[block] @ weight >= bound).sum()) for block in blocks)
    return (1 + hits) / (1 + permutations)


def _unit_ranks(values: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, "n columns"]:
    """Return centred midranks of length 1 per column; 0 where a value is not known."""
    ranks = np.zeros(values.shape)
    for column in range(values.shape[1]):
        known = ~np.isnan(values[:, column])
        ranks[known, column] = (
            stats.rankdata(values[known, column]) - (np.count_nonzero(known) + 1) / 2
        )
    lengths = np.sqrt((ranks**2).sum(axis=0))
    return ranks / np.where(lengths > 0, lengths, 1.0)
