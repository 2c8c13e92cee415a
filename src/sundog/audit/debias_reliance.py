"""Does the model before rely on a cue at all: the question before anything is mended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from sundog.audit.debias_measure import Measured
from sundog.audit.debias_summary import Answers, join_seeds
from sundog.core.statistics import Estimate, proportion_difference, wilson_interval


def relies_on_cue(
    before: Answers,
    names: Sequence[str],
    class_names: Sequence[str],
    *,
    grouped: bool,
    tolerated_flips: float,
    level: float = 0.95,
) -> tuple[bool | None, str]:
    """Say whether the models before show a bias on the validation images, and why.

    Groups are compared within their class: classes of which one is harder than the other are no
    bias. Numbers are means over the seeds.

    Args:
        before: answers of the model of each seed.
        names: of the groups: class x attribute, the attribute fastest.
        class_names: in order of the labels.
        grouped: whether the groups are class x attribute; else they are the classes.
        tolerated_flips: flip rate up to which a model counts as not relying on the cue.
        level: confidence level.

    Returns:
        True, False, or None if neither groups that can be compared nor an editable cue are known;
        and a sentence.
    """
    found, said = [], []
    runs = before.validation
    if grouped:
        gaps = [gap_within_classes(m, len(names), len(class_names), level=level) for m in runs]
        if all(gap is not None for gap in gaps):
            gap = join_seeds([gap for gap in gaps if gap is not None], spread=False)
            found.append(gap.low > 0)
            said.append(
                f"within a class the accuracies of the groups differ by up to "
                f"{100 * gap.value:.1f} points [{100 * max(gap.low, 0):.1f}, "
                f"{100 * min(gap.high, 1):.1f}]"
            )
    rates = [rate for m in runs if (rate := _flips(m, level=level)) is not None]
    if rates:
        flips = join_seeds(rates, spread=False)
        found.append(flips.low > tolerated_flips)
        said.append(
            f"the cue of another class changes {flips.value:.1%} [{max(flips.low, 0):.1%}, "
            f"{min(flips.high, 1):.1%}] of the predictions"
        )
    if not found:
        what = "no class has images of two groups" if grouped else "groups are not known"
        return None, f"{what}, and there is no mask of the cue"
    seeds = f", mean of {len(runs)} seeds" if len(runs) > 1 else ""
    return any(found), f"{' and '.join(said)} (n = {len(runs[0].labels)}{seeds})"


def gap_within_classes(
    found: Measured, groups: int, classes: int, *, level: float = 0.95
) -> Estimate | None:
    """Return the largest difference of accuracy between two groups of one class.

    Newcombe's intervals of all pairs of groups of one class, Bonferroni-corrected for their number;
    the ends are the largest lower and the largest upper one, so the interval reaches 0 if no two
    groups can be told apart.

    Args:
        found: answers, with groups ``class * attributes + attribute``; -1 is left out.
        groups: number of groups, those without images too.
        classes: number of classes.
        level: confidence level.

    Returns:
        In [0, 1]; None if no class has images of two groups.

    Source: Newcombe, 1998, Statistics in Medicine 17, 873-890.
    """
    kinds = groups // classes
    known = found.groups >= 0
    right = found.probabilities.argmax(axis=1) == found.labels
    sizes = np.bincount(found.groups[known], minlength=groups)
    hits = np.bincount(found.groups[known & right], minlength=groups)
    pairs = [
        (a, b)
        for first in range(0, groups, kinds)
        for a, b in combinations(range(first, first + kinds), 2)
        if sizes[a] and sizes[b]
    ]
    if not pairs:
        return None
    each = 1 - (1 - level) / len(pairs)
    made = [
        proportion_difference(int(hits[i]), int(sizes[i]), int(hits[j]), int(sizes[j]), level=each)
        for a, b in pairs
        for i, j in ((a, b), (b, a))
    ]
    return Estimate(
        max(e.value for e in made),
        max(0.0, *(e.low for e in made)),
        max(e.high for e in made),
        int(sizes.sum()),
        level,
        "newcombe, simultaneous",
    )


def _flips(found: Measured, *, level: float) -> Estimate | None:
    if found.without is None or found.against is None:
        return None
    changed = found.without.argmax(axis=1) != found.against.argmax(axis=1)
    return wilson_interval(int(changed.sum()), changed.size, level=level)
