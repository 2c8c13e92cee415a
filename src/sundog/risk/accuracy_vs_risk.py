"""Accuracy by risk: windows of equally many images, both kinds of error, every image counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.notebook import Card, InNotebook
from sundog.core.statistics import Estimate, proportion_difference, wilson_interval
from sundog.core.statistics.estimate import check_level
from sundog.models.group_extremes import mean_of_proportions
from sundog.risk.windows import correctness_trend, equal_windows, frozen_windows

_SCORES = ("accuracy", "precision", "recall", "balanced_accuracy")


@dataclass(frozen=True)
class Window:
    """The images of one stretch of risk.

    Attributes:
        index: 0 for the lowest values.
        n: number of images; 0 only for frozen windows, then all numbers are NaN.
        low: lowest value in it.
        high: highest value in it.
        risk: mean value of its finite values.
        accuracy: share of right predictions (Wilson).
        precision: of the chosen classes that have images in the window, the mean share of right
            ones among the images predicted as the class; 0 for a class that is never predicted.
            NaN if the window holds images of one class only: no negatives, no precision.
        recall: of the same classes, the mean share of their images predicted right.
        balanced_accuracy: mean recall over all classes that have images in the window.
    """

    index: int
    n: int
    low: float
    high: float
    risk: float
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    balanced_accuracy: Estimate


@dataclass(frozen=True, eq=False, repr=False)
class AccuracyVsRisk(InNotebook):
    """Accuracy, precision and recall along a risk.

    Attributes:
        windows: from the lowest to the highest values of the score.
        overall: all images that are in a window.
        trend: Spearman's correlation of being right with the value; < 0: riskier images are wrong
            more often (the sign turns for a representation score). NaN if all or none are right.
        ends: accuracy of the first minus that of the last window (Newcombe); > 0 for a good risk;
            NaN for one window.
        membership: ``int64[n]`` window of each image, -1 for those left out; give it as ``frozen``
            to score another classifier on the same windows.
        edges: ``float64[windows - 1]``, the highest value of each window but the last; give them
            as ``frozen`` to cut other images at the same values.
        class_names: whose precision and recall it is.
        left_out: images without a value (NaN).
        notes: what a reader must know, e.g. that only one class was scored.
        level: confidence level of each interval.
    """

    windows: tuple[Window, ...]
    overall: Window
    trend: Estimate
    ends: Estimate
    membership: Int[np.ndarray, " n"]
    edges: Float[np.ndarray, " borders"]
    class_names: tuple[str, ...]
    left_out: int
    notes: tuple[str, ...]
    level: float

    def table(self) -> pd.DataFrame:
        """Return one row per window, estimates as value, _low and _high."""
        rows = []
        for window in self.windows:
            row: dict[str, Any] = {
                "window": window.index,
                "n": window.n,
                "from": window.low,
                "to": window.high,
                "risk": window.risk,
            }
            for name in _SCORES:
                part: Estimate = getattr(window, name)
                row |= {name: part.value, f"{name}_low": part.low, f"{name}_high": part.high}
            rows.append(row)
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the membership of the images, as plain values."""
        return {
            "windows": [asdict(window) for window in self.windows],
            "overall": asdict(self.overall),
            "trend": self.trend.to_dict(),
            "ends": self.ends.to_dict(),
            "edges": self.edges.tolist(),
            "class_names": list(self.class_names),
            "left_out": self.left_out,
            "notes": list(self.notes),
            "level": self.level,
        }

    def _card(self) -> Card:
        columns = ["window", "n", "from", "to", "accuracy", "accuracy_low", "accuracy_high"]
        return Card(
            headline=f"Accuracy of the first window minus that of the last: {self.ends}",
            facts={"trend (Spearman)": self.trend, "images left out": self.left_out},
            tables=[("Windows, from the lowest risk to the highest", self.table()[columns])],
            notes=self.notes,
        )


