"""The gate before methods that guess groups from errors: is the guessed set the right one?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike, NDArray

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, wilson_interval

LEAST_RATIO = 3.0
"""The set must hold conflicting images at least this many times as often as the data does."""


@dataclass(frozen=True)
class GateDecision:
    """Whether a set of errors may stand for the images that conflict with the bias.

    Attributes:
        allowed: whether the method may run.
        forced: allowed only because the user insisted.
        precision: share of conflicting images in the set, with interval; NaN if unknown.
        base_rate: share of conflicting images in the training set; NaN if unknown.
        ratio: precision / base rate; 1 is chance, NaN if unknown.
        recall: share of the conflicting images that are in the set; NaN if unknown.
        set_size: judged images in the set.
        n: judged images; the others' group is unknown.
        source: where the truth about conflict comes from.
        reason: one or two sentences to show.
    """

    allowed: bool
    forced: bool
    precision: Estimate
    base_rate: float
    ratio: float
    recall: float
    set_size: int
    n: int
    source: str
    reason: str

    def require(self) -> None:
        """Refuse with the reason.

        Raises:
            InputError: the gate is closed.
        """
        if not self.allowed:
            raise InputError(
                "A method that guesses groups from errors",
                expected="given a set that finds the conflicting images",
                got=self.reason,
                hint="Use a method that needs no guess (dfr, projection, cue_augmentation), label "
                "groups, or pass force=True to the gate.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as JSON; unknown numbers become None."""
        known = {k: None if v != v else v for k, v in self.precision.to_dict().items()}
        return {
            "allowed": self.allowed,
            "forced": self.forced,
            "precision": known,
            "base_rate": _or_none(self.base_rate),
            "ratio": _or_none(self.ratio),
            "recall": _or_none(self.recall),
            "set_size": self.set_size,
            "n": self.n,
            "source": self.source,
            "reason": self.reason,
        }


def gate_error_set(
    in_set: Bool[np.ndarray, "images"],
    conflicting: ArrayLike | None,
    *,
    source: str = "validation groups",
    base_rate: float | None = None,
    least_ratio: float = LEAST_RATIO,
    level: float = 0.95,
    force: bool = False,
) -> GateDecision:
    """Decide whether a guessed set is good enough: precision at least 3 times the base rate.

    With t and f the shares of conflicting and of other images that are in the set, and r the base
    rate, ``precision = r t / (r t + (1 - r) f)``: what the set would hold if it were made from data
    in which conflicting images are as frequent as in the training set. For ``base_rate=None`` that
    is the plain share of conflicting images in the set. The set is allowed if the precision is at
    least ``least_ratio`` times the base rate and the interval's lower end is above the base rate.

    Args:
        in_set: ``bool[n]``, the guessed set (such as the first model's errors) among the images
            whose groups are known: validation images, as a rule.
        conflicting: per image 1 (conflicts with the bias), 0 (does not) or -1 (unknown); booleans
            too; None if no groups are known anywhere, which closes the gate unless forced.
        source: where the truth comes from, such as ``validation groups`` or ``estimated by tags``.
        base_rate: share of conflicting images in the training set, in (0, 1); None takes the
            judged images for a sample of it.
        least_ratio: > 1.
        level: confidence level of the precision's interval.
        force: allow the method all the same; the decision says so.

    Returns:
        The decision, with the reason.

    Raises:
        InputError: lists that do not fit, a parameter out of range.

    Source: measured for JTT on a hard task: precision 5-7 % at a base rate of 4.6 % lowered the
    worst group's accuracy from 0.50 to 0.26. Interval of the ratio t / f: Donner & Zou, 2012,
    Statistical Methods in Medical Research 21.
    """
    chosen = np.asarray(in_set)
    if chosen.ndim != 1 or chosen.dtype != np.bool_:
        raise InputError("in_set", expected="one True or False per image", got=f"{chosen.dtype}")
    if not least_ratio > 1:
        raise InputError("least_ratio", expected="> 1", got=str(least_ratio))
    if base_rate is not None and not 0 < base_rate < 1:
        raise InputError("base_rate", expected="between 0 and 1", got=str(base_rate))
    truth = _check_truth(conflicting, chosen)
    known = truth >= 0
    inside, is_conflict = chosen[known], truth[known] == 1
    n, size = int(known.sum()), int(inside.sum())
    hits, total = int((inside & is_conflict).sum()), int(is_conflict.sum())
    rate = base_rate if base_rate is not None else (total / n if n else math.nan)
    precision = wilson_interval(hits, size, level=level)
    if base_rate is not None:
        precision = _reweighted(hits, total, size - hits, n - total, rate, level)
    ratio = precision.value / rate if rate > 0 else math.nan
    good, reason = _judge(precision, rate, ratio, size, n, total, source, least_ratio)
    return GateDecision(
        allowed=good or force,
        forced=force and not good,
        precision=precision,
        base_rate=rate,
        ratio=ratio,
        recall=hits / total if total else math.nan,
        set_size=size,
        n=n,
        source=source if n else "unknown",
        reason=f"Forced although refused: {reason}" if force and not good else reason,
    )


