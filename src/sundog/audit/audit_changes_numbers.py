"""The numbers of before and after: paired, with intervals that hold together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int64, Shaped

from sundog.bias.strata_tables import mantel_haenszel_gap, tabulate
from sundog.core.audit.cues import CueRecord
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Change
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.wording import images_of
from sundog.core.statistics import (
    Estimate,
    mean_interval,
    paired_difference,
    paired_proportions,
    proportion_difference,
    welch_gap,
    wilson_interval,
)

Hits = Bool[np.ndarray, "images"]


def slice_changes(
    finding: Finding, rows: pd.DataFrame, *, level: float, tests: int
) -> tuple[Change, Change]:
    """Return the change of the images with the concept, and of the gap to those without it.

    The gap is counted so that it is positive where the finding said that the classifier is worse:
    a repair lowers it. That of a finding over all classes compares images inside their own class
    (Mantel-Haenszel), as the finding did; its change is the gap of the changes, with an interval no
    narrower than that of all classes in one.

    Args:
        finding: of the earlier audit.
        rows: its images: present, correct and confidence of before and after, and the class
            (``label_after``).
        level: of the intervals.
        tests: numbers that the intervals of the differences are divided over.
    """
    present = rows["present"].to_numpy(dtype=bool)
    strict = 1 - (1 - level) / tests
    column = "correct" if finding.effect.metric == "accuracy" else "confidence"
    old, new = (rows[f"{column}_{when}"].to_numpy() for when in ("before", "after"))
    if finding.effect.metric == "accuracy":
        old, new = old.astype(bool), new.astype(bool)
        with_it = paired_proportions(new[present], old[present], level=strict).difference
        without = paired_proportions(new[~present], old[~present], level=strict).difference
        before, after = _share(old[present], level), _share(new[present], level)
        gaps = [_gap(values, present, level) for values in (old, new)]
    else:
        old, new = old.astype(np.float64), new.astype(np.float64)
        with_it = _mean_change(new[present], old[present], strict)
        without = _mean_change(new[~present], old[~present], strict)
        before = mean_interval(old[present], level=level)
        after = mean_interval(new[present], level=level)
        gaps = [welch_gap(v[present], v[~present], level=level) for v in (old, new)]
    change = minus(with_it, without)
    if finding.kind == "across":
        strata = rows["label_after"].to_numpy(np.int64)
        gaps = [within_classes(values, present, strata, level) for values in (old, new)]
        moved = new.astype(np.float64) - old.astype(np.float64)
        change = no_narrower(within_classes(moved, present, strata, strict), change)
    worse_with = gaps[0].value < 0 if finding.direction == "none" else finding.direction == "hurts"
    sign = -1 if worse_with else 1
    what = _slice_name(finding)
    metric = finding.effect.metric
    return (
        Change(
            what=f"{metric} of {what}",
            kind="slice",
            before=Measured.of(before),
            after=Measured.of(after),
            difference=Measured.of(_simultaneous(with_it, tests)),
        ),
        Change(
            what=f"gap in {metric} {'against' if worse_with else 'in favour of'} {what}",
            kind="slice",
            before=Measured.of(signed(gaps[0], sign)),
            after=Measured.of(signed(gaps[1], sign)),
            difference=Measured.of(_simultaneous(signed(change, sign), tests)),
            better="lower",
        ),
    )


def cue_changes(
    cue: CueRecord, then: pd.DataFrame, now: pd.DataFrame, *, level: float, tests: int
) -> tuple[Change, Change]:
    """Return the change of the predictions that follow a cue, and of the accuracy on it.

    Args:
        cue: of the earlier audit.
        then: flips, control, intact and swapped of each pair before.
        now: of the same pairs after.
        level: of the intervals.
        tests: numbers that the intervals of the differences are divided over.
    """
    strict = 1 - (1 - level) / tests
    old, new = ({name: frame[name].to_numpy(dtype=bool) for name in frame} for frame in (then, now))
    flips = paired_proportions(new["flips"], old["flips"], level=strict).difference
    intact = paired_proportions(new["intact"], old["intact"], level=strict).difference
    swapped = paired_proportions(new["swapped"], old["swapped"], level=strict).difference
    reliance = [
        paired_proportions(side["intact"], side["swapped"], level=level).difference
        for side in (old, new)
    ]
    shown = f"'{cue.name}' ({_few(cue.classes)})"
    return (
        Change(
            what=f"predictions that follow the cue {shown}",
            kind="cue",
            before=Measured.of(_share(old["flips"], level)),
            after=Measured.of(_share(new["flips"], level)),
            difference=Measured.of(_simultaneous(flips, tests)),
            better="lower",
        ),
        Change(
            what=f"accuracy that hangs on the cue {shown}",
            kind="cue",
            before=Measured.of(reliance[0]),
            after=Measured.of(reliance[1]),
            difference=Measured.of(_simultaneous(minus(intact, swapped), tests)),
            better="lower",
        ),
    )


def minus(a: Estimate, b: Estimate) -> Estimate:
    """Return ``a - b`` with an interval from both: ``low = d - hypot(a - a_low, b_high - b)``.

    Right for independent estimates, wide for those that go up and down together.

    Source: Zou & Donner, 2008, Statistics in Medicine 27 (MOVER).
    """
    difference = a.value - b.value
    return Estimate(
        difference,
        difference - math.hypot(a.value - a.low, b.high - b.value),
        difference + math.hypot(a.high - a.value, b.value - b.low),
        a.n if a.n == b.n else a.n + b.n,
        a.level,
        "mover",
    )


def within_classes(
    values: Shaped[np.ndarray, "images"],
    present: Hits,
    strata: Int64[np.ndarray, "images"],
    level: float,
) -> Estimate:
    """Return present - absent, images compared inside their own class only."""
    _, codes = np.unique(strata, return_inverse=True)
    table = tabulate(present, ~present, values, codes, count=int(codes.max()) + 1)
    return mantel_haenszel_gap(table, level=level)


def no_narrower(found: Estimate, other: Estimate) -> Estimate:
    """Return the first estimate; its interval reaches as far to either side as the other's."""
    below = max(found.value - found.low, other.value - other.low)
    above = max(found.high - found.value, other.high - other.value)
    return replace(found, low=found.value - below, high=found.value + above)


def signed(found: Estimate, sign: int) -> Estimate:
    """Return the estimate or, with sign -1, its negative."""
    if sign > 0:
        return found
    return replace(found, value=-found.value, low=-found.high, high=-found.low)


def _gap(hits: Hits, present: Hits, level: float) -> Estimate:
    inside, outside = hits[present], hits[~present]
    return proportion_difference(
        int(inside.sum()), inside.size, int(outside.sum()), outside.size, level=level
    )


def _mean_change(
    new: Float[np.ndarray, "images"], old: Float[np.ndarray, "images"], level: float
) -> Estimate:
    return paired_difference(new, old, level=level, permutations=99).difference


def _share(hits: Hits, level: float) -> Estimate:
    return wilson_interval(int(hits.sum()), hits.size, level=level)


def _simultaneous(found: Estimate, tests: int) -> Estimate:
    return replace(found, method=f"{found.method}, simultaneous over {tests}")


def _slice_name(finding: Finding) -> str:
    return f"{images_of(finding.class_name)} with {' + '.join(finding.concepts)}"


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
