"""From log-densities to sampling probabilities, in log space throughout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from sundog.core.errors import InputError
from sundog.debias.weight_report import SamplingWeights, check_labels, report_weights

Rule = Literal["product", "max", "max-m", "inverse", "tempered"]
_ALPHA: dict[str, float] = {"product": 1e-3, "max": 1e-3, "max-m": 1e-3}
_Vector = NDArray[np.float64]
_STEPS = 200


def sampling_weights(
    log_density: Float64[np.ndarray, "images"] | Float64[np.ndarray, "images latents"],
    *,
    rule: Rule = "tempered",
    alpha: float | None = None,
    temperature: float | None = None,
    effective_share: float = 0.5,
    m: int = 5,
    clip: float | None = None,
    labels: Int64[np.ndarray, "images"] | None = None,
    classes: Sequence[int] | None = None,
) -> SamplingWeights:
    """Return probabilities that favour images in thinly populated places.

    With ``p_ik`` the density of image i in dimension k, and ``p_i = Π_k p_ik`` (a single column is
    the joint density already), the weight before normalisation within the class is

    - ``product``: ``Π_k 1 / (p_ik + alpha)``, the paper's formula;
    - ``max``: ``max_k v_ik`` with ``v_ik = 1 / (p_ik + alpha)`` divided by its sum over the images
      of the class, the formula of the MIT practical;
    - ``max-m``: the product of the m largest ``1 / (p_ik + alpha)`` (all, if fewer);
    - ``inverse``: ``1 / (p_i + alpha)``, the practical's of 2023 with alpha = 1e-7;
    - ``tempered``: ``p_i ^ (-1 / temperature)``.

    ``alpha`` is added to a density, so its effect depends on the density's unit. Densities of many
    dimensions are tiny: where ``p_i`` is far below alpha, ``inverse`` is uniform and does nothing,
    which the result says. ``tempered`` depends on no unit: a factor on the density cancels.

    Then no image gets more than ``clip`` times the mean of its class: what is cut goes to the
    others in proportion to their weights. Each class keeps its share of the draws.

    Args:
        log_density: natural logarithm, ``float64[n]`` joint or ``float64[n, latents]`` one column
            per dimension; high = common. ``-inf`` (density 0) needs alpha > 0.
        rule: see above.
        alpha: >= 0, in units of the density; None: 0.001 for ``product``, ``max`` and ``max-m``,
            0 for ``inverse``. Large values lead to uniform weights.
        temperature: > 0, for ``tempered``; high leads to uniform weights, 1 is the inverse
            density. None: for each class the lowest from 1 up that keeps an effective size of
            ``effective_share`` of its images.
        effective_share: in (0, 1), for ``temperature=None``.
        m: >= 1, for ``max-m``.
        clip: >= 1, the largest weight as a multiple of the class's mean; None does not clip.
        labels: class per image: weights are normalised within each class; -1 (no label) is drawn
            uniformly. None treats all images as one class.
        classes: the classes to reweight, the others are drawn uniformly; None for all.

    Returns:
        Probabilities with effective size, largest / smallest ratio and warnings.

    Raises:
        InputError: NaN or +inf, an unknown rule, a parameter out of range, a class without images.

    Source: Amini, Soleimany, Schwarting, Bhatia & Rus, 2019, AIES (product); MIT Introduction to
    Deep Learning, lab 2 (max); reproductions of the former (max-m).
    """
    columns = _check_density(log_density)
    count = len(columns)
    if rule not in get_args(Rule):
        raise InputError("rule", expected=f"one of {get_args(Rule)}", got=repr(rule))
    added = _ALPHA.get(rule, 0.0) if alpha is None else float(alpha)
    if not (math.isfinite(added) and added >= 0):
        raise InputError("alpha", expected=">= 0", got=str(alpha))
    if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
        raise InputError("temperature", expected="> 0", got=str(temperature))
    if not 0 < effective_share < 1:
        raise InputError("effective_share", expected="between 0 and 1", got=str(effective_share))
    if m < 1:
        raise InputError("m", expected=">= 1", got=str(m))
    if clip is not None and not clip >= 1:
        raise InputError("clip", expected=">= 1", got=str(clip), hint="1 is uniform.")
    if (added == 0 or rule == "tempered") and np.isneginf(columns).any():
        raise InputError(
            "log_density",
            expected="finite where alpha is 0",
            got=f"-inf in {int(np.isneginf(columns).any(axis=1).sum())} of {count} images",
            hint="Smooth the density, or use a rule with alpha > 0.",
        )
    own = check_labels(labels, count)
    chosen = _check_classes(classes, own, given=labels is not None)
    probabilities = np.zeros(count)
    ratios: list[float] = []
    for label in np.unique(own).tolist():
        rows = np.flatnonzero(own == label)
        log = np.zeros(rows.size)
        if (labels is None or label >= 0) and (chosen is None or label in chosen):
            part = columns[rows]
            if rule == "tempered":
                log = _tempered(part, temperature, effective_share)
            else:
                log = _untempered(part, rule=rule, alpha=added, m=m)
        log = _clipped(log - logsumexp(log), clip)
        ratios.append(float(log.max() - log.min()))
        probabilities[rows] = np.exp(log) * (rows.size / count)
    settings = {
        "rule": rule,
        "alpha": added if rule != "tempered" else None,
        "temperature": temperature if rule == "tempered" else None,
        "effective_share_wanted": effective_share
        if rule == "tempered" and temperature is None
        else None,
        "m": m if rule == "max-m" else None,
        "clip": clip,
        "classes": list(chosen) if chosen is not None else None,
    }
    return report_weights(
        probabilities / probabilities.sum(),
        labels=labels,
        classes=chosen,
        log_ratios=ratios,
        settings={name: value for name, value in settings.items() if value is not None},
    )


def _check_density(log_density: ArrayLike) -> NDArray[np.float64]:
    columns = np.asarray(log_density, dtype=np.float64)
    shape = columns.shape
    if columns.ndim == 1:
        columns = columns[:, None]
    if columns.ndim != 2 or 0 in columns.shape:
        raise InputError(
            "log_density",
            expected="an array [images] or [images, latents]",
            got=f"shape {shape}",
        )
    bad = np.isnan(columns) | np.isposinf(columns)
    if bad.any():
        raise InputError(
            "log_density",
            expected="finite or -inf",
            got=f"NaN or +inf in {int(bad.any(axis=1).sum())} of {len(columns)} images",
            hint="Leave those images out and report how many there were.",
        )
    return columns


def _check_classes(
    classes: Sequence[int] | None, labels: Int64[np.ndarray, "images"], *, given: bool
) -> tuple[int, ...] | None:
    if classes is None:
        return None
    chosen = tuple(sorted({int(c) for c in classes}))
    if not given:
        raise InputError("classes", expected="given together with labels", got="no labels")
    missing = [c for c in chosen if c < 0 or not (labels == c).any()]
    if missing or not chosen:
        raise InputError(
            "classes", expected="at least one class, each with images", got=f"{missing or 'none'}"
        )
    return chosen


def _untempered(columns: NDArray[np.float64], *, rule: str, alpha: float, m: int) -> _Vector:
    """Return the log weights of one class, up to a constant."""
    floor = math.log(alpha) if alpha > 0 else -math.inf
    if rule == "inverse":
        joint: _Vector = -np.logaddexp(columns.sum(axis=1), floor)
        return joint
    inverse = -np.logaddexp(columns, floor)
    if rule == "product":
        return np.asarray(inverse.sum(axis=1))
    if rule == "max":
        return np.asarray((inverse - logsumexp(inverse, axis=0)).max(axis=1))
    return np.asarray(np.sort(inverse, axis=1)[:, ::-1][:, :m].sum(axis=1))


def _tempered(columns: NDArray[np.float64], temperature: float | None, share: float) -> _Vector:
    joint = columns.sum(axis=1)
    height = joint.min() - joint  # <= 0, the rarest image at 0
    if temperature is not None:
        return np.asarray(height / temperature)
    wanted = math.log(max(height.size * share, 1.0))
    if _log_size(height) >= wanted:
        return np.asarray(height)
    # The effective size falls as 1 / temperature grows: bisection on its logarithm.
    low, high = -math.log(1e9 * max(-float(height.min()), 1.0)), 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _log_size(height * math.exp(middle)) >= wanted:
            low = middle
        else:
            high = middle
    return np.asarray(height * math.exp(low))


def _log_size(log: _Vector) -> float:
    return float(2 * logsumexp(log) - logsumexp(2 * log))


def _clipped(log: _Vector, clip: float | None) -> _Vector:
    """Return log probabilities, none above ``clip / n``; the cut goes to the rest in proportion."""
    if clip is None or log.size == 1:
        return log
    cap = math.log(min(clip / log.size, 1.0))
    if log.max() <= cap:
        return log
    order = np.argsort(-log, kind="stable")
    falling = log[order]
    # tail[k]: log of the mass of all but the k largest
    tail = np.logaddexp.accumulate(falling[::-1])[::-1]
    for k in range(1, log.size):
        room = 1.0 - k * math.exp(cap)
        if room <= 0:
            break
        lift = math.log(room) - tail[k]
        if falling[k] + lift <= cap:
            made = log + lift
            made[order[:k]] = cap
            return made
    return np.full(log.size, -math.log(log.size))