def _judge(
    precision: Estimate,
    rate: float,
    ratio: float,
    size: int,
    n: int,
    total: int,
    source: str,
    least: float,
) -> tuple[bool, str]:
    if n == 0:
        return False, (
            "no groups are known anywhere, so it cannot be told whether the errors are the "
            "conflicting images or just the hard ones"
        )
    about = f"({source}, {n} images)"
    if size == 0:
        return False, f"the set is empty {about}: the first model makes no errors"
    if total == 0 or total == n:
        which = "no" if total == 0 else "only"
        return False, f"there are {which} conflicting images to judge by {about}"
    if rate * least > 1:
        return False, (
            f"conflicting images are common (base rate {rate:.1%} {about}): no set can hold "
            f"{least:g} times as many, and groups need no guessing"
        )
    found = (
        f"the set holds {precision.value:.1%} [{precision.low:.1%}, {precision.high:.1%}] "
        f"conflicting images, {ratio:.2g} times the base rate of {rate:.1%} {about}"
    )
    if not ratio >= least:
        return False, f"{found}; at least {least:g} times is needed"
    if not precision.low > rate:
        return False, f"{found}; the interval reaches down to chance: too few images to tell"
    return True, found


def _check_truth(conflicting: ArrayLike | None, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    if conflicting is None:
        return np.full(chosen.size, -1, dtype=np.int64)
    truth = np.asarray(conflicting)
    if truth.shape != chosen.shape or truth.dtype.kind not in "iub":
        raise InputError(
            "conflicting",
            expected=f"{chosen.size} values, 1, 0 or -1",
            got=f"{truth.dtype} of shape {truth.shape}",
        )
    truth = truth.astype(np.int64)
    if truth.size and not (truth.min() >= -1 and truth.max() <= 1):
        raise InputError("conflicting", expected="1, 0 or -1", got=f"{truth.min()}..{truth.max()}")
    return truth


def _reweighted(
    hits: int, total: int, false: int, others: int, rate: float, level: float
) -> Estimate:
    """Return the precision at another base rate, with the interval of t / f carried over."""
    n = hits + false
    if n == 0 or total == 0 or others == 0:
        return Estimate(math.nan, math.nan, math.nan, n, level, "mover")
    t = wilson_interval(hits, total, level=level)
    f = wilson_interval(false, others, level=level)

    def precision(ratio: float) -> float:
        return 1.0 if math.isinf(ratio) else rate * ratio / (rate * ratio + 1 - rate)

    product = t.value * f.value
    value = t.value / f.value if f.value > 0 else math.inf
    under = product**2 - t.low * f.high * (2 * t.value - t.low) * (2 * f.value - f.high)
    # (product - root) / (f.high (2 f - f.high)), written so that it has no pole at 2 f = f.high
    low = 0.0
    if t.low > 0:
        low = t.low * (2 * t.value - t.low) / (product + math.sqrt(max(under, 0.0)))
    high = math.inf
    if f.low > 0:
        over = product**2 - t.high * f.low * (2 * t.value - t.high) * (2 * f.value - f.low)
        high = (product + math.sqrt(max(over, 0.0))) / (f.low * (2 * f.value - f.low))
    return Estimate(precision(value), precision(low), precision(high), n, level, "mover")


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
