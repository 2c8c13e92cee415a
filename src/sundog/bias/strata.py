"""Complex bias across classes: a combination of tags that hurts (or helps) whatever the class.

"Snow hurts" may only say that most photographs with snow show huskies and that huskies are hard.
Here images with the tags are compared with images without them of the same class, the classes are
added up (Cochran-Mantel-Haenszel), and the correction permutes within classes, so the mix of
classes can produce no finding. Tags too rare in each class alone can be found in all together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from sundog.bias.class_images import METRICS, ClassImages, Metric
from sundog.bias.complex_adjust import Adjustment, check_adjustment
from sundog.bias.complex_contrast import lower_bound
from sundog.bias.complex_search import check_tables
from sundog.bias.minimality_noise import Kept, noise_minimal
from sundog.bias.search import count_slices
from sundog.bias.strata_effects import Pool, PooledSlice, describe_pooled
from sundog.bias.strata_permutation import ScoredSlices, carried, score_westfall_young
from sundog.bias.strata_scores import NullLaw, null_law, stratum_moments, two_sided
from sundog.core.errors import InputError, UnknownNameError
from sundog.core.statistics import benjamini_hochberg, holm

_CELLS = 8_000_000


@dataclass(frozen=True)
class PooledSearch:
    """The result of :func:`pooled_slices`.

    Attributes:
        slices: ranked by adjusted p-value, then by the lower bound of the pooled gap's size.
        tested: combinations tested.
        untestable: combinations that no class has with and without, or only classes that are
            always right or always wrong.
        dropped: filter → slices dropped, in the order applied.
        adjustment: how ``p_adjusted`` was made; with ``none`` it is the plain p-value.
        minimality: ``noise`` or ``none``.
        metric: ``accuracy`` or ``confidence``.
        alpha: the threshold on ``p_adjusted``.
    """

    slices: tuple[PooledSlice, ...]
    tested: int
    untestable: int
    dropped: dict[str, int]
    adjustment: Adjustment
    minimality: str
    metric: Metric
    alpha: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain dictionaries and lists; NaN where nothing is known."""
        return asdict(self)


