"""Several risks in one sampling distribution: proportional to a risk, and mixed with weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.debias.weight_report import SamplingWeights, check_labels, report_weights


def risk_weights(
    risk: Float64[np.ndarray, "images"],
    *,
    offset: float = 1e-7,
    labels: Int64[np.ndarray, "images"] | None = None,
    classes: Sequence[int] | None = None,
) -> SamplingWeights:
    """Return probabilities proportional to a risk, ``p_i ∝ risk_i + offset``.

    Args:
        risk: ``float64[n]``, >= 0, high = risky (epistemic, reconstruction error).
        offset: > 0; large values lead to uniform weights.
        labels: class per image: normalised within each class, which keeps its share; -1 uniform.
        classes: the classes to reweight; None for all.

    Raises:
        InputError: a risk that is negative or not finite, an offset that is not positive.

    Source: MIT Introduction to Deep Learning, 2023, lab 3 (reconstruction part of its weights).
    """
    values = np.asarray(risk, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise InputError("risk", expected="one value per image", got=f"shape {values.shape}")
    bad = int((~np.isfinite(values) | (values < 0)).sum())
    if bad:
        raise InputError(
            "risk", expected="finite and >= 0", got=f"other values in {bad} of {values.size} images"
        )
    if not (math.isfinite(offset) and offset > 0):
        raise InputError("offset", expected="> 0", got=str(offset))
    if classes is not None and labels is None:
        raise InputError("classes", expected="given together with labels", got="no labels")
    own = check_labels(labels, values.size)
    p = np.zeros(values.size)
    for label in np.unique(own).tolist():
        rows = own == label
        changed = (labels is None or label >= 0) and (classes is None or label in classes)
        part = values[rows] + offset if changed else np.ones(int(rows.sum()))
        part = part / part.max()  # sums of huge risks would overflow
        p[rows] = part / part.sum() * rows.mean()
    settings = {"rule": "proportional", "offset": offset}
    return report_weights(p / p.sum(), labels=labels, classes=classes, settings=settings)


def mix_weights(
    parts: Sequence[SamplingWeights | Float64[np.ndarray, "images"]],
    weights: ArrayLike,
    *,
    labels: Int64[np.ndarray, "images"] | None = None,
    classes: Sequence[int] | None = None,
) -> SamplingWeights:
    """Return the linear mixture ``p = Σ_j w_j p_j`` of several sampling distributions.

    The practical of 2023 mixes half inverse density with half reconstruction error. A share of
    uniform probabilities in the mixture keeps every image in play.

    Args:
        parts: distributions over the same images, each with sum 1.
        weights: one per part, >= 0, with sum 1.
        labels: class per image, for the table; where all parts keep the class shares, so does
            their mixture.
        classes: the classes that were reweighted, for the table; None for all.

    Raises:
        InputError: weights that do not fit, parts of different length or that do not sum to 1.

    Source: MIT Introduction to Deep Learning, 2023, lab 3.
    """
    share = np.asarray(weights, dtype=np.float64)
    if share.shape != (len(parts),) or share.size == 0:
        raise InputError(
            "weights", expected=f"one per part ({len(parts)})", got=f"shape {share.shape}"
        )
    if not (np.isfinite(share).all() and (share >= 0).all() and abs(share.sum() - 1) < 1e-6):
        raise InputError("weights", expected=">= 0 and with sum 1", got=str(share.tolist()))
    arrays = [
        part.probabilities
        if isinstance(part, SamplingWeights)
        else np.asarray(part, dtype=np.float64)
        for part in parts
    ]
    for array in arrays:
        if array.ndim != 1 or array.shape != arrays[0].shape:
            raise InputError("parts", expected="lists of equal length", got=f"{array.shape}")
        if not (np.isfinite(array).all() and (array >= 0).all() and abs(array.sum() - 1) < 1e-6):
            raise InputError(
                "parts", expected="probabilities with sum 1", got=f"sum {array.sum():.6g}"
            )
    p = np.einsum("j,jn->n", share, np.stack(arrays))
    described = [part.settings if isinstance(part, SamplingWeights) else {} for part in parts]
    settings = {"rule": "mixture", "weights": share.tolist(), "parts": described}
    return report_weights(p / p.sum(), labels=labels, classes=classes, settings=settings)
