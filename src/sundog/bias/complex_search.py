"""The search of one class: which tags can be combined, every combination of them, its p-value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from sundog.bias.class_images import ClassImages, Metric
from sundog.bias.complex_contrast import Outcome
from sundog.bias.complex_lattice import Lattice
from sundog.bias.search import count_slices, slice_p_values, sum_slices
from sundog.bias.strata_scores import NullLaw, null_law, stratum_moments, two_sided
from sundog.core.errors import InputError, UnknownNameError


@dataclass(frozen=True, eq=False)
class ClassSearch:
    """Every combination of tags of one class, before anything is filtered.

    Attributes:
        images: the class.
        names: the tags that were combined: carried by enough images, and not by all.
        present: ``bool[n, T']`` those tags.
        outcome: right or wrong, or the confidence.
        lattice: the combinations; none if there is a ``reason``.
        p_values: ``float64[m]`` two-sided, unadjusted: Fisher (accuracy) or the three-moment law of
            the permutation of the class (confidence).
        law: that law, for confidence; None for accuracy.
        rare: tags left out because fewer than the smallest support carry them.
        constant: tags left out because every image carries them.
        reason: why nothing was tested, or "".
    """

    images: ClassImages
    names: tuple[str, ...]
    present: Bool[np.ndarray, "images tags"]
    outcome: Outcome
    lattice: Lattice
    p_values: Float[np.ndarray, " slices"]
    law: NullLaw | None
    rare: int
    constant: int
    reason: str


def search_class(
    images: ClassImages,
    *,
    present: Bool[np.ndarray, "images tags"],
    names: Sequence[str],
    metric: Metric,
    max_tags: int,
    min_support: int,
    threads: int | None = None,
) -> ClassSearch:
    """Search all combinations of 1 to ``max_tags`` tags that ``min_support`` images carry.

    A tag that every image carries is left out: with it a combination has the images of the
    combination without it.

    Args:
        images: the class.
        present: ``bool[n, T]``.
        names: T tag names.
        metric: ``accuracy`` or ``confidence``.
        max_tags: the most tags in a combination.
        min_support: the fewest images of a combination.
        threads: for the kernel.

    Returns:
        The search; with a ``reason`` and no combination where nothing can be tested.
    """
    outcome = images.outcome(metric)
    support = present.sum(axis=0)
    n = len(images)
    everywhere, rare = (support == n) & (n > 0), support < min_support
    use = ~everywhere & ~rare
    kept = np.ascontiguousarray(present[:, use])
    reason = _reason(outcome, use, min_support=min_support)
    law: NullLaw | None = None
    if reason:
        lattice, p_values = _nothing(outcome, max_tags), np.empty(0)
    elif metric == "accuracy":
        lattice, p_values = _by_accuracy(kept, outcome, max_tags, min_support, threads)
    else:
        lattice, law = _by_confidence(kept, outcome, max_tags, min_support, threads)
        p_values = two_sided(law.scores(lattice.total))
    return ClassSearch(
        images=images,
        names=tuple(str(name) for name, used in zip(names, use, strict=True) if used),
        present=kept,
        outcome=outcome,
        lattice=lattice,
        p_values=p_values,
        law=law,
        rare=int((rare & ~everywhere).sum()),
        constant=int(everywhere.sum()),
        reason=reason,
    )


def check_tables(
    classes: Sequence[ClassImages],
    present: Mapping[str, Bool[np.ndarray, "images tags"]],
    tags: Mapping[str, Sequence[str]] | Sequence[str],
) -> list[tuple[ClassImages, np.ndarray[Any, np.dtype[np.bool_]], tuple[str, ...]]]:
    """Return each class with its table of tags and their names, or say what does not fit.

    Raises:
        UnknownNameError: a class without a table.
        InputError: a class twice, a table of another shape or type, names that repeat.
    """
    taken: list[tuple[ClassImages, np.ndarray[Any, np.dtype[np.bool_]], tuple[str, ...]]] = []
    seen: set[str] = set()
    if isinstance(tags, str):
        raise InputError("tags", expected="a list of names", got="one string")
    for one in classes:
        if one.name in seen:
            raise InputError("classes", expected="distinct", got=f"{one.name!r} twice")
        seen.add(one.name)
        for what, table in (("present", present), ("tags", tags)):
            if isinstance(table, Mapping) and one.name not in table:
                raise UnknownNameError(f"{what}: class", one.name, map(str, table))
        names = tuple(str(name) for name in (tags[one.name] if isinstance(tags, Mapping) else tags))
        if len(set(names)) != len(names):
            raise InputError(
                f"tags of class {one.name!r}",
                expected="distinct",
                got=f"{len(names) - len(set(names))} repeated",
            )
        matrix = np.asarray(present[one.name])
        if matrix.dtype != np.bool_ or matrix.shape != (len(one), len(names)):
            raise InputError(
                f"present of class {one.name!r}",
                expected=f"bool[{len(one)}, {len(names)}], one row per image, one column per tag",
                got=f"{matrix.dtype}{list(matrix.shape)}",
            )
        taken.append((one, matrix, names))
    return taken


def _reason(outcome: Outcome, use: Any, *, min_support: int) -> str:
    if outcome.size == 0:
        return "no image"
    if outcome.size <= min_support:
        return f"only {outcome.size} images: a slice of {min_support} leaves no others"
    if outcome.dtype == np.bool_ and outcome.all():
        return "every image is right"
    if outcome.dtype == np.bool_ and not outcome.any():
        return "every image is wrong"
    if outcome.min() == outcome.max():
        return "every image has the same confidence"
    if not use.any():
        return f"no tag is carried by {min_support} images or more and missing on another"
    return ""


def _by_accuracy(
    present: Any, outcome: Outcome, max_tags: int, min_support: int, threads: int | None
) -> tuple[Lattice, Any]:
    counts = count_slices(
        present, outcome, max_tags=max_tags, min_support=min_support, threads=threads
    )
    hits = counts.hits.astype(np.float64)
    lattice = Lattice(
        combos=counts.combos,
        support=counts.support,
        total=hits,
        images=counts.images,
        class_total=float(counts.correct),
    )
    return lattice, slice_p_values(counts)


def _by_confidence(
    present: Any, outcome: Outcome, max_tags: int, min_support: int, threads: int | None
) -> tuple[Lattice, NullLaw]:
    sums = sum_slices(present, outcome, max_tags=max_tags, min_support=min_support, threads=threads)
    lattice = Lattice(
        combos=sums.combos,
        support=sums.support,
        total=sums.sums + sums.centre * sums.support,
        images=sums.images,
        class_total=float(outcome.sum()),
    )
    one_class = np.zeros(outcome.size, dtype=np.int64)
    return lattice, null_law(sums.support[:, None], stratum_moments(outcome, one_class, count=1))


def _nothing(outcome: Outcome, max_tags: int) -> Lattice:
    return Lattice(
        combos=np.empty((0, max_tags), dtype=np.int32),
        support=np.empty(0, dtype=np.int64),
        total=np.empty(0),
        images=outcome.size,
        class_total=float(outcome.sum()),
    )