def pooled_slices(
    classes: Sequence[ClassImages],
    present: Mapping[str, Bool[np.ndarray, "images tags"]],
    tags: Sequence[str],
    *,
    metric: Metric = "accuracy",
    max_tags: int = 2,
    min_tags: int = 1,
    min_support: int = 10,
    min_gap: float = 0.05,
    alpha: float = 0.05,
    adjustment: Adjustment = "westfall_young",
    minimality: str = "noise",
    permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | None = None,
) -> PooledSearch:
    """Find combinations of tags that change the outcome inside the classes, all classes together.

    Every combination of 1 to ``max_tags`` tags that ``min_support`` images of all classes together
    carry is scored by the stratified test (:mod:`sundog.bias.strata_scores`) and adjusted over all
    combinations. Then, in this order: adjusted p <= alpha; minimality; pooled |gap| >= ``min_gap``;
    at least ``min_tags`` tags. A tag that marks a class and nothing else has no image without it
    in its class, and is not testable; one that every image carries is left out.

    Args:
        classes: the images of each class.
        present: class → ``bool[n, T]``.
        tags: T tag names, the same for all classes.
        metric: ``accuracy`` or ``confidence``.
        max_tags: the most tags in a combination.
        min_tags: the fewest tags in a slice that is returned.
        min_support: the fewest images with all tags, over all classes.
        min_gap: the smallest pooled |gap| that matters.
        alpha: threshold on the adjusted p-value.
        adjustment: ``westfall_young`` (outcomes permuted within each class), ``holm``,
            ``benjamini_hochberg`` or ``none``.
        minimality: ``noise`` or ``none``.
        permutations: of Westfall-Young; its work is slices x images x permutations.
        level: of the intervals.
        seed: same seed, same result.
        threads: of the kernel.
        progress: whether to show progress; None: on a terminal.

    Returns:
        The slices and how they were found.

    Raises:
        InputError: parameters out of range, tables that do not fit.
        UnknownNameError: an unknown metric, adjustment, minimality or class.

    Source: Cochran, 1954, Biometrics 10; Mantel & Haenszel, 1959, JNCI 22; Papaxanthos et al.,
    2016, NIPS (combinations with strata); Westfall & Young, 1993.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", str(metric), METRICS)
    check_adjustment(adjustment)
    if minimality not in ("noise", "none"):
        raise UnknownNameError("minimality", str(minimality), ("noise", "none"))
    if isinstance(tags, Mapping):
        raise InputError("tags", expected="one list of names for all classes", got="a mapping")
    if not 1 <= min_tags <= max_tags:
        raise InputError("min_tags", expected=f"1 to max_tags = {max_tags}", got=str(min_tags))
    if not 0 < alpha <= 1 or not 0 <= min_gap <= 1:
        raise InputError("alpha and min_gap", expected="in [0, 1]", got=f"{alpha} and {min_gap}")
    pool = _pool(classes, present, tags, metric)
    counts = count_slices(
        pool.present, pool.correct, max_tags=max_tags, min_support=min_support, threads=threads
    )
    law, totals = _sums(pool, counts.combos)
    testable = np.flatnonzero(law.deviation > 0)
    combos, law = counts.combos[testable], law.rows(testable)
    scores = law.scores(totals[testable])
    p_values = two_sided(scores)
    adjusted = _adjust(
        pool, combos, law, scores, p_values, adjustment, permutations, seed, progress
    )
    significant = np.flatnonzero(adjusted <= alpha)
    if minimality == "noise":
        minimal: Sequence[Kept] = noise_minimal(
            combos,
            present=pool.present,
            outcome=pool.outcome,
            candidates=significant,
            lower=scores < 0,
            p_values=p_values,
            adjusted=adjusted,
            strata=pool.strata,
            alpha=alpha,
            progress=progress,
        )
    else:
        minimal = [
            Kept(int(row), tuple(int(tag) for tag in combos[row] if tag >= 0), None)
            for row in significant
        ]
    told = [
        describe_pooled(
            pool,
            tags=kept.tags,
            metric=metric,
            p=float(p_values[kept.row]),
            adjusted=float(adjusted[kept.row]),
            lower=bool(scores[kept.row] < 0),
            level=level,
            explained_by=kept.explained_by,
        )
        for kept in minimal
    ]
    enough = [one for one in told if abs(one.effect.gap.value) >= min_gap - 1e-12]
    large = [one for one in enough if len(one.effect.concepts) >= min_tags]
    return PooledSearch(
        slices=tuple(sorted(large, key=_rank)),
        tested=len(combos),
        untestable=len(counts.combos) - len(combos),
        dropped={
            "not significant": len(combos) - len(significant),
            "not minimal": len(significant) - len(minimal),
            "gap too small": len(told) - len(enough),
            "too few tags": len(enough) - len(large),
        },
        adjustment=adjustment,
        minimality=minimality,
        metric=metric,
        alpha=alpha,
    )


def _rank(one: PooledSlice) -> tuple[float, float, float, tuple[str, ...]]:
    effect = one.effect
    return (effect.p_adjusted, -lower_bound(effect.gap), effect.p, effect.concepts)


def _pool(
    classes: Sequence[ClassImages],
    present: Mapping[str, Bool[np.ndarray, "images tags"]],
    tags: Sequence[str],
    metric: Metric,
) -> Pool:
    taken = check_tables(classes, present, tags)
    sizes = [len(one) for one, _, _ in taken]
    ends = np.cumsum([0, *sizes])
    present_in = np.concatenate(
        [np.empty((0, len(tags)), dtype=bool), *(matrix for _, matrix, _ in taken)]
    )
    # With a tag that all carry, a slice is the slice without it.
    use = np.flatnonzero(~np.logical_and.reduce(present_in, axis=0))
    none = np.empty(0, dtype=bool if metric == "accuracy" else np.float64)
    return Pool(
        classes=tuple(one for one, _, _ in taken),
        names=tuple(str(tags[int(column)]) for column in use),
        present=np.ascontiguousarray(present_in[:, use]),
        outcome=np.concatenate([none, *(one.outcome(metric) for one, _, _ in taken)]),
        correct=np.concatenate([np.empty(0, dtype=bool), *(one.correct for one, _, _ in taken)]),
        strata=np.repeat(np.arange(len(taken)), sizes),
        members=tuple(np.arange(start, end) for start, end in pairwise(ends)),
    )


def _sums(pool: Pool, combos: np.ndarray) -> tuple[NullLaw, Float[np.ndarray, " slices"]]:
    """Return the law of every slice and its observed sum, some slices at a time."""
    count = len(pool.classes)
    moments = stratum_moments(pool.outcome, pool.strata, count=count)
    columns = np.concatenate([np.eye(count)[pool.strata], pool.outcome[:, None]], axis=1)
    rows = max(1, _CELLS // max(len(pool.outcome), 1))
    laws, totals = [], []
    for start in range(0, len(combos), rows):
        members = np.stack([carried(pool.present, row) for row in combos[start : start + rows]])
        sums = members.astype(np.float64) @ columns
        laws.append(null_law(np.rint(sums[:, :-1]).astype(np.int64), moments))
        totals.append(sums[:, -1])
    nothing = np.empty(0)
    return (
        NullLaw(
            expected=np.concatenate([nothing, *(law.expected for law in laws)]),
            deviation=np.concatenate([nothing, *(law.deviation for law in laws)]),
            skewness=np.concatenate([nothing, *(law.skewness for law in laws)]),
            correction=0.5 if moments.binary else 0.0,
        ),
        np.concatenate([nothing, *totals]),
    )


def _adjust(
    pool: Pool,
    combos: np.ndarray,
    law: NullLaw,
    scores: np.ndarray,
    p_values: np.ndarray,
    adjustment: Adjustment,
    permutations: int,
    seed: int,
    progress: bool | None,
) -> Float[np.ndarray, " slices"]:
    if adjustment == "none" or len(combos) == 0:
        return p_values
    if adjustment == "holm":
        return holm(p_values)
    if adjustment == "benjamini_hochberg":
        return benjamini_hochberg(p_values)
    problem = ScoredSlices(
        combos=combos,
        present=pool.present,
        outcome=pool.outcome,
        strata=pool.members,
        groups=[one.groups for one in pool.classes],
        law=law,
        scores=scores,
    )
    return score_westfall_young([problem], permutations=permutations, seed=seed, progress=progress)[
        0
    ]
