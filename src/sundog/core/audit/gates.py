"""The gates of one audit: its stages finished, and its numbers stay within limits."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import median

from sundog.core.audit.gate import Gate, judge_limit, magnitude, together
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import AuditSummary, Group
from sundog.core.echo import echo
from sundog.core.errors import InputError
from sundog.core.inspection.finding import Finding

DETECTABLE = 0.3
"""A search whose typical test would miss a pull of 30 points (with ten classes; with fewer the same
loss pulls more, see :func:`echo`) does not clear a classifier."""
REJECTED = frozenset(("core", "concept absent"))
"""What a person says of a finding or a cue that is no bias: it is then reported, not judged."""


@dataclass(frozen=True)
class Limits:
    """What an audit is held against; None = not asked.

    Attributes:
        max_gap: of the accuracy between best and worst group, and of each finding, in [0, 1].
        max_flip_rate: share of images that follow a transplanted component beyond its control.
        min_accuracy: of all images.
        min_group_accuracy: of every class and metadata group.
        max_ece: expected calibration error of all images.
    """

    max_gap: float | None = None
    max_flip_rate: float | None = None
    min_accuracy: float | None = None
    min_group_accuracy: float | None = None
    max_ece: float | None = None

    def __post_init__(self) -> None:
        """Refuse a limit that no share can be held against.

        Raises:
            InputError: a limit outside [0, 1].
        """
        for name, value in self.given().items():
            if not 0 <= value <= 1:
                raise InputError(
                    name,
                    expected="a share between 0 and 1",
                    got=str(value),
                    hint="0.1 is ten points.",
                )

    def given(self) -> dict[str, float]:
        """Return the limits that were given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def stage_gates(audit: AuditSummary) -> list[Gate]:
    """Return a gate per stage: a failed one fails, a skipped one is skipped."""
    decided = {"done": "pass", "failed": "fail", "skipped": "skipped"}
    return [
        Gate.model_validate(
            {
                "suite": "stages",
                "name": f"stage {stage.name}",
                "decision": decided[stage.status],
                "message": f"{stage.status}. {stage.message}".strip(),
            }
        )
        for stage in audit.stages
    ]


def limit_gates(audit: AuditSummary, limits: Limits) -> list[Gate]:
    """Hold the numbers of an audit against the limits that were given."""
    gates: list[Gate] = []
    shown = audit.performance
    if limits.min_accuracy is not None:
        gates.append(
            _one(
                "accuracy",
                None if shown is None else shown.accuracy,
                limit=limits.min_accuracy,
                bound="at least",
                audit=audit,
            )
        )
    if limits.min_group_accuracy is not None:
        gates += _groups(audit, limits.min_group_accuracy)
    if limits.max_ece is not None:
        ece = None if shown is None else shown.ece
        gates.append(_one("expected calibration error", ece, limit=limits.max_ece, audit=audit))
    if limits.max_gap is not None:
        gates += _gaps(audit, limits.max_gap)
    if limits.max_flip_rate is not None:
        gates += _flips(audit, limits.max_flip_rate)
    return gates


def name_finding(finding: Finding) -> str:
    """Return a finding in words: ``tench with orange marks + blur``."""
    return f"{finding.class_name or 'all classes'} with {' + '.join(finding.concepts)}"


def name_group(group: Group) -> str:
    """Return a group in words: ``class tench``, ``camera = old``."""
    return f"class {group.name}" if group.column == "class" else f"{group.column} = {group.name}"


def finding_gap(finding: Finding) -> Measured:
    """Return the size of a finding's gap with its interval, whatever its direction."""
    effect = finding.effect
    return magnitude(
        Measured(
            value=effect.gap,
            low=effect.low,
            high=effect.high,
            n=effect.n_present + effect.n_absent,
            level=effect.level,
            method=effect.method,
        )
    )


def skipped(suite: str, name: str, message: str) -> Gate:
    """Return a gate that is reported and not judged."""
    return Gate.model_validate(
        {"suite": suite, "name": name, "decision": "skipped", "message": message}
    )


def stage_status(audit: AuditSummary, stage: str) -> str:
    """Return ``done``, ``failed``, ``skipped``, or ``not run`` for a stage that is not told."""
    return next((s.status for s in audit.stages if s.name == stage), "not run")