def accuracy_vs_risk(
    risk: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    class_names: Sequence[str],
    windows: int = 10,
    classes: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    frozen: ArrayLike | None = None,
    level: float = 0.95,
) -> AccuracyVsRisk:
    """Sort images by a score, cut them into windows of equal size, and score each window.

    The sizes differ by at most one: no image is dropped. Images of equal value are ordered by
    their id, so that the cut does not depend on the order of the rows. All images are scored,
    those of other classes too: a model that always answers one class has a recall of 1 and shows
    in precision and balanced accuracy.

    Args:
        risk: ``[n]``, any score; the windows run from its lowest to its highest values. NaN is
            left out and counted; infinite values are sorted.
        labels: ``int[n]`` in 0 .. classes - 1.
        predictions: ``int[n]``, or ``float[n, classes]`` probabilities or logits (their argmax).
        class_names: one per class.
        windows: how many; fewer if there are fewer images.
        classes: names of the classes whose precision and recall are shown; all if None.
        ids: one per image, for ties; the position of the row if None.
        frozen: windows of an earlier run: its ``membership`` (integers, same images) or its
            ``edges`` (numbers; a value belongs to the first window whose edge it does not exceed).
            Frozen windows may be empty.
        level: confidence level: Wilson's of single shares, MOVER of means over classes, Newcombe's
            of differences and of the trend.

    Returns:
        The windows. The interval of the trend is that of the AUROC of wrong predictions, to which
        the correlation is proportional once the number of right answers is known.

    Raises:
        InputError: arrays that do not fit, no image, unknown classes, unlabelled images.

    Source: the accuracy-over-risk plot of MIT 6.S191, lab 3, which scores the recall of one class
    and drops the remainder; Wilson, 1927; Zou & Donner, 2008; Newcombe, 2006.
    """
    level = check_level(level)
    values = np.asarray(risk, dtype=np.float64)
    truth, guess = _answers(labels, predictions, count=values.size, classes=len(class_names))
    if values.ndim != 1 or not values.size:
        raise InputError("risk", expected="[n >= 1]", got=f"shape {values.shape}")
    if windows < 1:
        raise InputError("windows", expected="at least 1", got=str(windows))
    chosen = _chosen(classes, class_names)
    known = ~np.isnan(values)
    if frozen is None:
        membership = equal_windows(values, known, windows=windows, ids=ids)
        count = int(membership.max()) + 1
    else:
        membership, count = frozen_windows(np.asarray(frozen), values, known)
    parts = tuple(
        _window(index, values, truth, guess, membership == index, chosen, level=level)
        for index in range(count)
    )
    inside = membership >= 0
    right = truth == guess
    hits, sizes = [0, 0], [0, 0]
    if count > 1:
        hits = [int(right[membership == index].sum()) for index in (0, count - 1)]
        sizes = [parts[0].n, parts[-1].n]
    return AccuracyVsRisk(
        windows=parts,
        overall=_window(-1, values, truth, guess, inside, chosen, level=level),
        trend=correctness_trend(values[inside], right[inside], level=level),
        ends=proportion_difference(hits[0], sizes[0], hits[1], sizes[1], level=level),
        membership=membership,
        edges=np.array([part.high for part in parts[:-1]], dtype=np.float64),
        class_names=tuple(class_names[c] for c in chosen),
        left_out=int((~inside).sum()),
        notes=_notes(
            parts, truth[inside], guess[inside], class_names, windows if frozen is None else count
        ),
        level=level,
    )


def _answers(
    labels: ArrayLike, predictions: ArrayLike, *, count: int, classes: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    truth, guess = np.asarray(labels), np.asarray(predictions)
    if guess.ndim == 2 and guess.shape == (count, classes) and guess.dtype.kind == "f":
        missing = int(np.isnan(guess).any(axis=1).sum())
        if missing:
            raise InputError("predictions", expected="without NaN", got=f"{missing} rows with NaN")
        guess = guess.argmax(axis=1)
    for name, part in (("labels", truth), ("predictions", guess)):
        if part.shape != (count,) or part.dtype.kind not in "iu":
            raise InputError(
                name,
                expected=f"{count} integers" + (f" or [{count}, {classes}]" * (part is guess)),
                got=f"{part.dtype}{list(part.shape)}",
            )
        wrong = int(((part < 0) | (part >= classes)).sum())
        if wrong:
            raise InputError(
                name,
                expected=f"between 0 and {classes - 1}",
                got=f"{wrong} others (-1 means unlabelled)",
                hint="Keep the labelled images only.",
            )
    return truth.astype(np.int64), guess.astype(np.int64)


def _chosen(classes: Sequence[str] | None, class_names: Sequence[str]) -> list[int]:
    if classes is None:
        return list(range(len(class_names)))
    unknown = [name for name in classes if name not in class_names]
    if unknown or not classes or isinstance(classes, str):
        raise InputError(
            "classes",
            expected=f"a list of names from {', '.join(class_names)}",
            got=repr(classes if isinstance(classes, str) else list(classes)),
        )
    return sorted({list(class_names).index(name) for name in classes})


def _window(
    index: int,
    values: Float[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    guess: Int[np.ndarray, " n"],
    rows: Bool[np.ndarray, " n"],
    chosen: list[int],
    *,
    level: float,
) -> Window:
    here, label, answer = values[rows], truth[rows], guess[rows]
    n = here.size
    finite = here[np.isfinite(here)]
    present = np.unique(label)

    def mean(classes: list[int], of: Int[np.ndarray, " n"]) -> Estimate:
        hits = [int(((label == c) & (answer == c)).sum()) for c in classes]
        return mean_of_proportions(hits, [int((of == c).sum()) for c in classes], level=level)

    shown = [c for c in chosen if c in present]
    return Window(
        index=index,
        n=n,
        low=float(here.min()) if n else math.nan,
        high=float(here.max()) if n else math.nan,
        risk=float(finite.mean()) if finite.size else math.nan,
        accuracy=wilson_interval(int((label == answer).sum()), n, level=level),
        precision=mean(shown if present.size > 1 else [], answer),
        recall=mean(shown, label),
        balanced_accuracy=mean(present.tolist(), label),
    )


def _notes(
    parts: tuple[Window, ...],
    truth: Int[np.ndarray, " n"],
    guess: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    windows: int,
) -> tuple[str, ...]:
    notes = []
    if len(parts) < windows:
        notes.append(f"fewer images than the {windows} windows: {len(parts)} windows of one image")
    if np.unique(truth).size == 1:
        notes.append(
            f"all images are of class {class_names[truth[0]]!r}: accuracy is its recall, and a "
            "model that always answers it is right everywhere; add images of other classes"
        )
    elif np.unique(guess).size == 1:
        notes.append(
            f"every prediction is {class_names[guess[0]]!r}: the model does not tell the classes "
            "apart"
        )
    cut = sum(a.n > 0 and b.n > 0 and a.high == b.low for a, b in pairwise(parts))
    if cut:
        notes.append(
            f"{cut} of {len(parts) - 1} borders between windows run through images of equal value"
        )
    return tuple(notes)
