"""What sampling weights are worth: effective size, spread, and the warnings that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike, NDArray

from sundog.core.errors import InputError
from sundog.core.notebook import Card, InNotebook

UNIFORM_RATIO = 1.05
"""Below this largest/smallest ratio the weights change nothing that could be measured."""
SMALL_SHARE = 0.2
"""Below this share of the images, the effective size is called small."""
HARDLY_DRAWN = 0.01
"""An image with less than this multiple of its class's mean weight is hardly ever drawn."""
_SHOWN = 3


@dataclass(frozen=True)
class ClassWeights:
    """How one class is resampled.

    Attributes:
        label: class index; -1 for images without a label (or all images, if no labels are given).
        n: images.
        share: share of all draws that goes to the class, in [0, 1].
        reweighted: False for a class whose images are drawn uniformly on purpose.
        effective_size: ``(Σ p)² / Σ p²`` of its images, in 1..n; n means uniform.
        max_min_ratio: largest over smallest weight; 1 means uniform; may be infinite.
        hardly_drawn: images with less than a hundredth of the class's mean weight.
    """

    label: int
    n: int
    share: float
    reweighted: bool
    effective_size: float
    max_min_ratio: float
    hardly_drawn: int


@dataclass(frozen=True, eq=False, repr=False)
class SamplingWeights(InNotebook):
    """Probabilities to draw each image with, and what they are worth.

    Attributes:
        probabilities: ``float64[images]``, sum 1.
        effective_size: Kish's ``1 / Σ p²``, in 1..n: a training set of so many equally likely
            images would vary as much. Higher means closer to uniform.
        max_min_ratio: the largest such ratio within a reweighted class; may be infinite.
        classes: one row per class, in order of the label.
        warnings: sentences to show; empty if there is nothing to say.
        settings: rule and parameters, as JSON.
    """

    probabilities: Float64[np.ndarray, "images"]
    effective_size: float
    max_min_ratio: float
    classes: tuple[ClassWeights, ...]
    warnings: tuple[str, ...]
    settings: dict[str, Any]

    def __len__(self) -> int:
        return self.probabilities.size

    @property
    def table(self) -> pd.DataFrame:
        """One row per class, with the fields of :class:`ClassWeights`."""
        return pd.DataFrame([asdict(row) for row in self.classes])

    def notes(self) -> dict[str, Any]:
        """Return the figures as JSON; an infinite ratio becomes None.

        ``effective_share`` is that of all images, ``least_class_share`` that of the reweighted
        class where it is smallest.
        """
        ratio = self.max_min_ratio
        shares = [row.effective_size / row.n for row in self.classes if row.reweighted and row.n]
        return {
            **self.settings,
            "effective_size": self.effective_size,
            "effective_share": self.effective_size / len(self),
            "least_class_share": min(shares, default=1.0),
            "max_min_ratio": ratio if math.isfinite(ratio) else None,
            "warnings": list(self.warnings),
        }

    def _card(self) -> Card:
        return Card(
            headline=f"Weights of {len(self):,} images, worth {self.effective_size:,.0f} equal",
            tone="unsure" if self.warnings else "plain",
            facts={"largest ratio within a class": self.max_min_ratio},
            tables=[("Class by class", self.table)],
            notes=self.warnings,
        )