def rejected(audit: AuditSummary, entry_id: str) -> str:
    """Return what people said if they said that this is no bias, else nothing.

    What reviewers of an earlier audit said counts where nobody has judged this one.
    """
    if audit.verdicts.get(entry_id, "unreviewed") == "unreviewed":
        return audit.judged_before.get(entry_id, "")
    verdict = audit.verdicts[entry_id]
    return verdict if verdict in REJECTED else ""


def _groups(audit: AuditSummary, limit: float) -> list[Gate]:
    groups = () if audit.performance is None else audit.performance.groups
    if not groups:
        return [_missing("accuracy of the groups", "performance", audit)]
    large = [group for group in groups if not group.small]
    joint = dict(zip(large, together([group.accuracy for group in large]), strict=True))
    gates = []
    for group in groups:
        name = f"accuracy of {name_group(group)}"
        if group.small:
            gates.append(
                skipped("limits", name, f"too small to tell: {group.n} images in the group.")
            )
        else:
            gates.append(judge_limit("limits", name, joint[group], limit=limit, bound="at least"))
    return gates


def _gaps(audit: AuditSummary, limit: float) -> list[Gate]:
    shown = audit.performance
    gates = [
        _one(
            "gap between best and worst group",
            None if shown is None or shown.gap is None else magnitude(shown.gap),
            limit=limit,
            audit=audit,
        )
    ]
    if stage_status(audit, "findings") != "done" and not audit.findings:
        gates.append(_missing("gap of findings", "findings", audit))
    found = [finding for finding in audit.findings if finding.significant]
    judged = [finding for finding in found if not rejected(audit, finding.id)]
    joint = dict(
        zip((f.id for f in judged), together([finding_gap(f) for f in judged]), strict=True)
    )
    for finding in found:
        name = f"gap of {name_finding(finding)} ({finding.effect.metric})"
        said = rejected(audit, finding.id)
        if said:
            gates.append(skipped("limits", name, f"a person's verdict: {said}."))
        else:
            gates.append(
                judge_limit("limits", name, joint[finding.id], limit=limit, bound="at most")
            )
    return gates


def _flips(audit: AuditSummary, limit: float) -> list[Gate]:
    if not audit.cue_tests and not audit.cues:
        return [_missing("flip rate of components", "cues", audit)]
    gates = []
    for cue in audit.cues:
        name = f"flip rate of cue {cue.name} ({', '.join(cue.classes) or 'all classes'})"
        said = rejected(audit, cue.id)
        if said:
            gates.append(skipped("limits", name, f"a person's verdict: {said}."))
        else:
            note = "Beyond its control, corrected for all tests of the search."
            gates.append(
                judge_limit("limits", name, cue.excess, limit=limit, bound="at most", note=note)
            )
    return [*gates, *_other_parts(audit)]


def _other_parts(audit: AuditSummary) -> list[Gate]:
    """Say what the tests without a claim are worth.

    They are not held against the limit: moving the object itself flips predictions too, and what
    is not claimed does not exceed what sound models show.
    """
    others = [test for test in audit.cue_tests if not test.claimed]
    if not others:
        return []
    worth = median(math.inf if t.detectable is None else t.detectable for t in others)
    able = worth <= DETECTABLE * echo(len(audit.class_names))
    seen = "any pull" if math.isinf(worth) else f"a pull below {100 * worth:.0f} points"
    return [
        Gate(
            suite="limits",
            name="flip rate of other components",
            decision="pass" if able else "inconclusive",
            message=f"{len(others)} tests without a claim: none pulls more than sound models show. "
            f"In the typical test {seen} would have gone unseen.",
        )
    ]


def _one(
    name: str,
    measured: Measured | None,
    *,
    limit: float,
    audit: AuditSummary,
    bound: str = "at most",
) -> Gate:
    if measured is None or measured.value is None:
        return _missing(name, "performance", audit)
    return judge_limit(
        "limits",
        name,
        measured,
        limit=limit,
        bound="at least" if bound == "at least" else "at most",
    )


def _missing(name: str, stage: str, audit: AuditSummary) -> Gate:
    """Report a number that is not there.

    A limit on what nobody asked the audit to measure would always hold, so it fails.
    """
    status = stage_status(audit, stage)
    if status in ("done", "failed"):
        why = "these images could not show it" if status == "done" else f"stage {stage} failed"
        return Gate(
            suite="limits", name=name, decision="inconclusive", message=f"not measured: {why}."
        )
    return Gate(
        suite="limits",
        name=name,
        decision="fail",
        message=f"not measured: stage {stage} was {status}, so the limit cannot hold. "
        "Run the stage, or leave out the limit.",
    )
