"""How well a classifier does in every group of images, and in the worst one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.notebook import Card, InNotebook
from sundog.core.seeds import derive_seed
from sundog.core.statistics import Estimate, mean_interval, wilson_interval
from sundog.core.statistics.estimate import check_level
from sundog.models.calibration import ImageScores, image_scores
from sundog.models.calibration_interval import RESAMPLES, calibration_interval
from sundog.models.group_extremes import largest_gap, lowest_proportion, mean_of_proportions

SMALL = 30
"""Groups with fewer images are flagged: their numbers are rough."""


@dataclass(frozen=True)
class GroupScore:
    """The scores of the images of one group (or of all images).

    Attributes:
        name: the group's.
        n: number of images; 0: every number below is NaN.
        small: fewer than 30 images.
        accuracy: share of right predictions, Wilson interval.
        precision: mean over the classes with images in the group of the share of right ones among
            the images predicted as the class; 0 for a class that is never predicted. NaN if the
            group holds one class only: there it is 1 by construction.
        recall: mean over the classes with images in the group of the share predicted right: the
            balanced accuracy of the group.
        nll: mean negative log-likelihood in nats, t interval; lower is better.
        brier: mean Brier score (sum over classes, 0 to 2), t interval; lower is better.
        ece: expected calibration error (15 bins), bootstrap interval; lower is better.
    """

    name: str
    n: int
    small: bool
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    nll: Estimate
    brier: Estimate
    ece: Estimate


@dataclass(frozen=True)
class ClassScore:
    """Recall and precision of one class over all images, with Wilson intervals.

    Attributes:
        name: the class's.
        recall: share of its images that are predicted right; ``n`` images of the class.
        precision: share of right ones among ``n`` images predicted as it; NaN if there is none.
    """

    name: str
    recall: Estimate
    precision: Estimate


@dataclass(frozen=True, repr=False)
class GroupScores(InNotebook):
    """Scores per group, per class, and of the worst.

    Attributes:
        overall: all images, those of unknown group too.
        groups: one entry per group name, in their order; empty groups too.
        classes: one entry per class.
        adjusted: mean accuracy over the groups that have images, each counted once.
        worst_group: name of the group with the lowest accuracy (of equal ones the first); "" if no
            group has images.
        worst: its accuracy, with a simultaneous interval: of the lowest of the true accuracies,
            whichever group it is. A plain interval of the group that happened to come out worst
            would be too low.
        best_group: name of the group with the highest accuracy.
        gap: highest minus lowest accuracy, with a simultaneous interval of the same kind.
        variance: of the groups' accuracies in squared percentage points, ddof = 1; NaN for one.
        noise_variance: the part of it that sampling alone explains,
            ``mean_g p_g (1 - p_g) / (n_g - 1)`` in squared percentage points.
        worst_class: name of the class with the lowest recall.
        worst_recall: its recall, simultaneous interval.
        empty: groups without an image.
        small: groups with 1 to 29 images.
        unknown: images of no known group (-1); in ``overall`` only.
        level: confidence level of each interval.
    """

    overall: GroupScore
    groups: tuple[GroupScore, ...]
    classes: tuple[ClassScore, ...]
    adjusted: Estimate
    worst_group: str
    worst: Estimate
    best_group: str
    gap: Estimate
    variance: float
    noise_variance: float
    worst_class: str
    worst_recall: Estimate
    empty: tuple[str, ...]
    small: tuple[str, ...]
    unknown: int
    level: float

    @property
    def average(self) -> Estimate:
        """Accuracy over all images."""
        return self.overall.accuracy

    @property
    def balanced_accuracy(self) -> Estimate:
        """Mean recall over the classes that have images."""
        return self.overall.recall

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON: dictionaries, lists and numbers, NaN as None."""
        plain: dict[str, Any] = without_nan(asdict(self))
        return plain

    def table(self) -> pd.DataFrame:
        """Return one row per group, the last named ``all``; estimates as value, _low and _high."""
        rows = []
        for score in (*self.groups, self.overall):
            row: dict[str, Any] = {"group": score.name, "n": score.n, "small": score.small}
            for name in ("accuracy", "precision", "recall", "nll", "brier", "ece"):
                estimate: Estimate = getattr(score, name)
                row |= {
                    name: estimate.value,
                    f"{name}_low": estimate.low,
                    f"{name}_high": estimate.high,
                }
            rows.append(row)
        return pd.DataFrame(rows)

    def _card(self) -> Card:
        rows = [
            {"group": s.name, "n": s.n, "accuracy": s.accuracy, "ece": s.ece, "small": s.small}
            for s in (
                self.overall,
                *sorted(self.groups, key=lambda s: (s.n == 0, s.accuracy.value)),
            )
        ]
        return Card(
            headline=f"Accuracy {self.average}; worst group: {self.worst_group or 'none'}, "
            f"{self.worst}",
            facts={"gap": self.gap, "images of no known group": self.unknown},
            tables=[("All images, then groups, lowest accuracy first", pd.DataFrame(rows))],
        )


