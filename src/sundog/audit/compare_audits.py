"""``sundog compare RUN_A RUN_B``: two audits, before and after a change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sundog.audit.audit_changes import before_and_after
from sundog.audit.audit_folder import open_audit, paired_changes, read_predictions, read_slices
from sundog.audit.audit_stages import INSPECT
from sundog.core.audit.comparison import (
    COMPARISON_FILE,
    AuditComparison,
    MatchedCues,
    MatchedFindings,
)
from sundog.core.audit.cues import CueRecord
from sundog.core.audit.gates import stage_status
from sundog.core.audit.matching import Matched, match_cues, match_findings
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import AuditSummary, Change
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.query import QUERY_FILE
from sundog.core.run_folder import RunFolder
from sundog.report.audit_changes import judged
from sundog.report.compare_audits_page import compare_audits_page
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, write_page

SEARCHES = ("findings", "cues")


@dataclass(frozen=True, repr=False)
class AuditComparisonRun(PageInNotebook):
    """What :func:`compare_audits` wrote: the folder, the page, its content, and the answer."""

    path: Path
    page: Path
    content: Page
    comparison: AuditComparison


def compare_audits(
    before: str | Path, after: str | Path, out_dir: str | Path, *, command: str = ""
) -> AuditComparisonRun:
    """Say what changed between two audits; reads their folders alone, no model and no images.

    Accuracies are paired over the images that both saw, and the findings of the first audit are
    measured in the second on the very same images (:func:`before_and_after`). Findings and cues are
    matched by identity, then by their images or their place: what is gone, what remains, what is
    new.

    Args:
        before: run folder of the first audit.
        after: run folder of the second.
        out_dir: run folder of the comparison.
        command: how to reproduce, shown on the page.

    Raises:
        RunFolderError: a folder that is no audit.
    """
    (first_path, first), (second_path, second) = open_audit(before), open_audit(after)
    comparison = _compare(first_path, first, second_path, second)
    with RunFolder.open(
        out_dir,
        kind="compare-audits",
        arguments={"before": first.content_hash(), "after": second.content_hash()},
    ) as folder:
        comparison.write(folder.path / COMPARISON_FILE)
        page = compare_audits_page(comparison, command=command)
        written = write_page(page, folder.path / "index.html")
        folder.finish()
    return AuditComparisonRun(path=folder.path, page=written, content=page, comparison=comparison)


def _compare(
    first_path: Path, first: AuditSummary, second_path: Path, second: AuditSummary
) -> AuditComparison:
    blind = [name for name in SEARCHES if not all(searched(a, name) for a in (first, second))]
    findings: Matched[Finding] = Matched((), (), ())
    cues: Matched[CueRecord] = Matched((), (), ())
    if "findings" not in blind:
        findings = match_findings(
            [f for f in first.findings if f.significant],
            [f for f in second.findings if f.significant],
            images_a=read_slices(first_path),
            images_b=read_slices(second_path),
        )
    if "cues" not in blind:
        cues = match_cues(first.cues, second.cues)
    paired, told = _paired(first_path, second_path, second.class_names)
    changes = [*paired, *_apart(first, second, cues.shared)]
    matched = MatchedFindings(fixed=findings.only_a, remaining=findings.shared, new=findings.only_b)
    matched_cues = MatchedCues(fixed=cues.only_a, remaining=cues.shared, new=cues.only_b)
    better = sum(judged(change) == "better" for change in changes)
    worse = sum(judged(change) == "worse" for change in changes)
    gained = better + len(matched.fixed) + len(matched_cues.fixed)
    lost = worse + len(matched.new) + len(matched_cues.new)
    same = _same_images(first_path, second_path)
    return AuditComparison(
        before=first.title,
        after=second.title,
        hashes=(first.content_hash(), second.content_hash()),
        same_images=same,
        same_model=_same_model(first, second),
        sentence=_sentence(changes, matched, matched_cues, blind),
        outcome="mixed"
        if gained and lost
        else "better"
        if gained
        else "worse"
        if lost
        else "no change shown",
        changes=tuple(changes),
        findings=matched,
        cues=matched_cues,
        notes=tuple(dict.fromkeys((*told, *_notes(first, second, same, blind)))),
    )


def _paired(
    first: Path, second: Path, class_names: tuple[str, ...]
) -> tuple[Sequence[Change], Sequence[str]]:
    """Return changes on the same images, and notes; without an inspection, accuracies alone."""
    if any((first / place / QUERY_FILE).is_file() for place in ("", INSPECT)):
        found = before_and_after(first, second)
        return found.changes, found.notes
    note = "The first audit holds no inspection: its findings are not measured again."
    return paired_changes(first, second, class_names=class_names), [note]


def _apart(
    first: AuditSummary, second: AuditSummary, cues: Sequence[tuple[CueRecord, CueRecord]]
) -> list[Change]:
    """Return numbers of which no image-by-image difference is kept, with wide intervals."""
    pairs: list[tuple[str, str, Measured | None, Measured | None, str]] = []
    if first.performance is not None and second.performance is not None:
        pairs += [
            (
                "gap between best and worst group",
                "overall",
                first.performance.gap,
                second.performance.gap,
                "lower",
            ),
            (
                "expected calibration error",
                "overall",
                first.performance.ece,
                second.performance.ece,
                "lower",
            ),
        ]
    for a, b in cues:
        pairs.append((f"flips that follow {b.name}", "cue", a.excess, b.excess, "lower"))
        pairs.append((f"accuracy that hangs on {b.name}", "cue", a.reliance, b.reliance, "lower"))
    return [
        Change.model_validate(
            {
                "what": what,
                "kind": kind,
                "before": a,
                "after": b,
                "difference": unpaired_difference(a, b),
                "better": better,
            }
        )
        for what, kind, a, b, better in pairs
        if a is not None and b is not None and a.value is not None and b.value is not None
    ]


def unpaired_difference(before: Measured, after: Measured) -> Measured:
    """Return after - before from two numbers with their intervals alone (MOVER).

    ``d - sqrt((a - a_low)² + (b_high - b)²)`` to ``d + sqrt((a_high - a)² + (b - b_low)²)`` with b
    before and a after: as if they were independent. On the same images they mostly go up and down
    together, and the interval is then too wide rather than too narrow.

    Source: Zou & Donner, 2008, Statistics in Medicine 27.
    """
    b, a = before.estimate(), after.estimate()
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    known = math.isfinite(low) and math.isfinite(high)
    return Measured(
        value=value,
        low=low if known else None,
        high=high if known else None,
        n=min(a.n, b.n),
        level=min(a.level, b.level),
        method="mover, unpaired",
    )


def searched(audit: AuditSummary, name: str) -> bool:
    """Return whether an audit looked for findings or cues: else none is no sign of none."""
    return stage_status(audit, name) == "done"


def _sentence(
    changes: Sequence[Change],
    findings: MatchedFindings,
    cues: MatchedCues,
    blind: Sequence[str] = (),
) -> str:
    parts = []
    accuracy = next((c for c in changes if c.what == "accuracy" and c.kind == "overall"), None)
    if accuracy is not None:
        b, a, d = (m.estimate() for m in (accuracy.before, accuracy.after, accuracy.difference))
        parts.append(
            f"accuracy went from {100 * b.value:.1f}\u00a0% to {100 * a.value:.1f}\u00a0% on the "
            f"same {d.n:,} images ({100 * d.value:+.1f} points, {100 * d.low:+.1f} to "
            f"{100 * d.high:+.1f})"
        )
    for what, fixed, remaining, new in (
        ("findings", findings.fixed, findings.remaining, findings.new),
        ("cues", cues.fixed, cues.remaining, cues.new),
    ):
        parts.append(
            f"{what}: {len(fixed)} gone, {len(remaining)} remain, {len(new)} new"
            if len(fixed) + len(remaining) + len(new)
            else f"{what}: not looked for in both audits"
            if what in blind
            else f"no {what} in either audit"
        )
    text = "; ".join(parts).replace("-", "−")
    return f"{text[0].upper()}{text[1:]}."


def _same_images(first: Path, second: Path) -> bool:
    a, b = read_predictions(first), read_predictions(second)
    return a is not None and b is not None and set(a["id"]) == set(b["id"])


def _same_model(first: AuditSummary, second: AuditSummary) -> bool | None:
    known = [audit.manifest.get("weights") for audit in (first, second)]
    return None if None in known else known[0] == known[1]


def _notes(
    first: AuditSummary, second: AuditSummary, same: bool, blind: Sequence[str]
) -> list[str]:
    notes = []
    for name in blind:
        without = [w for w, a in (("first", first), ("second", second)) if not searched(a, name)]
        notes.append(
            f"The {' and the '.join(without)} audit did not look for {name} (stage {name}): "
            "nothing is said of which are gone or new."
        )
    if not same:
        notes.append(
            "The audits did not see the same images: accuracies are paired over the common ones, "
            "and a finding may be gone because its images are."
        )
    if first.class_names != second.class_names:
        notes.append("The audits do not name the same classes.")
    for when, audit in (("first", first), ("second", second)):
        failed = [stage.name for stage in audit.stages if stage.status == "failed"]
        if failed:
            notes.append(f"Stages that failed in the {when} audit: {', '.join(failed)}.")
    notes.append(
        "A finding that is gone was no longer significant: look at its gap on the frozen slice "
        "before calling it mended."
    )
    return notes
