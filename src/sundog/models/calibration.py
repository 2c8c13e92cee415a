"""How far probabilities can be believed: NLL, Brier score, calibration errors, reliability table.

The calibration errors are own code, in float64: torchmetrics' ``multiclass_calibration_error`` puts
images of confidence exactly 1 in a bin of their own, works in float32, and takes probabilities
that exceed 1 by rounding for logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.statistics import wilson_interval
from sundog.core.statistics.estimate import check_level

BINS = 15
TOLERANCE = 1e-4
"""A row of probabilities may miss a sum of 1 by this much (rounding of float32); it is rescaled."""

Scheme = Literal["width", "mass"]
CALIBRATION_COLUMNS = [
    "bin",
    "from",
    "to",
    "n",
    "confidence",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "gap",
]


@dataclass(frozen=True, eq=False)
class ImageScores:
    """What each image adds to the scores of a set.

    Attributes:
        prediction: class of the largest probability; of equal ones the first.
        confidence: that probability, in (0, 1].
        correct: whether the prediction is the label.
        nll: ``-log p[label]`` in nats, >= 0.
        brier: ``sum over classes of (p - [class is the label])²``, in [0, 2].
    """

    prediction: Int[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]
    correct: Bool[np.ndarray, " n"]
    nll: Float[np.ndarray, " n"]
    brier: Float[np.ndarray, " n"]


def check_probabilities(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[Float[np.ndarray, "n classes"], Int[np.ndarray, " n"]]:
    """Return probabilities as float64 whose rows sum to 1, and labels as int64.

    Args:
        probabilities: ``[n, classes]``, >= 0, rows that sum to 1 within 1e-4 (then rescaled).
        labels: ``int[n]`` in 0 .. classes - 1.

    Raises:
        InputError: another shape, NaN, negative values, rows that do not sum to 1 (logits?),
            fewer than two classes, unlabelled images or labels out of range.
    """
    table, known = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if table.ndim != 2 or table.shape[1] < 2:
        raise InputError(
            "probabilities", expected="[images, classes >= 2]", got=f"shape {table.shape}"
        )
    if known.shape != table.shape[:1] or (known.size and known.dtype.kind not in "iu"):
        raise InputError(
            "labels",
            expected=f"{table.shape[0]} integers, one per row of the probabilities",
            got=f"{known.dtype}{list(known.shape)}",
        )
    bad = int((~np.isfinite(table)).any(axis=1).sum())
    if bad:
        raise InputError(
            "probabilities",
            expected="finite",
            got=f"NaN or infinity in {bad} of {len(table)} rows",
            hint="Drop these images first and report how many there were.",
        )
    sums = table.sum(axis=1)
    if (table < 0).any() or (np.abs(sums - 1) > TOLERANCE).any():
        off = int(((table < 0).any(axis=1) | (np.abs(sums - 1) > TOLERANCE)).sum())
        raise InputError(
            "probabilities",
            expected=">= 0 with rows that sum to 1",
            got=f"{off} of {len(table)} rows that are not",
            hint="Logits? Take their softmax first.",
        )
    whole = known.astype(np.int64)
    wrong = int(((whole < 0) | (whole >= table.shape[1])).sum())
    if wrong:
        raise InputError(
            "labels",
            expected=f"between 0 and {table.shape[1] - 1}",
            got=f"{wrong} others (-1 means unlabelled)",
            hint="Keep the labelled images only.",
        )
    return table / sums[:, None], whole


def image_scores(probabilities: ArrayLike, labels: ArrayLike) -> ImageScores:
    """Return what each image adds to NLL, Brier score, accuracy and calibration error.

    Args:
        probabilities: ``[n, classes]``, rows sum to 1.
        labels: ``int[n]``.

    Returns:
        The scores per image. A label of probability 0 counts as 708 nats (the smallest normal
        float64), not as infinity.

    Raises:
        InputError: see :func:`check_probabilities`.
    """
    table, known = check_probabilities(probabilities, labels)
    rows = np.arange(len(known))
    chosen = table[rows, known]
    prediction = table.argmax(axis=1)
    return ImageScores(
        prediction=prediction,
        confidence=table[rows, prediction],
        correct=prediction == known,
        nll=-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)),
        # in this order nothing cancels: the label's own part is (1 - p)²
        brier=(table**2).sum(axis=1) - chosen**2 + (1 - chosen) ** 2,
    )


def nll(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the labels in nats, ``mean(-log p[label])``.

    Args:
        probabilities: ``[n, classes]``, rows sum to 1.
        labels: ``int[n]``.

    Returns:
        >= 0, lower is better; ``log(classes)`` for uniform probabilities; NaN without images. A
        label of probability 0 counts as 708 nats.

    Raises:
        InputError: see :func:`check_probabilities`.
    """
    return _mean(image_scores(probabilities, labels).nll)


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the Brier score summed over classes, ``mean_i sum_c (p_ic - [c = label_i])²``.

    This is Brier's own form, in [0, 2]; for two classes it is twice the one-sided form of
    scikit-learn's ``brier_score_loss``.

    Args:
        probabilities: ``[n, classes]``, rows sum to 1.
        labels: ``int[n]``.

    Returns:
        Lower is better; ``1 - 1/classes`` for uniform probabilities; NaN without images.

    Raises:
        InputError: see :func:`check_probabilities`.

    Source: Brier, 1950, Monthly Weather Review 78.
    """
    return _mean(image_scores(probabilities, labels).brier)


def ece(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = BINS) -> float:
    """Return the expected calibration error of the top class over bins of equal width.

    ``sum_b n_b/n |accuracy_b - confidence_b|`` over the bins ``((b-1)/B, b/B]`` of the largest
    probability.

    Args:
        probabilities: ``[n, classes]``, rows sum to 1.
        labels: ``int[n]``.
        bins: number of bins, >= 1.

    Returns:
        In [0, 1], lower is better; NaN without images. It is biased upwards in small samples: even
        a perfectly calibrated model does not reach 0.

    Raises:
        InputError: see :func:`check_probabilities`; ``bins`` < 1.

    Source: Guo et al., 2017, arXiv 1706.04599.
    """
    scores = image_scores(probabilities, labels)
    gap = scores.correct - scores.confidence
    index = width_bins(scores.confidence, bins=bins)
    if not gap.size:
        return math.nan
    return float(np.abs(np.bincount(index, weights=gap, minlength=bins)).sum() / gap.size)


def adaptive_ece(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = BINS) -> float:
    """Return the expected calibration error of the top class over bins of equally many images.

    ``sum_b n_b/n |accuracy_b - confidence_b|``; images are sorted by confidence and cut into
    ``min(bins, n)`` bins whose sizes differ by at most one. Images of equal confidence share their
    mean correctness, so that their order does not matter.

    Args:
        probabilities: ``[n, classes]``, rows sum to 1.
        labels: ``int[n]``.
        bins: number of bins, >= 1.

    Returns:
        In [0, 1], lower is better; NaN without images. Biased upwards in small samples.

    Raises:
        InputError: see :func:`check_probabilities`; ``bins`` < 1.

    Source: Nguyen & O'Connor, 2015, EMNLP; Nixon et al., 2019, arXiv 1904.01685.
    """
    scores = image_scores(probabilities, labels)
    confidence, correct, edges = _mass_bins(scores, bins)
    if not confidence.size:
        return math.nan
    return float(np.abs(_sums(correct - confidence, edges)).sum() / confidence.size)


def calibration_table(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    bins: int = BINS,
    scheme: Scheme = "width",
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the reliability table: confidence against accuracy, one row per bin.

    Args:
        probabilities: ``[n, classes]``, rows sum to 1.
        labels: ``int[n]``.
        bins: number of bins, >= 1.
        scheme: ``width`` (as :func:`ece`) or ``mass`` (as :func:`adaptive_ece`).
        level: confidence level of the Wilson intervals.

    Returns:
        Columns ``bin`` (from 0), ``from``, ``to`` (of the confidence), ``n``, ``confidence``
        (mean), ``accuracy``, ``accuracy_low``, ``accuracy_high`` (Wilson), ``gap`` (confidence
        minus accuracy; > 0: overconfident). Empty bins stay, with n = 0 and NaN. With ``mass``,
        the accuracy of images of equal confidence across a border is shared; its interval is that
        of the nearest whole number of hits.

    Raises:
        InputError: see :func:`check_probabilities`; an unknown scheme.
    """
    level = check_level(level)
    if scheme not in ("width", "mass"):
        raise InputError("scheme", expected="width or mass", got=repr(scheme))
    scores = image_scores(probabilities, labels)
    if scheme == "width":
        index = width_bins(scores.confidence, bins=bins)
        n = np.asarray(np.bincount(index, minlength=bins), dtype=np.int64)
        confidence = np.bincount(index, weights=scores.confidence, minlength=bins)
        hits = np.bincount(index, weights=scores.correct, minlength=bins)
        borders = np.linspace(0, 1, bins + 1)
        low, high = borders[:-1], borders[1:]
    else:
        ordered, correct, edges = _mass_bins(scores, bins)
        n = np.diff(edges)
        confidence, hits = _sums(ordered, edges), _sums(correct, edges)
        low, high = ordered[edges[:-1]], ordered[edges[1:] - 1]
    rows = []
    for row in range(len(n)):
        size = int(n[row])
        interval = wilson_interval(round(float(hits[row])), size, level=level)
        mean = confidence[row] / size if size else math.nan
        accuracy = hits[row] / size if size else math.nan
        rows.append(
            (
                row,
                float(low[row]),
                float(high[row]),
                size,
                float(mean),
                float(accuracy),
                interval.low,
                interval.high,
                float(mean - accuracy),
            )
        )
    return pd.DataFrame(rows, columns=CALIBRATION_COLUMNS)


