"""Choosing among models without the test images: by the worst group, or the worst class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, wilson_interval
from sundog.debias.groups import check_groups
from sundog.debias.weight_report import check_labels

FEW = 30
"""Parts with fewer images make the choice a matter of luck; the statement says so."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen model and how it was chosen.

    Attributes:
        name: of the chosen candidate.
        rule: ``worst group`` or ``worst class``.
        worst: accuracy of its worst part, with Wilson interval.
        worst_part: name of that group or class.
        average: accuracy over all images that were used.
        n: validation images used.
        left_out: images without label (or group, when groups are used).
        table: one row per candidate, in the given order: candidate, worst, worst_part, average,
            chosen.
        statement: one sentence for the report.
        warnings: sentences to show.
    """

    name: str
    rule: str
    worst: Estimate
    worst_part: str
    average: Estimate
    n: int
    left_out: int
    table: pd.DataFrame
    statement: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "name": self.name,
            "rule": self.rule,
            "worst": self.worst.to_dict(),
            "worst_part": self.worst_part,
            "average": self.average.to_dict(),
            "n": self.n,
            "left_out": self.left_out,
            "table": self.table.to_dict(orient="records"),
            "statement": self.statement,
            "warnings": list(self.warnings),
        }


def select_model(
    predictions: Mapping[str, Int64[np.ndarray, "images"]],
    labels: Int64[np.ndarray, "images"],
    *,
    groups: ArrayLike | None = None,
    group_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    level: float = 0.95,
) -> Selection:
    """Choose the candidate whose worst group (or class, without groups) is best.

    Ties go to the higher average accuracy, then to the candidate that comes first. The accuracy of
    the worst class is a good stand-in where no groups are known. Report the chosen model on images
    that took no part here: the best of many is flattered by the choice.

    Args:
        predictions: class per validation image, by candidate.
        labels: class per validation image, -1 = unlabelled (left out).
        groups: group per image, -1 = unknown (left out); None selects by the worst class.
        group_names: one per group.
        class_names: one per class.
        level: confidence level.

    Raises:
        InputError: no candidates, lists that do not fit, no image to judge by.

    Source: Yang, Zhang, Katabi & Ghassemi, 2023, arXiv 2302.12254 (worst class as stand-in).
    """
    if not predictions:
        raise InputError("predictions", expected="those of at least one candidate", got="none")
    count = np.asarray(labels).size
    own = check_labels(labels, count)
    parts, names, rule = own, _class_names(own, class_names), "worst class"
    if groups is not None:
        ids, given = check_groups(groups, group_names)
        if ids.size != count:
            raise InputError("groups", expected=f"one per image ({count})", got=str(ids.size))
        parts, names, rule = ids, given, "worst group"
    used = (own >= 0) & (parts >= 0)
    if not used.any():
        raise InputError("labels", expected="known for at least one image", got=f"{count} unknown")
    parts = parts[used]
    sizes = np.bincount(parts, minlength=len(names))
    filled = np.flatnonzero(sizes)
    rows, keys = [], []
    for name, guess in predictions.items():
        guessed = np.asarray(guess)
        if guessed.shape != (count,) or guessed.dtype.kind not in "iu":
            raise InputError(
                f"predictions[{name!r}]",
                expected=f"{count} classes",
                got=f"{guessed.dtype} of shape {guessed.shape}",
            )
        right = (guessed == own)[used]
        hits = np.bincount(parts[right], minlength=len(names))
        accuracy = hits[filled] / sizes[filled]
        worst = int(filled[accuracy.argmin()])
        keys.append((float(accuracy.min()), int(right.sum())))
        rows.append((name, worst, int(hits[worst])))
    best = max(range(len(keys)), key=lambda i: (*keys[i], -i))
    name, worst, hits_worst = rows[best]
    n, small = int(used.sum()), int(sizes[filled].min())
    table = pd.DataFrame(
        {
            "candidate": [row[0] for row in rows],
            "worst": [key[0] for key in keys],
            "worst_part": [names[row[1]] for row in rows],
            "average": [key[1] / n for key in keys],
            "chosen": [i == best for i in range(len(rows))],
        }
    )
    statement = f"{name} selected by {rule} on {n} validation images, of {len(rows)} candidates"
    warnings = []
    if small < FEW:
        warnings.append(
            f"The smallest {rule.split()[1]} has {small} images: differences between the "
            "candidates may be luck. Fix the setting instead of tuning it."
        )
    empty = [names[i] for i in range(len(names)) if sizes[i] == 0]
    if empty:
        warnings.append(f"Without validation images, and not judged: {', '.join(empty[:10])}.")
    return Selection(
        name=name,
        rule=rule,
        worst=wilson_interval(hits_worst, int(sizes[worst]), level=level),
        worst_part=names[worst],
        average=wilson_interval(keys[best][1], n, level=level),
        n=n,
        left_out=count - n,
        table=table,
        statement=statement,
        warnings=tuple(warnings),
    )


def _class_names(
    labels: Int64[np.ndarray, "images"], names: Sequence[str] | None
) -> tuple[str, ...]:
    top = int(labels.max(initial=-1))
    if names is None:
        return tuple(str(c) for c in range(top + 1))
    if len(names) <= top:
        raise InputError("class_names", expected=f"at least {top + 1}", got=f"{len(names)}")
    return tuple(names)
