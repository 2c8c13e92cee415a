"""What a doctor found: one row per check, with what was expected and what to try."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sundog.core.audit.measured import Measured
from sundog.core.errors import UnknownNameError
from sundog.core.statistics import Estimate

Status = Literal["ok", "warn", "fail", "unsure", "skipped"]
SEVERITY: tuple[Status, ...] = ("skipped", "ok", "unsure", "warn", "fail")
"""From harmless to grave."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: ``area: what``, e.g. ``images: duplicates``.
        status: ``ok``; ``warn``, the run can go on and a person should know; ``fail``, numbers of
            the run would be wrong or it would stop; ``unsure``, the images cannot tell;
            ``skipped``, could not or need not be looked at.
        found: what there is, in words, with n and interval where it is an estimate.
        expected: what should be.
        try_: what to do; empty where nothing is to be done.
        measured: the estimates that ``found`` speaks of, by name.
    """

    name: str
    status: Status
    found: str
    expected: str = ""
    try_: str = ""
    measured: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def area(self) -> str:
        """The part of the name before the colon."""
        return self.name.partition(":")[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain values for JSON; NaN becomes None."""
        return {
            "name": self.name,
            "status": self.status,
            "found": self.found,
            "expected": self.expected,
            "try": self.try_,
            "measured": {
                name: Measured.of(value).model_dump(mode="json")
                for name, value in self.measured.items()
            },
        }


@dataclass(frozen=True)
class Diagnosis:
    """Everything that :func:`sundog.audit.doctor.diagnose` found.

    Attributes:
        checks: in the order they were made.
        classifier: its name.
        image_set: its name.
        images: in the set, as far as it was opened.
        sample: images that were shown to the classifier.
        seconds: wall time.
        seed: of the sample.
    """

    checks: tuple[Check, ...]
    classifier: str
    image_set: str
    images: int
    sample: int
    seconds: float
    seed: int

    @property
    def status(self) -> Status:
        """The gravest status of all checks; ``ok`` if nothing was looked at."""
        return max((c.status for c in self.checks), key=SEVERITY.index, default="ok")

    @property
    def exit_code(self) -> int:
        """1 if a check failed, else 0."""
        return int(self.status == "fail")

    @property
    def counts(self) -> dict[Status, int]:
        """How many checks have each status, the gravest first."""
        return {s: sum(c.status == s for c in self.checks) for s in reversed(SEVERITY)}

    def check(self, name: str) -> Check:
        """Return the check of this name.

        Raises:
            UnknownNameError: no such check; suggests the nearest.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise UnknownNameError("check", name, [check.name for check in self.checks])

    def of_status(self, *statuses: Status) -> tuple[Check, ...]:
        """Return the checks that have one of these statuses."""
        return tuple(check for check in self.checks if check.status in statuses)

    def headline(self) -> str:
        """Return the answer in one sentence."""
        words = {"fail": "failed", "warn": "to know about", "unsure": "unsure", "ok": "ok"}
        counted = [f"{n} {words[s]}" for s, n in self.counts.items() if n and s in words]
        return f"{self.classifier} on {self.image_set}: {', '.join(counted) or 'nothing checked'}."

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as plain values for JSON."""
        return {
            "format": "sundog-diagnosis",
            "version": 1,
            "status": self.status,
            "classifier": self.classifier,
            "image_set": self.image_set,
            "images": self.images,
            "sample": self.sample,
            "seconds": self.seconds,
            "seed": self.seed,
            "counts": dict(self.counts),
            "checks": [check.to_dict() for check in self.checks],
        }

    def __str__(self) -> str:
        lines = [self.headline()]
        for check in self.checks:
            lines.append(f"{check.status:7} {check.name}: {check.found}")
            if check.try_ and check.status != "ok":
                lines.append(f"{'':7} try: {check.try_}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        cells = [
            "".join(f"<td>{html.escape(text)}</td>" for text in _row(check))
            for check in self.checks
        ]
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<p>{html.escape(self.headline())}</p><table><tr>{head}</tr>{rows}</table>"


COLUMNS = ("", "check", "found", "expected", "try")
"""Of the table of checks."""


def _row(check: Check) -> Sequence[str]:
    return (check.status, check.name, check.found, check.expected, check.try_)
