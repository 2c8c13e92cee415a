"""What is written beside a picture: the label, the prediction and its probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.report.arrays import check_count
from sundog.report.style import RIGHT, UNKNOWN, WRONG

KEY = "✓ right, ✗ wrong; the percentage is the probability of the predicted class"


@dataclass(frozen=True)
class Caption:
    """One picture's words: ``mark`` is ✓, ✗ or empty (no label); never colour alone."""

    label: str | None
    prediction: str
    probability: str
    mark: str
    colour: str


def percent(value: float) -> str:
    """Write a share in [0, 1] as a percentage: one decimal only within 1 % of the ends."""
    digits = 1 if 0 < value < 0.01 or 0.99 < value < 0.9995 else 0
    return f"{100 * value:.{digits}f}\u00a0%"


def class_name(index: int, class_names: Sequence[str]) -> str:
    """Return the name of a class.

    Raises:
        InputError: index outside the names.
    """
    if not 0 <= index < len(class_names):
        raise InputError(
            "class index", expected=f"from 0 to {len(class_names) - 1}", got=str(index)
        )
    return class_names[index]


def captions(
    *,
    predictions: NDArray[Any],
    probabilities: NDArray[Any],
    class_names: Sequence[str],
    labels: NDArray[Any] | None = None,
) -> list[Caption]:
    """Build the caption of every picture.

    Args:
        predictions: int, one per picture, index of the predicted class.
        probabilities: float in [0, 1], one per picture, of the predicted class.
        class_names: all classes.
        labels: int, one per picture; -1 or None means that the label is not known.

    Returns:
        One caption per picture: green ✓ when right, red ✗ when wrong, blue when unlabelled.

    Raises:
        InputError: counts differ, an index outside the names, a probability outside [0, 1].
    """
    predicted = np.asarray(predictions, dtype=np.int64)
    chance = np.asarray(probabilities, dtype=np.float64)
    truth = np.full(len(predicted), -1) if labels is None else np.asarray(labels, dtype=np.int64)
    check_count("probabilities", len(chance), len(predicted))
    check_count("labels", len(truth), len(predicted))
    if not ((chance >= 0) & (chance <= 1 + 1e-6)).all():
        raise InputError(
            "probabilities",
            expected="in [0, 1]",
            got=f"values from {chance.min():.4g} to {chance.max():.4g}",
            hint="Pass probabilities, not logits.",
        )
    result = []
    for label, prediction, probability in zip(truth, predicted, chance, strict=True):
        known = label != -1
        right = bool(label == prediction)
        result.append(
            Caption(
                label=class_name(int(label), class_names) if known else None,
                prediction=class_name(int(prediction), class_names),
                probability=percent(min(float(probability), 1.0)),
                mark=("✓ " if right else "✗ ") if known else "",
                colour=(RIGHT if right else WRONG) if known else UNKNOWN,
            )
        )
    return result
