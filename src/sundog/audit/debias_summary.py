"""From the answers of every seed to one number per method: before, after, and what changed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from sundog.audit.debias_measure import Measured, changes_of, scores_of
from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.debias.registry import METHODS
from sundog.report.debias_content import MethodResult

LOWER_IS_BETTER = ("gap", "ece", "flip_rate")


@dataclass(frozen=True, eq=False)
class Answers:
    """What one method's models of all seeds answered.

    Attributes:
        validation: one per seed.
        test: one per seed.
        seconds: wall time of training or refit, one per seed.
        notes: sentences to show.
    """

    validation: Sequence[Measured]
    test: Sequence[Measured]
    seconds: Sequence[float] = ()
    notes: Sequence[str] = ()


FEW_SEEDS = 3
"""With fewer, a spread over seeds has no useful interval: it is over images alone, and says so."""


def join_seeds(found: Sequence[Estimate], *, spread: bool = True) -> Estimate:
    """Return the mean over seeds, with an interval over images and seeds.

    The seeds share the test images, so that the uncertainty of the images does not shrink with
    their number, while that of the training does. With v_s the values and l_s, u_s the half-widths
    to either side, ``half² = mean_s l_s² + t²_{S-1} sd² / S`` (likewise above). With fewer than
    three seeds, or without ``spread``, the second term is left out.

    Args:
        found: one per seed, of the same images.
        spread: False: the interval is about these very models, not about trainings to come.

    Raises:
        InputError: none.
    """
    if not found:
        raise InputError("Estimates over seeds", expected="at least one", got="none")
    values = np.array([e.value for e in found])
    level, n, count = found[0].level, found[0].n, len(found)
    mean = float(values.mean())
    over_seeds = spread and count >= FEW_SEEDS
    method = f"images and {count} seeds" if over_seeds else f"images, mean of {count} seeds"
    if math.isnan(mean):
        return Estimate(mean, math.nan, math.nan, n, level, method)
    extra = 0.0
    if over_seeds:
        t = float(stats.t.ppf(0.5 + level / 2, count - 1))
        extra = t**2 * float(values.var(ddof=1)) / count
    below = np.array([e.value - e.low for e in found])
    above = np.array([e.high - e.value for e in found])
    low = mean - math.sqrt(float((below**2).mean()) + extra)
    high = mean + math.sqrt(float((above**2).mean()) + extra)
    return Estimate(mean, low, high, n, level, method)


def method_result(
    name: str,
    answers: Answers,
    before: Answers | None,
    names: Sequence[str],
    class_names: Sequence[str],
) -> MethodResult:
    """Return the scores of a method on the test images, and its paired changes."""
    per_seed = [scores_of(found, names, class_names) for found in answers.test]
    scores: dict[str, Estimate | float] = {
        key: _bounded(join_seeds([scores[key] for scores, _ in per_seed])) for key in per_seed[0][0]
    }
    if answers.seconds:
        scores["seconds"] = float(np.mean(answers.seconds))
    groups: dict[str, Estimate | float] = {
        group: _bounded(join_seeds([g.groups[i].accuracy for _, g in per_seed]))
        for i, group in enumerate(names)
        if per_seed[0][1].groups[i].n
    }
    change: dict[str, Estimate] = {}
    if before is not None:
        pairs = [
            changes_of(old, new, names, class_names)[0]
            for old, new in zip(before.test, answers.test, strict=True)
        ]
        change = {key: join_seeds([pair[key] for pair in pairs]) for key in pairs[0]}
    row = METHODS.get(name)
    return MethodResult(
        name=name,
        scores=scores,
        change=change,
        groups=groups,
        needs=row.needs if row is not None else (),
        seeds=len(answers.test),
        source=row.paper if row is not None else "",
        note=" ".join(dict.fromkeys(answers.notes)),
    )


def _bounded(found: Estimate) -> Estimate:
    """Keep a share in [0, 1]; joined intervals may pass the ends."""
    return Estimate(
        found.value,
        max(0.0, found.low),
        min(1.0, found.high),
        found.n,
        found.level,
        found.method,
    )


@dataclass(frozen=True, eq=False)
class Choice:
    """Which method is kept, decided on the validation images alone.

    Attributes:
        name: of the method; empty for none.
        worst: method → validation accuracy of its worst group (worst class without groups).
        change: method → paired change of it against the model before.
        statement: how it was chosen, in a sentence.
        reason: why, in a sentence.
    """

    name: str
    worst: Mapping[str, Estimate]
    change: Mapping[str, Estimate] = field(default_factory=dict)
    statement: str = ""
    reason: str = ""


def choose(
    before: Answers,
    after: Mapping[str, Answers],
    names: Sequence[str],
    class_names: Sequence[str],
    *,
    grouped: bool,
    plain: Answers | None = None,
    trained: Collection[str] = (),
    level: float = 0.95,
) -> Choice:
    """Choose the method with the best worst group on the validation images, or none.

    A method is kept only if its paired change is above 0 for every seed, and its mean interval over
    the validation images, Bonferroni-corrected over the methods that were tried, lies above 0: on
    a model without the bias nothing is changed. A method that trains on must pass both tests
    against plain training for as long, too: more training is no repair.

    Args:
        before: answers of the model before.
        after: method → answers; on the validation images, of heads that had not seen them.
        names: of the groups.
        class_names: in order of the labels.
        grouped: whether groups are known; else they are the classes.
        plain: answers after plain training for the same number of steps; None if there was none.
        trained: methods that are compared with it.
        level: confidence level.
    """
    strict = 1 - (1 - level) / max(len(after), 1)
    worst: dict[str, Estimate] = {}
    change: dict[str, Estimate] = {}
    sure, no_repair = [], []
    for name, answers in after.items():
        per_seed = [scores_of(m, names, class_names)[0]["worst_group"] for m in answers.validation]
        worst[name] = join_seeds(per_seed)
        change[name], better = _gain(before, answers, names, class_names, level=strict)
        if better and plain is not None and name in trained:
            better = _gain(plain, answers, names, class_names, level=strict)[1]
            no_repair += [] if better else [name]
        sure += [name] if better else []
    part = "worst group" if grouped else "worst class"
    n = len(before.validation[0].labels)
    statement = (
        f"Methods were chosen by the accuracy of the {part} on {n} validation images (heads that "
        "are refitted on these answer about each half after a fit on the other); the numbers on "
        "this page are over test images that took no part in any choice."
    )
    if not sure:
        reason = (
            f"on the validation images no method improves the {part} by more than its interval "
            f"(corrected for {len(after)} methods)"
        )
        if no_repair:
            reason += f"; {', '.join(no_repair)} no more than plain training for as long does"
        return Choice("", worst, change, statement, reason)
    best = max(sure, key=lambda name: worst[name].value)
    gained = change[best]
    return Choice(
        best,
        worst,
        change,
        statement,
        f"on the validation images {best} has the best {part}: {worst[best].value:.1%}, a change "
        f"of {100 * gained.value:+.1f} points [{100 * gained.low:+.1f}, {100 * gained.high:+.1f}]",
    )


def _gain(
    old: Answers, new: Answers, names: Sequence[str], class_names: Sequence[str], *, level: float
) -> tuple[Estimate, bool]:
    """Return the change of the worst group on the validation images, and whether it is sure."""
    pairs = [
        changes_of(first, second, names, class_names, level=level)[0]["worst_group"]
        for first, second in zip(old.validation, new.validation, strict=True)
    ]
    mean = join_seeds(pairs, spread=False)
    return mean, mean.low > 0 and all(pair.value > 0 for pair in pairs)
