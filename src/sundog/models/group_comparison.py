"""Two classifiers on the same images: what changed on average, in every group, in the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.notebook import Card, InNotebook
from sundog.core.statistics import Estimate, mean_interval, paired_proportions
from sundog.models.calibration import ImageScores, image_scores
from sundog.models.calibration_interval import RESAMPLES
from sundog.models.group_extremes import mean_of_differences
from sundog.models.group_resampling import (
    change_of_error,
    change_of_gap,
    change_of_lowest,
    quantile_interval,
    resample_pairs,
)
from sundog.models.group_scores import (
    GroupScores,
    check_groups,
    group_scores,
    without_nan,
)


@dataclass(frozen=True)
class GroupChange:
    """How the accuracy of one group changed.

    Attributes:
        name: the group's.
        n: number of images.
        small: fewer than 30 images.
        accuracy: after minus before on the same images (Newcombe, paired); > 0: better.
        p_value: McNemar's exact test, not corrected for the number of groups.
        gained: images that only ``after`` gets right.
        lost: images that only ``before`` gets right.
    """

    name: str
    n: int
    small: bool
    accuracy: Estimate
    p_value: float
    gained: int
    lost: int


@dataclass(frozen=True, repr=False)
class GroupComparison(InNotebook):
    """After minus before on the same images; each difference with its interval.

    Attributes:
        before: scores of the first classifier.
        after: scores of the second.
        groups: the change of each group, in the order of the names; empty groups too.
        average: difference of the accuracy over all images; > 0: better.
        adjusted: of the mean accuracy over groups; > 0: better.
        balanced_accuracy: of the mean recall over classes; > 0: better.
        precision: of the mean precision over classes; > 0: better.
        worst: of the worst group's accuracy (each classifier's own worst group); > 0: better.
        worst_recall: of the worst class's recall; > 0: better.
        gap: of the highest minus lowest accuracy; < 0: better.
        nll: of the negative log-likelihood; < 0: better.
        brier: of the Brier score; < 0: better.
        ece: of the expected calibration error; < 0: better.
        p_value: McNemar's exact test over all images.
        changed: images that the two classifiers answer differently.
    """

    before: GroupScores
    after: GroupScores
    groups: tuple[GroupChange, ...]
    average: Estimate
    adjusted: Estimate
    balanced_accuracy: Estimate
    precision: Estimate
    worst: Estimate
    worst_recall: Estimate
    gap: Estimate
    nll: Estimate
    brier: Estimate
    ece: Estimate
    p_value: float
    changed: int

    def table(self) -> pd.DataFrame:
        """Return one row per score: before, after, difference, low, high, n and the method."""
        pairs = {
            "average accuracy": (self.before.average, self.after.average, self.average),
            "mean over groups": (self.before.adjusted, self.after.adjusted, self.adjusted),
            "worst group": (self.before.worst, self.after.worst, self.worst),
            "gap": (self.before.gap, self.after.gap, self.gap),
            "balanced accuracy": (
                self.before.balanced_accuracy,
                self.after.balanced_accuracy,
                self.balanced_accuracy,
            ),
            "worst class": (self.before.worst_recall, self.after.worst_recall, self.worst_recall),
        }
        for name in ("precision", "nll", "brier", "ece"):
            pairs[name] = (
                getattr(self.before.overall, name),
                getattr(self.after.overall, name),
                getattr(self, name),
            )
        for old, new, change in zip(
            self.before.groups, self.after.groups, self.groups, strict=True
        ):
            pairs[f"group {change.name}"] = (old.accuracy, new.accuracy, change.accuracy)
        return pd.DataFrame(
            [
                {
                    "score": name,
                    "before": before.value,
                    "after": after.value,
                    "difference": difference.value,
                    "low": difference.low,
                    "high": difference.high,
                    "n": difference.n,
                    "method": difference.method,
                }
                for name, (before, after, difference) in pairs.items()
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON, NaN as None."""
        plain: dict[str, Any] = without_nan(
            asdict(self) | {"before": self.before.to_dict(), "after": self.after.to_dict()}
        )
        return plain

    def _card(self) -> Card:
        return Card(
            headline=f"Accuracy {self.average.value:+.3f} [{self.average.low:+.3f}, "
            f"{self.average.high:+.3f}]; worst group {self.worst.value:+.3f} "
            f"[{self.worst.low:+.3f}, {self.worst.high:+.3f}]",
            facts={"images answered differently": self.changed, "McNemar's p": self.p_value},
            tables=[("After minus before, on the same images", self.table())],
        )


