"""One gate: a number, its interval, a limit, and a decision that respects the interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field
from scipy import stats

from sundog.core.audit.measured import Measured
from sundog.core.inspection.record import FileRecord, Record

CHECK_FILE = "check.json"
Decision = Literal["pass", "fail", "inconclusive", "skipped"]
Bound = Literal["at most", "at least"]


class Gate(Record):
    """One test case of a check.

    Attributes:
        suite: ``stages``, ``limits`` or ``baseline``.
        name: what was held against the limit; may hold names that people gave.
        measured: the number with its interval and n; None if it is not a number.
        limit: what it may be at most, or must be at least.
        bound: which of the two.
        decision: ``pass``, ``fail``, ``inconclusive`` (the interval holds the limit), or
            ``skipped`` (not judged, see the message).
        message: one sentence.
    """

    suite: Literal["stages", "limits", "baseline"]
    name: str
    measured: Measured | None = None
    limit: float | None = None
    bound: Bound = "at most"
    decision: Decision
    message: str


class CheckReport(FileRecord):
    """``check.json``: all gates of one check.

    Attributes:
        title: of the audit.
        audit: content hash of the audit that was checked.
        baseline: content hash of the audit that it was held against; empty for none.
        strict: whether an inconclusive gate fails the check.
        limits: name -> value, those that were given.
        gates: in the order they were judged.
        passed: whether the check passed.
        facts: hashes and versions from the audit's manifest.
        notes: how the intervals were made.
    """

    format: Literal["sundog-check"] = "sundog-check"
    version: Literal[1] = 1
    title: str
    audit: str
    baseline: str = ""
    strict: bool = False
    limits: dict[str, float] = Field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    passed: bool
    facts: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def count(self, decision: Decision) -> int:
        """Return how many gates were decided so."""
        return sum(gate.decision == decision for gate in self.gates)


def judge_limit(
    suite: Literal["limits", "baseline"],
    name: str,
    measured: Measured,
    *,
    limit: float,
    bound: Bound,
    note: str = "",
    **numbers: Any,
) -> Gate:
    """Hold one number against a limit.

    ``at most``: fails if the whole interval lies above the limit, passes if none of it does.
    ``at least``: fails if the whole interval lies below, passes if none of it does. Otherwise the
    images cannot tell: inconclusive. A number without an interval is inconclusive.

    Args:
        suite: of the gate.
        name: of the gate.
        measured: the number.
        limit: in the units of the number.
        bound: ``at most`` or ``at least``.
        note: added to the message.
        **numbers: how numbers are written, for :func:`written`.
    """
    value, low, high = measured.value, measured.low, measured.high
    decision: Decision
    if value is None or low is None or high is None:
        decision = "inconclusive"
    elif bound == "at most":
        decision = "fail" if low > limit else "pass" if high <= limit else "inconclusive"
    else:
        decision = "fail" if high < limit else "pass" if low >= limit else "inconclusive"
    said = {"pass": "holds", "fail": "is broken", "inconclusive": "cannot be told"}[decision]
    text = f"{written(measured, **numbers)}; {bound} {limit:g} {said}."
    return Gate(
        suite=suite,
        name=name,
        measured=measured,
        limit=limit,
        bound=bound,
        decision=decision,
        message=f"{text} {note}".strip(),
    )


def written(measured: Measured, *, digits: int = 3) -> str:
    """Write a number with its interval and n: ``0.125 [0.1, 0.15] (n = 400, 95 % interval)``."""
    if measured.value is None:
        return f"not measured (n = {measured.n})"
    if measured.low is None or measured.high is None:
        return f"{measured.value:.{digits}g} (n = {measured.n}, no interval)"
    level = f"{100 * measured.level:.4g} % interval"
    return (
        f"{measured.value:.{digits}g} [{measured.low:.{digits}g}, {measured.high:.{digits}g}] "
        f"(n = {measured.n}, {level})"
    )


def together(numbers: Sequence[Measured], *, alpha: float = 0.05) -> list[Measured]:
    """Return the numbers with intervals that all hold together with probability ``1 - alpha``.

    Bonferroni: each at level ``1 - alpha / m``. An interval that was written at a lower level is
    widened: the distance of each end to the value grows by the ratio of the normal quantiles of
    the two levels. An interval of that level or a higher one stays as it is.

    Args:
        numbers: that are judged by one limit.
        alpha: probability that any interval misses its truth.
    """
    level = 1 - alpha / max(len(numbers), 1)
    return [at_level(number, level) for number in numbers]


def at_level(measured: Measured, level: float, *, least: float | None = None) -> Measured:
    """Return the number with an interval of at least this level; see :func:`together`.

    Args:
        measured: the number.
        level: wanted.
        least: what the number cannot be below, such as 0 for an error; the interval ends there.
    """
    value, low, high = measured.value, measured.low, measured.high
    if value is None or low is None or high is None or measured.level >= level - 1e-12:
        return measured
    ratio = float(stats.norm.ppf(0.5 + level / 2) / stats.norm.ppf(0.5 + measured.level / 2))
    wide = value - ratio * (value - low)
    return measured.model_copy(
        update={
            "low": wide if least is None else max(least, wide),
            "high": value + ratio * (high - value),
            "level": level,
        }
    )


def magnitude(measured: Measured) -> Measured:
    """Return the absolute value of a number with the interval of the absolute value."""
    value, low, high = measured.value, measured.low, measured.high
    if value is None or low is None or high is None:
        return measured if value is None else measured.model_copy(update={"value": abs(value)})
    ends = sorted((abs(low), abs(high)))
    if low <= 0 <= high:
        ends[0] = 0.0
    return measured.model_copy(update={"value": abs(value), "low": ends[0], "high": ends[1]})


def finite(value: float | None) -> bool:
    """Whether a number is there."""
    return value is not None and math.isfinite(value)
