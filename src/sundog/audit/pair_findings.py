"""The findings of several inspections, laid side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from sundog.audit.audit_folder import read_slices
from sundog.core.audit.comparison import FindingLists
from sundog.core.audit.matching import match_findings
from sundog.core.inspection.finding import Finding


@dataclass(frozen=True)
class InspectedModel:
    """The findings of one inspection, and its run folder."""

    findings: Sequence[Finding]
    path: Path

    @property
    def significant(self) -> list[Finding]:
        """Return the findings that passed the correction and stand on their own."""
        return [f for f in self.findings if f.significant and not f.explained_by]


def finding_lists(inspected: Mapping[str, InspectedModel]) -> tuple[FindingLists, ...]:
    """Match the significant findings of every two models.

    Args:
        inspected: run -> its inspection, of the same images.
    """
    found = []
    for first, second in combinations(inspected, 2):
        a, b = inspected[first], inspected[second]
        matched = match_findings(
            a.significant,
            b.significant,
            images_a=read_slices(a.path),
            images_b=read_slices(b.path),
        )
        found.append(
            FindingLists(
                first=first,
                second=second,
                shared=matched.shared,
                only_first=matched.only_a,
                only_second=matched.only_b,
            )
        )
    return tuple(found)