def compare_group_scores(
    before: ArrayLike,
    after: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    group_names: Sequence[str],
    *,
    class_names: Sequence[str],
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> GroupComparison:
    """Compare two classifiers on the same images, after minus before.

    Accuracies: Newcombe's paired interval; means of them over groups or classes: MOVER. NLL and
    Brier score: t interval of the paired differences. Precision: paired bootstrap of the images
    within each group (percentile). Calibration error: the same draws, bounded bin by bin. The worst
    group (class) and the gap: the same draws; with e and f the deviations of the resampled
    accuracies after and before from the seen ones, the difference of the minima errs by at most
    ``max e - min f`` above and ``max f - min e`` below, over the groups within two standard errors
    of the worst; the ends are the quantiles of these. A plain bootstrap of a minimum misses the
    truth up to half of the time when several groups end up alike; this interval is about 1.4 times
    as wide and does not.

    Args:
        before: ``[n, classes]`` probabilities of the first classifier.
        after: ``[n, classes]`` of the second, same images in the same order.
        labels: ``int[n]``.
        groups: ``int[n]``, position in ``group_names``; -1: unknown, in the averages only.
        group_names: one per group.
        class_names: one per column.
        level: confidence level of each interval.
        resamples: bootstrap samples, at least 100.
        seed: for the bootstrap. The order of the images does not matter.

    Raises:
        InputError: arrays that do not fit each other, too few resamples.

    Source: Newcombe, 1998, Statistics in Medicine 17, 2635-2650; McNemar, 1947; Andrews & Soares,
    2010, Econometrica 78 (inference on a minimum through the parts that may attain it).
    """
    if np.shape(before) != np.shape(after):
        raise InputError(
            "before and after",
            expected="of one shape: the same images and classes",
            got=f"{np.shape(before)} and {np.shape(after)}",
        )
    if resamples < 100:
        raise InputError("resamples", expected="at least 100", got=str(resamples))
    first, second = (
        group_scores(
            part,
            labels,
            groups,
            group_names,
            class_names=class_names,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        for part in (before, after)
    )
    old, new = image_scores(before, labels), image_scores(after, labels)
    truth = np.asarray(labels, dtype=np.int64)
    member = check_groups(groups, group_names, count=truth.size)
    changes = tuple(
        _change(name, old, new, member == index, level=level)
        for index, name in enumerate(group_names)
    )
    everything = paired_proportions(new.correct, old.correct, level=level)
    classes = [
        paired_proportions(new.correct[truth == c], old.correct[truth == c], level=level)
        for c in np.unique(truth)
    ]
    drawn = resample_pairs(
        old,
        new,
        truth,
        member,
        group_names=group_names,
        class_count=len(class_names),
        resamples=resamples,
        seed=seed,
    )
    sizes = [entry.n for entry in first.groups]
    shares = np.array([[part.accuracy.value for part in run.groups] for run in (first, second)])
    supports = [entry.recall.n for entry in first.classes]
    recalls = np.array([[part.recall.value for part in run.classes] for run in (first, second)])
    return GroupComparison(
        before=first,
        after=second,
        groups=changes,
        average=everything.difference,
        adjusted=mean_of_differences([change.accuracy for change in changes], level=level),
        balanced_accuracy=mean_of_differences([part.difference for part in classes], level=level),
        precision=quantile_interval(
            second.overall.precision.value - first.overall.precision.value,
            drawn.precision[1] - drawn.precision[0],
            n=truth.size,
            level=level,
        ),
        worst=change_of_lowest(shares, sizes, drawn.accuracy, level=level),
        worst_recall=change_of_lowest(recalls, supports, drawn.recall, level=level),
        gap=change_of_gap(shares, sizes, drawn.accuracy, level=level),
        nll=mean_interval(new.nll - old.nll, level=level),
        brier=mean_interval(new.brier - old.brier, level=level),
        ece=change_of_error(
            second.overall.ece.value - first.overall.ece.value, drawn, n=truth.size, level=level
        ),
        p_value=everything.p_value,
        changed=int((old.prediction != new.prediction).sum()),
    )


def _change(
    name: str, old: ImageScores, new: ImageScores, rows: Bool[np.ndarray, " n"], *, level: float
) -> GroupChange:
    paired = paired_proportions(new.correct[rows], old.correct[rows], level=level)
    n = int(rows.sum())
    return GroupChange(
        name, n, n < 30, paired.difference, paired.p_value, paired.only_a, paired.only_b
    )