def group_scores(
    probabilities: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    group_names: Sequence[str],
    *,
    class_names: Sequence[str],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> GroupScores:
    """Return accuracy, precision, recall and calibration of every group, and the worst group.

    The interval of the worst accuracy runs from the lowest lower to the lowest upper end of Wilson
    intervals that hold for all groups at once (Sidak: each at ``level^(1/groups)``); that of the
    gap from the largest lower to the largest upper end of Newcombe's intervals over all ordered
    pairs (Bonferroni). Both hold whichever groups are truly best and worst, and are a little wide.
    The interval of the gap reaches 0 if no two groups can be told apart.

    Args:
        probabilities: ``[n, classes]``, rows sum to 1.
        labels: ``int[n]`` in 0 .. classes - 1.
        groups: ``int[n]``, position in ``group_names``; -1: unknown.
        group_names: one per group, all different.
        class_names: one per column of the probabilities.
        level: confidence level of each interval.
        resamples: bootstrap samples for the calibration errors; 0 leaves out these intervals.
        seed: for the bootstrap. The order of the images does not matter.

    Raises:
        InputError: probabilities, labels or groups that do not fit, names given twice.

    Source: Wilson, 1927; Newcombe, 1998, Statistics in Medicine 17; Sidak, 1967, JASA 62; Zou &
    Donner, 2008, Statistics in Medicine 27 (means of proportions); Sagawa et al., 2020, arXiv
    1911.08731 (worst-group accuracy).
    """
    level = check_level(level)
    scores = image_scores(probabilities, labels)
    known = np.asarray(labels, dtype=np.int64)
    member = check_groups(groups, group_names, count=known.size)
    check_class_names(class_names, probabilities)

    def score(name: str, rows: Bool[np.ndarray, " n"]) -> GroupScore:
        return _score(name, scores, known, rows, level=level, resamples=resamples, seed=seed)

    each = tuple(score(name, member == index) for index, name in enumerate(group_names))
    filled = [entry for entry in each if entry.n]
    hits = [round(entry.accuracy.value * entry.n) for entry in filled]
    sizes = [entry.n for entry in filled]
    shares = np.array([entry.accuracy.value for entry in filled])
    classes = _classes(scores.prediction, known, class_names, level=level)
    present = [entry for entry in classes if entry.recall.n]
    recalls = [round(entry.recall.value * entry.recall.n) for entry in present]
    supports = [entry.recall.n for entry in present]
    lowest = _first([entry.recall.value for entry in present], smallest=True)
    noise = [p * (1 - p) / (n - 1) for p, n in zip(shares, sizes, strict=True) if n > 1]
    return GroupScores(
        overall=score("all", np.ones(known.size, dtype=bool)),
        groups=each,
        classes=classes,
        adjusted=mean_of_proportions(hits, sizes, level=level),
        worst_group=filled[_first(shares, smallest=True)].name if filled else "",
        worst=lowest_proportion(hits, sizes, level=level),
        best_group=filled[_first(shares, smallest=False)].name if filled else "",
        gap=largest_gap(hits, sizes, level=level),
        variance=float((100 * shares).var(ddof=1)) if len(filled) > 1 else math.nan,
        noise_variance=1e4 * float(np.mean(noise)) if noise else math.nan,
        worst_class=present[lowest].name if present else "",
        worst_recall=lowest_proportion(recalls, supports, level=level),
        empty=tuple(entry.name for entry in each if not entry.n),
        small=tuple(entry.name for entry in filled if entry.small),
        unknown=int((member < 0).sum()),
        level=level,
    )


def _score(
    name: str,
    scores: ImageScores,
    labels: Int[np.ndarray, " n"],
    rows: Bool[np.ndarray, " n"],
    *,
    level: float,
    resamples: int,
    seed: int,
) -> GroupScore:
    n = int(rows.sum())
    truth, guess = labels[rows], scores.prediction[rows]
    present = np.unique(truth)
    hits = [int(((truth == c) & (guess == c)).sum()) for c in present]
    supports = [int((truth == c).sum()) for c in present]
    chosen = [int((guess == c).sum()) for c in present]
    nothing = Estimate(math.nan, math.nan, math.nan, n, level, "mover")
    return GroupScore(
        name=name,
        n=n,
        small=n < SMALL,
        accuracy=wilson_interval(sum(hits), n, level=level),
        precision=(mean_of_proportions(hits, chosen, level=level) if len(present) > 1 else nothing),
        recall=mean_of_proportions(hits, supports, level=level),
        nll=mean_interval(scores.nll[rows], level=level, at_least=0.0),
        brier=mean_interval(scores.brier[rows], level=level, at_least=0.0),
        ece=calibration_interval(
            scores.confidence[rows],
            scores.correct[rows],
            level=level,
            resamples=resamples,
            seed=derive_seed(seed, "ece", name),
        ),
    )


def _classes(
    guess: Int[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    *,
    level: float,
) -> tuple[ClassScore, ...]:
    k = len(class_names)
    hits = np.bincount(truth[guess == truth], minlength=k)
    supports, chosen = np.bincount(truth, minlength=k), np.bincount(guess, minlength=k)
    return tuple(
        ClassScore(
            name=name,
            recall=wilson_interval(int(hits[c]), int(supports[c]), level=level),
            precision=wilson_interval(int(hits[c]), int(chosen[c]), level=level),
        )
        for c, name in enumerate(class_names)
    )


def check_groups(
    groups: ArrayLike, group_names: Sequence[str], *, count: int
) -> Int[np.ndarray, " n"]:
    """Return the groups as int64.

    Raises:
        InputError: another number of images, not integers, outside -1 .. names - 1, double names.
    """
    member = np.asarray(groups)
    if member.shape != (count,) or (count and member.dtype.kind not in "iu"):
        raise InputError(
            "groups",
            expected=f"{count} integers, one per image",
            got=f"{member.dtype}{list(member.shape)}",
        )
    if len(set(group_names)) != len(group_names):
        raise InputError("group_names", expected="all different", got="a name given twice")
    whole = member.astype(np.int64)
    wrong = int(((whole < -1) | (whole >= len(group_names))).sum())
    if wrong:
        raise InputError(
            "groups",
            expected=f"between -1 (unknown) and {len(group_names) - 1}",
            got=f"{wrong} others",
        )
    return whole


def check_class_names(class_names: Sequence[str], probabilities: ArrayLike) -> None:
    """Refuse a number of class names other than the columns of the probabilities.

    Raises:
        InputError: says both numbers.
    """
    columns = np.shape(probabilities)[1]
    if len(class_names) != columns:
        raise InputError(
            "class_names", expected=f"{columns}, one per column", got=str(len(class_names))
        )


def _first(values: ArrayLike, *, smallest: bool) -> int:
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        return 0
    return int(array.argmin() if smallest else array.argmax())


def without_nan(value: Any) -> Any:
    """Return nested dictionaries and lists with NaN and infinity as None, for JSON."""
    if isinstance(value, dict):
        return {key: without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
