"""Permutation tests of many groupings of the same images at once, near-duplicates kept together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike, NDArray

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import check_sample
from sundog.core.statistics.two_groups import Alternative

_CELLS = 2_000_000
"""Numbers permuted at once (16 MB each)."""
_ROUNDING = 1e-9


def permutation_blocks(
    n: int,
    *,
    permutations: int,
    rng: np.random.Generator,
    groups: Int[np.ndarray, " n"] | None = None,
) -> Iterator[Int[np.ndarray, "rows n"]]:
    """Yield blocks of random permutations of ``n`` images, ``int64[rows, n]``.

    With groups, a whole group changes places with a group of equal size: outcomes of
    near-duplicates stay together. A group whose size no other has stays where it is.

    Args:
        n: number of images.
        permutations: rows in all blocks together.
        rng: generator; the sizes of the blocks depend on ``n`` alone.
        groups: one integer per image, or None.
    """
    places = group_places(n, groups)
    rows = max(1, _CELLS // max(n, 1))
    for start in range(0, permutations, rows):
        size = min(rows, permutations - start)
        block = np.tile(np.arange(n, dtype=np.int64), (size, 1))
        for place in places:
            order = rng.permuted(np.tile(np.arange(len(place)), (size, 1)), axis=1)
            block[:, place.ravel()] = place[order].reshape(size, -1)
        yield block


def group_places(n: int, groups: Int[np.ndarray, " n"] | None) -> list[NDArray[np.int64]]:
    """Return, for every size of group, the images of its groups: ``int64[groups, size]``.

    Args:
        n: number of images.
        groups: one integer per image; None: every image is a group.
    """
    if groups is None:
        return [np.arange(n, dtype=np.int64)[:, None]] if n else []
    labels = np.unique(groups, return_inverse=True)[1].ravel()
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
    by_size: dict[int, list[NDArray[np.int64]]] = {}
    for member in members:
        if member.size:
            by_size.setdefault(member.size, []).append(member)
    return [np.stack(by_size[size]) for size in sorted(by_size)]


def studentised_permutation(
    values: ArrayLike,
    members: Bool[np.ndarray, "n columns"],
    *,
    permutations: int = 9999,
    seed: int | Sequence[int] = 0,
    groups: Int[np.ndarray, " n"] | None = None,
    alternative: Alternative = "two-sided",
) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
    """Return Welch's t and its permutation p-value for many groups of the same images.

    ``t = (mean_in - mean_out) / sqrt(s_in²/n_in + s_out²/n_out)``;
    ``p = (1 + #{t* at least as extreme}) / (permutations + 1)`` over random permutations of the
    values. Exact if the values of both sides have one distribution, and right for large samples
    if only the means are equal, because t is studentised.

    Args:
        values: ``[n]`` outcomes, finite.
        members: which images are in the group, one column per group.
        permutations: random permutations, the same for every column; no p-value is smaller than
            ``1 / (permutations + 1)``.
        seed: one number or several; same seed, same p-values.
        groups: near-duplicates, permuted together (:func:`permutation_blocks`).
        alternative: ``two-sided``, ``less`` (the group is lower) or ``greater``.

    Returns:
        t ``float64[columns]``, > 0 if the group is higher (infinite if neither side varies), and
        p ``float64[columns]``; both NaN where a side has fewer than two images.

    Raises:
        InputError: shapes that do not fit, values that are not finite, too few permutations.

    Source: Janssen, 1997, Statistics & Probability Letters 36; Chung & Romano, 2013, Annals of
    Statistics 41 (why studentised); Phipson & Smyth, 2010, arXiv 1603.05766 (the +1).
    """
    sample = check_sample(values)
    inside = np.asarray(members)
    if inside.ndim != 2 or inside.shape[0] != sample.size or inside.dtype != bool:
        raise InputError(
            "members",
            expected=f"bool[{sample.size}, columns]",
            got=f"{inside.dtype}{list(inside.shape)}",
        )
    if permutations < 99:
        raise InputError("permutations", expected="at least 99", got=str(permutations))
    if alternative not in ("two-sided", "less", "greater"):
        raise InputError(
            "alternative", expected="two-sided, less or greater", got=repr(alternative)
        )
    counts = inside.sum(axis=0).astype(np.float64)
    testable = (counts >= 2) & (sample.size - counts >= 2)
    t = np.full(inside.shape[1], math.nan)
    p = np.full(inside.shape[1], math.nan)
    if not testable.any():
        return t, p
    centred = sample - sample.mean()
    scale = float(np.abs(centred).max())
    if scale > 0:
        centred = centred / scale
    columns = inside[:, testable].astype(np.float64)
    sizes = counts[testable]
    observed = _welch_t(centred[None, :], columns, sizes)[0]
    sign = -1.0 if alternative == "less" else 1.0
    bound = np.abs(observed) if alternative == "two-sided" else sign * observed
    bound = bound - _ROUNDING * np.where(np.isinf(bound), 0.0, np.maximum(np.abs(bound), 1.0))
    hits = np.zeros(sizes.size, dtype=np.int64)
    rng = np.random.default_rng(seed)
    for block in permutation_blocks(sample.size, permutations=permutations, rng=rng, groups=groups):
        drawn = _welch_t(centred[block], columns, sizes)
        extreme = np.abs(drawn) if alternative == "two-sided" else sign * drawn
        hits += (extreme >= bound).sum(axis=0)
    t[testable], p[testable] = observed, (1 + hits) / (1 + permutations)
    return t, p


def _welch_t(
    values: Float[np.ndarray, "rows n"],
    columns: Float[np.ndarray, "n columns"],
    sizes: Float[np.ndarray, " columns"],
) -> Float[np.ndarray, "rows columns"]:
    """Return Welch's t of every row of centred values for every column; 0/0 is 0."""
    n = values.shape[1]
    total, squares = values.sum(axis=1)[:, None], (values**2).sum(axis=1)[:, None]
    sum_in, squares_in = values @ columns, (values**2) @ columns
    mean_in, mean_out = sum_in / sizes, (total - sum_in) / (n - sizes)
    var_in = (squares_in - sizes * mean_in**2) / ((sizes - 1) * sizes)
    var_out = (squares - squares_in - (n - sizes) * mean_out**2) / ((n - sizes - 1) * (n - sizes))
    error = np.maximum(var_in, 0.0) + np.maximum(var_out, 0.0)
    gap = mean_in - mean_out
    gap[np.abs(gap) < _ROUNDING] = 0.0
    flat = error < 1e-14
    result = gap / np.sqrt(np.where(flat, 1.0, error))
    return np.where(flat, np.where(gap == 0, 0.0, np.copysign(np.inf, gap)), result)
