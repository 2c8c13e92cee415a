"""Complex bias: combinations of tags whose images a classifier gets wrong (or right) more often.

Every combination of tags of every class is compared with the other images of its class, in both
directions; one correction covers the whole search; of related slices only those remain that say
something of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from sundog.bias.class_images import METRICS, ClassImages, Metric
from sundog.bias.complex_adjust import Adjustment, adjust_searches, check_adjustment
from sundog.bias.complex_contrast import lower_bound
from sundog.bias.complex_result import ClassRow, SliceSearch
from sundog.bias.complex_search import ClassSearch, check_tables, search_class
from sundog.bias.minimality import Minimality, check_criteria, prime_minimal, recursive_minimal
from sundog.bias.minimality_noise import Kept, noise_minimal
from sundog.bias.slice_effects import SliceEffect, describe
from sundog.core.errors import InputError, UnknownNameError
from sundog.core.statistics.power import smallest_detectable_gap, smallest_detectable_mean_gap

_ROUNDING = 1e-12


def find_slices(
    classes: Sequence[ClassImages],
    present: Mapping[str, Bool[np.ndarray, "images tags"]],
    tags: Mapping[str, Sequence[str]] | Sequence[str],
    *,
    metric: Metric = "accuracy",
    max_tags: int = 3,
    min_tags: int = 1,
    min_support: int = 10,
    min_gap: float = 0.1,
    alpha: float = 0.05,
    adjustment: Adjustment = "westfall_young",
    minimality: Minimality = "noise",
    minimal_criteria: Sequence[float] | None = None,
    permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | None = None,
) -> SliceSearch:
    """Find the combinations of tags with which a class fares worse or better than without.

    Exhaustive and exact: all combinations of 1 to ``max_tags`` tags that at least ``min_support``
    images of a class carry are compared with the other images of the class (two-sided Fisher; for
    confidence the three-moment law of permutations, since Welch's t of a few images that all happen
    to be right is far too bold) and adjusted together over all classes. Then, in this order:
    adjusted p-value <= alpha; minimality; |gap| >= ``min_gap``; at least ``min_tags`` tags.

    Args:
        classes: the images of each class.
        present: class → ``bool[n, T]``, which image carries which tag.
        tags: T tag names, for all classes or per class.
        metric: ``accuracy`` or ``confidence`` (probability of the label).
        max_tags: the most tags in a combination, >= 1.
        min_tags: the fewest tags in a slice that is returned; single tags are searched and
            corrected for in any case.
        min_support: the fewest images with all tags, >= 1.
        min_gap: the smallest |present - absent| that matters, in [0, 1]. With ``prime`` it is the
            drop below the accuracy of the class.
        alpha: threshold on the adjusted p-value, in (0, 1].
        adjustment: ``westfall_young``, ``holm``, ``benjamini_hochberg``, or ``none`` for what
            tools without a correction would report.
        minimality: ``noise`` (:func:`~sundog.bias.minimality_noise.noise_minimal`), ``recursive``
            (thresholds, RELAI), ``prime`` (thresholds, one level, drops only) or ``none``.
        minimal_criteria: thresholds of ``recursive`` and ``prime``; element i - 1 is for i tags.
        permutations: of Westfall-Young.
        level: of the intervals.
        seed: same seed, same result.
        threads: of the kernel; the result does not depend on it.
        progress: whether to show progress; None: on a terminal.

    Returns:
        The slices and how they were found.

    Raises:
        InputError: parameters out of range, tables that do not fit.
        UnknownNameError: an unknown metric, adjustment, minimality or class.

    Source: Rezaei et al., 2024, ICLR, arXiv 2310.00164 (combinations of tags); Westfall & Young,
    1993, Resampling-Based Multiple Testing.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", str(metric), METRICS)
    check_adjustment(adjustment)
    _check_numbers(max_tags, min_tags, min_support, min_gap, alpha)
    criteria = check_criteria(minimality, minimal_criteria, max_tags=max_tags)
    searches = [
        search_class(
            one,
            present=matrix,
            names=names,
            metric=metric,
            max_tags=max_tags,
            min_support=min_support,
            threads=threads,
        )
        for one, matrix, names in check_tables(classes, present, tags)
    ]
    adjusted = adjust_searches(
        searches,
        adjustment=adjustment,
        permutations=permutations,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    dropped = dict.fromkeys(("not significant", "not minimal", "gap too small", "too few tags"), 0)
    slices: list[SliceEffect] = []
    for search, p_adjusted in zip(searches, adjusted, strict=True):
        significant = np.flatnonzero(p_adjusted <= alpha)
        minimal = _minimal(
            search,
            significant,
            p_adjusted,
            minimality=minimality,
            criteria=criteria,
            drop=min_gap,
            alpha=alpha,
            progress=progress,
        )
        enough = [k for k in minimal if abs(search.lattice.gap[k.row]) >= min_gap - _ROUNDING]
        told = [k for k in enough if len(k.tags) >= min_tags]
        dropped["not significant"] += len(search.lattice) - len(significant)
        dropped["not minimal"] += len(significant) - len(minimal)
        dropped["gap too small"] += len(minimal) - len(enough)
        dropped["too few tags"] += len(enough) - len(told)
        slices += [
            describe(
                search,
                row=kept.row,
                metric=metric,
                adjusted=float(p_adjusted[kept.row]),
                level=level,
                explained_by=kept.explained_by,
            )
            for kept in told
        ]
    slices.sort(key=_rank)
    tested = sum(len(search.lattice) for search in searches)
    corrected = alpha if adjustment == "none" else alpha / max(tested, 1)
    return SliceSearch(
        slices=tuple(slices),
        tested=tested,
        classes=tuple(_row(one, slices, min_support, min(corrected, 0.999)) for one in searches),
        dropped=dropped,
        adjustment=adjustment,
        minimality=minimality,
        metric=metric,
        alpha=alpha,
        notes=_notes(searches, adjustment=adjustment, alpha=alpha, tested=tested),
    )


def _check_numbers(
    max_tags: int, min_tags: int, min_support: int, min_gap: float, alpha: float
) -> None:
    for name, value in (("max_tags", max_tags), ("min_tags", min_tags)):
        if value < 1:
            raise InputError(name, expected="at least 1", got=str(value))
    if min_tags > max_tags:
        raise InputError("min_tags", expected=f"at most max_tags = {max_tags}", got=str(min_tags))
    if min_support < 1:
        raise InputError("min_support", expected="at least 1", got=str(min_support))
    if not 0 <= min_gap <= 1:
        raise InputError("min_gap", expected="in [0, 1]", got=str(min_gap))
    if not 0 < alpha <= 1:
        raise InputError("alpha", expected="in (0, 1]", got=str(alpha))


def _minimal(
    search: ClassSearch,
    significant: np.ndarray,
    adjusted: np.ndarray,
    *,
    minimality: Minimality,
    criteria: Sequence[float],
    drop: float,
    alpha: float,
    progress: bool | None,
) -> Sequence[Kept]:
    """Return the significant slices that the rule keeps."""
    if minimality == "noise":
        return noise_minimal(
            search.lattice.combos,
            present=search.present,
            outcome=search.outcome,
            candidates=significant,
            lower=search.lattice.gap < 0,
            p_values=search.p_values,
            adjusted=adjusted,
            alpha=alpha,
            progress=progress,
        )
    rows = significant
    if minimality == "recursive":
        rows = rows[recursive_minimal(search.lattice, criteria=criteria)[rows]]
    elif minimality == "prime":
        rows = rows[prime_minimal(search.lattice, criteria=criteria, drop=drop)[rows]]
    return [
        Kept(
            row=int(row),
            tags=tuple(int(tag) for tag in search.lattice.combos[row] if tag >= 0),
            explained_by=None,
        )
        for row in rows
    ]


def _rank(one: SliceEffect) -> tuple[float, float, float, str, tuple[str, ...]]:
    return (one.p_adjusted, -lower_bound(one.gap), one.p, one.class_name or "", one.concepts)


def _row(
    search: ClassSearch, slices: Sequence[SliceEffect], min_support: int, alpha: float
) -> ClassRow:
    n, outcome = len(search.images), search.outcome
    mean = float(outcome.mean()) if n else math.nan

    def detectable(size: int) -> float:
        if search.reason or not 0 < size < n:
            return math.nan
        if outcome.dtype == np.bool_:
            return smallest_detectable_gap(size, n - size, mean, alpha=alpha, direction="both")
        spread = float(outcome.std(ddof=1))
        return smallest_detectable_mean_gap(size, n - size, spread, alpha=alpha)

    return ClassRow(
        name=search.images.name,
        n=n,
        mean=mean,
        tags=len(search.names),
        rare=search.rare,
        constant=search.constant,
        tested=len(search.lattice),
        found=sum(one.class_name == search.images.name for one in slices),
        smallest_detectable=detectable(n // 2),
        smallest_detectable_rare=detectable(min_support),
        reason=search.reason,
    )


def _notes(
    searches: Sequence[ClassSearch], *, adjustment: Adjustment, alpha: float, tested: int
) -> tuple[str, ...]:
    notes = []
    if adjustment == "none":
        notes.append(
            f"The p-values are not adjusted: of {tested:,} slices that are not biased at all, up "
            f"to {alpha * tested:,.0f} would still be expected at p <= {alpha:g}."
        )
    elif adjustment == "benjamini_hochberg":
        notes.append(f"About {100 * alpha:g} % of the slices found may be false.")
    if adjustment != "westfall_young" and any(s.images.groups is not None for s in searches):
        notes.append(
            "Near-duplicates count as separate images in these p-values; only Westfall-Young "
            "permutes them together."
        )
    return tuple(notes)