def width_bins(confidence: Float[np.ndarray, " n"], *, bins: int = BINS) -> Int[np.ndarray, " n"]:
    """Return the bin ``((b-1)/B, b/B]`` of each confidence, from 0; 0 belongs to the first.

    Raises:
        InputError: ``bins`` < 1.
    """
    _check_bins(bins)
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")


def mass_sizes(n: int, bins: int) -> list[int]:
    """Return the sizes of ``min(bins, n)`` bins of ``n`` images; they differ by at most one.

    Raises:
        InputError: ``bins`` < 1.
    """
    _check_bins(bins)
    return [part.size for part in np.array_split(np.empty(n), min(bins, n))] if n else []


def shared_correctness(
    confidence: Float[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return, for images sorted by confidence, the mean correctness of all of equal confidence."""
    _, which, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    means = np.bincount(which.ravel(), weights=correct, minlength=len(counts)) / counts
    return np.repeat(means, counts)


def _mass_bins(
    scores: ImageScores, bins: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Int[np.ndarray, " borders"]]:
    """Return sorted confidences, tie-averaged correctness, and where the bins begin and end."""
    sizes = mass_sizes(scores.confidence.size, bins)
    order = np.argsort(scores.confidence, kind="stable")
    confidence = scores.confidence[order]
    shared = shared_correctness(confidence, scores.correct[order])
    return confidence, shared, np.cumsum([0, *sizes], dtype=np.int64)


def _sums(
    values: Float[np.ndarray, " n"], edges: Int[np.ndarray, " borders"]
) -> Float[np.ndarray, " bins"]:
    """Return the sum of each bin; bins are never empty."""
    sums: Float[np.ndarray, " bins"] = (
        np.add.reduceat(values, edges[:-1]) if values.size else np.empty(0)
    )
    return sums


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise InputError("bins", expected="at least 1", got=str(bins))


def _mean(values: Float[np.ndarray, " n"]) -> float:
    return float(values.mean()) if values.size else math.nan