def kish_size(probabilities: ArrayLike) -> float:
    """Return the effective sample size ``(Σ p)² / Σ p²``.

    Args:
        probabilities: ``[n]``, >= 0, of any scale, not all zero.

    Returns:
        Between 1 and n; n for equal weights.

    Raises:
        InputError: no values, negative or infinite ones, or all 0.

    Source: Kish, 1965, Survey Sampling.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.size == 0 or not (np.isfinite(p).all() and p.min() >= 0 and p.max() > 0):
        raise InputError(
            "probabilities", expected=">= 0, finite, not all 0", got=f"{p.size} values"
        )
    p = p / p.max()
    return float(p.sum() ** 2 / (p * p).sum())


def report_weights(
    probabilities: Float64[np.ndarray, "images"],
    *,
    labels: Int64[np.ndarray, "images"] | None = None,
    classes: Sequence[int] | None = None,
    log_ratios: Sequence[float] | None = None,
    settings: dict[str, Any] | None = None,
    drawn: NDArray[np.bool_] | None = None,
) -> SamplingWeights:
    """Describe probabilities and warn of weights that do nothing or rest on a few images.

    A reweighted class whose largest and smallest weight differ by less than a factor of 1.05 is
    called practically uniform; an effective size under 20 % of the images is called small.

    Args:
        probabilities: ``float64[n]``, >= 0, sum 1.
        labels: class per image; None treats all images as one class.
        classes: those that were reweighted; None for all.
        log_ratios: log of the largest over the smallest weight of each class, in order of the
            label, where probabilities would underflow; None computes them.
        settings: kept with the result.
        drawn: ``bool[n]``, images that may be drawn at all; the others are left out of the
            figures; None for all.

    Raises:
        InputError: probabilities that are negative, not finite or do not sum to 1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 1 or p.size == 0:
        raise InputError("probabilities", expected="a list of at least one", got=f"{p.shape}")
    if not (np.isfinite(p).all() and (p >= 0).all() and abs(p.sum() - 1) < 1e-6):
        raise InputError(
            "probabilities", expected=">= 0, finite and with sum 1", got=f"sum {p.sum():.6g}"
        )
    own = check_labels(labels, p.size)
    use = np.ones(p.size, dtype=bool) if drawn is None else drawn
    rows: list[ClassWeights] = []
    for place, label in enumerate(np.unique(own).tolist()):
        part = p[(own == label) & use]
        changed = (labels is None or label >= 0) and (classes is None or label in classes)
        share = float(part.sum())
        if part.size == 0 or share == 0:
            rows.append(ClassWeights(label, int(part.size), share, changed, 0.0, 1.0, part.size))
            continue
        if log_ratios is not None:
            log_ratio = log_ratios[place]
        else:
            low = float(part.min())
            log_ratio = math.log(float(part.max()) / low) if low > 0 else math.inf
        ratio = math.exp(log_ratio) if log_ratio < 700 else math.inf
        size = kish_size(part)
        rare = int((part < HARDLY_DRAWN * part.mean()).sum())
        rows.append(ClassWeights(label, int(part.size), share, changed, size, ratio, rare))
    total = kish_size(p)
    return SamplingWeights(
        probabilities=p,
        effective_size=total,
        max_min_ratio=max((row.max_min_ratio for row in rows if row.reweighted), default=1.0),
        classes=tuple(rows),
        warnings=_warnings(rows, total, int(use.sum()), named=labels is not None),
        settings=dict(settings or {}),
    )


def check_labels(
    labels: Int64[np.ndarray, "images"] | None, count: int
) -> Int64[np.ndarray, "images"]:
    """Return the labels as int64, all -1 if None.

    Raises:
        InputError: another length, or labels that are no integers.
    """
    if labels is None:
        return np.full(count, -1, dtype=np.int64)
    own = np.asarray(labels)
    if own.shape != (count,) or own.dtype.kind not in "iu":
        raise InputError(
            "labels", expected=f"{count} integers", got=f"{own.dtype} of shape {own.shape}"
        )
    return own.astype(np.int64)


def _warnings(
    rows: Sequence[ClassWeights], total: float, count: int, *, named: bool
) -> tuple[str, ...]:
    said = []
    judged = [row for row in rows if row.reweighted and row.n > 1]
    flat = [row for row in judged if row.max_min_ratio < UNIFORM_RATIO]
    if flat:
        worst = max(row.max_min_ratio for row in flat)
        said.append(
            f"The weights{_of(flat, judged, named)} are practically uniform (largest / smallest at "
            f"most {worst:.6g}): they change nothing. Lower alpha or use the rule 'tempered', "
            "unless all images really are as common."
        )
    thin = [row for row in judged if row.effective_size < SMALL_SHARE * row.n]
    if thin:
        least = min(row.effective_size / row.n for row in thin)
        said.append(
            f"The weights{_of(thin, judged, named)} rest on a few images (effective size down to "
            f"{least:.1%} of the images): expect overfitting. Raise alpha or temperature, or set "
            "clip."
        )
    elif total < SMALL_SHARE * count:
        said.append(
            f"The effective size is {total:.0f} of {count} images ({total / count:.1%}): expect "
            "overfitting. Raise alpha or temperature, or set clip."
        )
    lost = [row for row in judged if row.hardly_drawn > SMALL_SHARE * row.n]
    if lost:
        number = sum(row.hardly_drawn for row in lost)
        said.append(
            f"{number} images{_of(lost, judged, named)} have less than a hundredth of the mean "
            "weight: training hardly sees them. Raise alpha or temperature."
        )
    return tuple(said)


def _of(found: Sequence[ClassWeights], judged: Sequence[ClassWeights], named: bool) -> str:
    if not named:
        return ""
    shown = ", ".join(str(row.label) for row in found[:_SHOWN])
    more = ", ..." if len(found) > _SHOWN else ""
    noun = "class" if len(found) == 1 else "classes"
    return f" of {len(found)} of {len(judged)} classes ({noun} {shown}{more})"
