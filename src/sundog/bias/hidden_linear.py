"""Permutation of the outcome against many scores or tags at once: single and step-down p-values.

The statistic is linear in the outcome and standardised by what permutations do to it, so that no
test of the family has heavier tails than another. (Welch's t has: five wrong images without spread
give it any size, and the step-down comparison would drown in them.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from sundog.core.statistics import permutation_blocks
from sundog.core.statistics.permutation import group_places

_TOGETHER = 64
"""Permutations drawn at once, whatever the number of classes and columns."""
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class LinearProblem:
    """The columns of one class.

    Attributes:
        weights: one column per test: ranks of scores, or tags as 0 and 1; finite.
        outcome: what is permuted: right or wrong, the confidence, or its ranks; finite.
        groups: near-duplicates, permuted together; None: every image alone.
        key: what the permutations of this class are drawn from, besides the seed.
    """

    weights: Float[np.ndarray, "images columns"]
    outcome: Float[np.ndarray, " images"]
    groups: Int[np.ndarray, " images"] | None
    key: bytes


@dataclass(frozen=True, eq=False)
class _Scaled:
    """A problem whose ``outcome @ weights - shift`` has variance 1 under its permutations."""

    problem: LinearProblem
    weights: Float[np.ndarray, "images columns"]
    outcome: Float[np.ndarray, " images"]
    shift: Float[np.ndarray, " columns"]

    @property
    def observed(self) -> Float[np.ndarray, " columns"]:
        return self.outcome @ self.weights - self.shift

    def drawn(
        self, permutations: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "rows columns"]:
        blocks = permutation_blocks(
            self.outcome.size, permutations=permutations, rng=rng, groups=self.problem.groups
        )
        return np.concatenate([self.outcome[block] @ self.weights - self.shift for block in blocks])


def permute(
    problems: Sequence[LinearProblem], *, permutations: int, seed: int
) -> tuple[list[Float[np.ndarray, " columns"]], list[Float[np.ndarray, " columns"]]]:
    """Return two-sided permutation p-values of each column, single and held together.

    ``z = (sum_i w_i y_i - E) / sd`` with the exact mean and standard deviation over all
    permutations allowed. Of a tag it is the standardised difference of means, of ranks and a
    right-or-wrong outcome Mann-Whitney's statistic, of two ranks Spearman's correlation. Single:
    ``(1 + #{|z*| >= |z|}) / (B + 1)``. Together: step-down max |z| over all columns of all classes,
    the outcome permuted within its class.

    Args:
        problems: one per class.
        permutations: B.
        seed: same seed, same result; a class's permutations do not depend on the other classes.

    Returns:
        Single and joint p-values, one array per problem.

    Source: Westfall & Young, 1993, algorithm 4.1; Hoeffding, 1951, Annals of Mathematical
    Statistics 22 (the variance); Phipson & Smyth, 2010, arXiv 1603.05766.
    """
    scaled = [_scale(problem) for problem in problems]
    observed = np.abs(np.concatenate([one.observed for one in scaled]))
    bound = observed - _ROUNDING * np.maximum(observed, 1.0)
    order = np.argsort(observed, kind="stable")
    rngs = [np.random.default_rng([seed, *problem.key]) for problem in problems]
    single, joint = np.zeros(observed.size, np.int64), np.zeros(observed.size, np.int64)
    for start in range(0, permutations, _TOGETHER):
        size = min(_TOGETHER, permutations - start)
        drawn = np.abs(
            np.concatenate(
                [one.drawn(size, rng) for one, rng in zip(scaled, rngs, strict=True)], axis=1
            )
        )
        single += (drawn >= bound).sum(axis=0)
        strongest = np.maximum.accumulate(drawn[:, order], axis=1)
        joint[order] += (strongest >= bound[order]).sum(axis=0)
    raw, together = (1 + single) / (1 + permutations), (1 + joint) / (1 + permutations)
    down = order[::-1]
    together[down] = np.maximum.accumulate(together[down])
    ends = np.cumsum([one.weights.shape[1] for one in scaled])[:-1]
    return np.split(raw, ends), np.split(together, ends)


def one_sided_p(problem: LinearProblem, *, rising: bool, permutations: int, seed: int) -> float:
    """Return the permutation p-value that the outcome rises (or falls) with the first column.

    ``(1 + #{z* >= z}) / (B + 1)`` with the z of :func:`permute`, for a fall with ``<=``.

    Args:
        problem: with one column.
        rising: whether a rise is asked about; else a fall.
        permutations: B.
        seed: same seed, same result.

    Source: as :func:`permute`.
    """
    sign = 1.0 if rising else -1.0
    scaled = _scale(problem)
    bound = sign * scaled.observed[0] - _ROUNDING * max(abs(scaled.observed[0]), 1.0)
    rng = np.random.default_rng([seed, *problem.key])
    hits = 0
    for start in range(0, permutations, _TOGETHER):
        drawn = scaled.drawn(min(_TOGETHER, permutations - start), rng)
        hits += int((sign * drawn[:, 0] >= bound).sum())
    return (1 + hits) / (1 + permutations)


def middle_ranks(values: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, "n columns"]:
    """Return centred midranks per column; 0, the middle, where a value is NaN."""
    ranks = np.zeros(values.shape)
    for column in range(values.shape[1]):
        known = ~np.isnan(values[:, column])
        ranks[known, column] = (
            stats.rankdata(values[known, column]) - (np.count_nonzero(known) + 1) / 2
        )
    return ranks


def _scale(problem: LinearProblem) -> _Scaled:
    """Standardise by the mean and variance over the permutations of blocks of equal size.

    For the blocks g of one size with weights ``W_g`` and outcomes ``Y_g`` the sum over a random
    assignment has mean ``G mean(W) . mean(Y)`` and variance
    ``sum((Wc' Wc) * (Yc' Yc)) / (G - 1)``, c: centred over the blocks.
    """
    outcome = problem.outcome - problem.outcome.mean()
    weights = problem.weights - problem.weights.mean(axis=0)
    shift, variance = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    for places in group_places(outcome.size, problem.groups):
        y, w = outcome[places], weights[places]  # [G, s], [G, s, columns]
        blocks = len(places)
        shift += blocks * (y.mean(axis=0) @ w.mean(axis=0))
        if blocks > 1:
            y, w = y - y.mean(axis=0), w - w.mean(axis=0)
            inner = np.einsum("gkc,glc,kl->c", w, w, y.T @ y, optimize=True)
            variance += inner / (blocks - 1)
    spread = np.sqrt(np.maximum(variance, 0.0))
    moves = spread > 1e-12 * max(float(np.abs(outcome).max(initial=0.0)), 1e-300) * np.maximum(
        np.abs(weights).max(axis=0, initial=0.0), 1e-300
    )
    scale = np.where(moves, 1.0 / np.where(moves, spread, 1.0), 0.0)
    return _Scaled(problem, weights * scale, outcome, shift * scale)
