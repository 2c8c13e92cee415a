"""The gates against an earlier audit: nothing new, and no number significantly worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sundog.core.audit.gate import Bound, Gate, at_level, together, written
from sundog.core.audit.gates import (
    finding_gap,
    name_finding,
    name_group,
    rejected,
    skipped,
    stage_status,
)
from sundog.core.audit.matching import Matched, match_cues, match_findings
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import AuditSummary, Change
from sundog.core.statistics import proportion_difference


def baseline_gates(
    audit: AuditSummary,
    old: AuditSummary,
    *,
    changes: Sequence[Change] = (),
    images_new: Mapping[str, frozenset[str]] | None = None,
    images_old: Mapping[str, frozenset[str]] | None = None,
    alpha: float = 0.05,
) -> list[Gate]:
    """Hold an audit against an earlier one.

    A finding or cue without a partner in the old audit fails, unless a person rejected it; so does
    a search that the old audit made and this one did not: it could have found nothing new. A number
    fails if it is significantly worse: paired changes, where there are any, by their own interval;
    accuracies of groups without one by the difference of two proportions as if the images were
    others (which, for the same images, only makes a failure rarer); gaps, calibration errors and
    flip rates if their intervals lie apart. All numbers together are wrong with probability
    ``alpha`` at most (Bonferroni).

    Args:
        audit: the new one.
        old: the baseline.
        changes: paired changes from old to new (difference = after - before).
        images_new: finding id -> images of its slice, for the matching.
        images_old: the same of the baseline.
        alpha: probability of any failure by chance.
    """
    gates = [*_new_findings(audit, old, images_new, images_old), *_new_cues(audit, old)]
    if audit.performance is None and old.performance is not None:
        gates.append(_not_looked("accuracies", stage_status(audit, "performance")))
    paired = [c for c in changes if c.difference.low is not None and c.difference.high is not None]
    known = {change.what for change in paired}
    numbers, left = _numbers(audit, old, images_new, images_old)
    pairs = [entry for entry in numbers if entry[0] not in known]
    count = len(paired) + len(pairs)
    gates += [_change(change, level=1 - alpha / max(count, 1)) for change in paired]
    gates += [_apart(*entry, level=1 - alpha / max(count, 1)) for entry in pairs]
    return [*gates, *left]


Pair = tuple[str, Measured, Measured, Bound]


def _new_findings(
    audit: AuditSummary,
    old: AuditSummary,
    images_new: Mapping[str, frozenset[str]] | None,
    images_old: Mapping[str, frozenset[str]] | None,
) -> list[Gate]:
    matched = match_findings(
        [f for f in old.findings if f.significant],
        [f for f in audit.findings if f.significant],
        images_a=images_old,
        images_b=images_new,
    )
    gates = []
    for finding in matched.only_b:
        name, said = f"new finding {name_finding(finding)}", rejected(audit, finding.id)
        gap = written(finding_gap(finding))
        gates.append(
            skipped("baseline", name, f"a person's verdict: {said}.")
            if said
            else Gate(
                suite="baseline",
                name=name,
                measured=finding_gap(finding),
                decision="fail",
                message=f"not in the baseline; gap {gap}, corrected p {finding.p_adjusted}.",
            )
        )
    gates.append(_summary("findings", audit, old, matched))
    return gates


def _new_cues(audit: AuditSummary, old: AuditSummary) -> list[Gate]:
    matched = match_cues(old.cues, audit.cues)
    gates = []
    for cue in matched.only_b:
        name, said = f"new cue {cue.name}", rejected(audit, cue.id)
        gates.append(
            skipped("baseline", name, f"a person's verdict: {said}.")
            if said
            else Gate(
                suite="baseline",
                name=name,
                measured=cue.excess,
                decision="fail",
                message=f"not in the baseline; flip rate beyond control {written(cue.excess)}.",
            )
        )
    gates.append(_summary("cues", audit, old, matched))
    return gates


def _summary(what: str, audit: AuditSummary, old: AuditSummary, matched: Matched[Any]) -> Gate:
    """Return a gate that is always there, so that a report shows what was looked at."""
    now, before = stage_status(audit, what), stage_status(old, what)
    if now != "done" and not matched.only_b and not matched.shared:
        if before == "done":
            return _not_looked(what, now)
        return skipped("baseline", f"{what} of the baseline", "looked for in neither audit.")
    gone, shared, new = (len(part) for part in (matched.only_a, matched.shared, matched.only_b))
    blind = "" if before == "done" else f" The baseline did not look for {what}: each is new."
    return Gate(
        suite="baseline",
        name=f"{what} of the baseline",
        decision="pass",
        message=f"{gone} gone, {shared} remain, {new} new.{blind}",
    )


def _not_looked(what: str, status: str) -> Gate:
    """Report what the baseline measured and this audit did not: it would never be worse."""
    return Gate(
        suite="baseline",
        name=f"{what} of the baseline",
        decision="inconclusive" if status == "failed" else "fail",
        message=f"not looked for in this audit: the stage was {status}, so nothing can be held "
        "against the baseline. Run the stage.",
    )


def _numbers(
    audit: AuditSummary,
    old: AuditSummary,
    images_new: Mapping[str, frozenset[str]] | None,
    images_old: Mapping[str, frozenset[str]] | None,
) -> tuple[list[Pair], list[Gate]]:
    """Return what both audits measured: name, before, after, which direction is better.

    What a person rejected is returned as gates that are not judged.
    """
    found: list[Pair] = []
    new_shown, old_shown = audit.performance, old.performance
    if new_shown is not None and old_shown is not None:
        found.append(("accuracy", old_shown.accuracy, new_shown.accuracy, "at least"))
        before = {(g.column, g.name): g for g in old_shown.groups if not g.small}
        found += [
            (
                f"accuracy of {name_group(g)}",
                before[g.column, g.name].accuracy,
                g.accuracy,
                "at least",
            )
            for g in new_shown.groups
            if not g.small and (g.column, g.name) in before
        ]
        for name, b, a in (
            ("gap between best and worst group", old_shown.gap, new_shown.gap),
            ("expected calibration error", old_shown.ece, new_shown.ece),
        ):
            if b is not None and a is not None:
                found.append((name, b, a, "at most"))
    findings = match_findings(
        [f for f in old.findings if f.significant],
        [f for f in audit.findings if f.significant],
        images_a=images_old,
        images_b=images_new,
    )
    left: list[Gate] = []
    claims: list[tuple[str, Pair]] = [
        (b.id, (f"gap of {name_finding(b)}", finding_gap(a), finding_gap(b), "at most"))
        for a, b in findings.shared
    ]
    claims += [
        (b.id, (f"flip rate of cue {b.name}", a.excess, b.excess, "at most"))
        for a, b in match_cues(old.cues, audit.cues).shared
    ]
    for identity, pair in claims:
        said = rejected(audit, identity)
        if said:
            left.append(skipped("baseline", pair[0], f"a person's verdict: {said}."))
        else:
            found.append(pair)
    return found, left


def _change(change: Change, *, level: float) -> Gate:
    difference = at_level(change.difference, level)
    low, high = difference.low or 0.0, difference.high or 0.0
    worse = high < 0 if change.better == "higher" else low > 0
    return Gate(
        suite="baseline",
        name=change.what,
        measured=difference,
        limit=0.0,
        bound="at least" if change.better == "higher" else "at most",
        decision="fail" if worse else "pass",
        message=f"change {written(difference)}: "
        + ("significantly worse." if worse else "not significantly worse."),
    )


def _apart(name: str, before: Measured, after: Measured, bound: Bound, *, level: float) -> Gate:
    """Judge two numbers of which no paired difference is known."""
    if bound == "at least":
        return _share_change(name, before, after, level=level)
    old, new = (at_level(m, level, least=_least(m)) for m in (before, after))
    if old.high is None or new.low is None:
        return skipped("baseline", name, "no interval in one of the audits.")
    worse = new.low > old.high
    return Gate(
        suite="baseline",
        name=name,
        measured=new,
        limit=old.high,
        bound="at most",
        decision="fail" if worse else "pass",
        message=f"{written(old)} before, {written(new)} now: "
        + ("the intervals lie apart, worse." if worse else "not significantly worse."),
    )


def _least(measured: Measured) -> float | None:
    """Return 0 for a number whose interval has no negative part, such as a gap or an error."""
    return 0.0 if measured.low is not None and measured.low >= 0 else None


def _share_change(name: str, before: Measured, after: Measured, *, level: float) -> Gate:
    if before.value is None or after.value is None:
        return skipped("baseline", name, "not measured in one of the audits.")
    hits = [round(m.value * m.n) for m in (after, before) if m.value is not None]
    difference = Measured.of(
        proportion_difference(hits[0], after.n, hits[1], before.n, level=level)
    )
    worse = difference.high is not None and difference.high < 0
    return Gate(
        suite="baseline",
        name=name,
        measured=difference,
        limit=0.0,
        bound="at least",
        decision="fail" if worse else "pass",
        message=f"{written(together([before])[0])} before, {written(together([after])[0])} now; "
        f"change {written(difference)}: "
        + ("significantly worse." if worse else "not significantly worse."),
    )
