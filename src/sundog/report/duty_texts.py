"""What a run knows for each item of the documentation; empty text where it knows nothing."""

from __future__ import annotations

import math

from sundog.core.audit.summary import AuditSummary
from sundog.report import phrases
from sundog.report.audit_changes import judged
from sundog.report.audit_cues import order_cues
from sundog.report.audit_explanations import believed
from sundog.report.audit_findings import order_findings, standing
from sundog.report.audit_performance import calibration, name_of, overall, worst
from sundog.report.audit_record import duration
from sundog.report.audit_tested import concepts_unseen, cues_unseen
from sundog.report.audit_words import clip, dismissed, known, listed, share


def nothing(summary: AuditSummary) -> str:
    """Return nothing: only a person knows."""
    del summary
    return ""


def model(summary: AuditSummary) -> str:
    """Return name, hash and classes of the classifier."""
    weights = _hash(summary, "weights")
    count = phrases.counted(len(summary.class_names), "class")
    return f"Classifier {clip(summary.classifier)}; {count}{weights}."


def test_data(summary: AuditSummary) -> str:
    """Return name, size and hash of the image set."""
    data = _hash(summary, "data")
    made = summary.performance
    size = "" if made is None else f"; {made.accuracy.n:,} labelled images were tested"
    facts = "; ".join(f"{clip(k, 40)}: {clip(v, 80)}" for k, v in list(summary.facts.items())[:8])
    return f"{clip(summary.image_set)}{size}{data}." + (f" {facts}." if facts else "")


def factors(summary: AuditSummary) -> str:
    """Return which groups were compared, and where they come from."""
    made = summary.performance
    parts = []
    if made is not None and made.groups:
        columns = list(dict.fromkeys(group.column for group in made.groups))
        given = [clip(column, 40) for column in columns if column != "class"]
        parts.append("classes (given by the labels)")
        if given:
            parts.append(f"metadata (given): {listed(given)}")
    if summary.tested_concepts:
        parts.append("concepts (discovered by taggers)")
    if summary.cue_tests:
        parts.append("cues (discovered by moving parts of images)")
    return f"Compared: {'; '.join(parts)}." if parts else ""


def metrics(summary: AuditSummary) -> str:
    """Return the metrics that were measured."""
    names = []
    if summary.performance is not None:
        names.append("accuracy with interval, overall and by group")
        if not math.isnan(known(summary.performance.ece).value):
            names.append("expected calibration error")
    if summary.findings or summary.tested_concepts:
        names.append("difference of the error with and without a concept, corrected")
    if summary.cue_tests:
        names.append("share of predictions that follow a moved part, against a control")
    if summary.explanations is not None:
        names.append("deletion and insertion of explanations")
    if summary.risk is not None:
        names.append("AUROC of risks for finding errors")
    return f"Measured: {'; '.join(names)}." if names else ""


def accuracy(summary: AuditSummary) -> str:
    """Return the accuracy and the calibration."""
    made = summary.performance
    return "" if made is None else f"{overall(made)} {calibration(made)}".strip()


def groups(summary: AuditSummary) -> str:
    """Return the worst group, and where all groups are."""
    made = summary.performance
    if made is None or not made.groups:
        return ""
    return f"{worst(made)} All {len(made.groups):,} groups are in this report.".strip()


def bias(summary: AuditSummary) -> str:
    """Return how many cues and findings were found, of how many tests, at which bound."""
    if not (summary.cue_tests or summary.tested_concepts or summary.cues or summary.findings):
        return ""
    cues, found = order_cues(summary), order_findings(summary)
    alone = standing(summary)
    parts = [
        f"{phrases.counted(len(cues), 'cue')} that predictions follow",
        f"{phrases.counted(len(found), 'finding')} of a higher error, {len(alone)} of them on "
        "their own",
    ]
    rejected = sum(dismissed(summary, key) for key in {*summary.verdicts, *summary.judged_before})
    judged_by = sum(bool(v) and v != "unreviewed" for v in summary.verdicts.values())
    people = f" People judged {judged_by} and rejected {rejected}." if judged_by else ""
    return (
        f"{'; '.join(parts)}. p-values are corrected for all that was tested.{people} "
        f"{concepts_unseen(summary)} {cues_unseen(summary)}"
    )


def mitigation(summary: AuditSummary) -> str:
    """Return what changed against an earlier audit; nothing if there is none."""
    if not summary.changes:
        return ""
    sides = [judged(change) for change in summary.changes]
    title = clip((summary.before or {}).get("title", "an earlier audit"))
    return (
        f"Against {title}, on the same images: {sides.count('better')} numbers better, "
        f"{sides.count('worse')} worse, {sides.count('')} not shown to differ."
    )


def data_gaps(summary: AuditSummary) -> str:
    """Return small groups, rare images and suspected labels."""
    parts = []
    made, risk = summary.performance, summary.risk
    if made is not None:
        small = [name_of(group) for group in made.groups if group.small]
        if small:
            parts.append(
                f"{phrases.counted(len(small), 'group')} too small to tell: {listed(small)}"
            )
    if risk is not None:
        parts.append(
            f"{phrases.counted(len(risk.label_errors), 'label')} suspected to be wrong, "
            f"{phrases.counted(len(risk.outliers), 'image')} listed as rare"
        )
    blind = sum(gap is None for gap in summary.smallest_detectable.values())
    if blind:
        parts.append(f"{phrases.counted(blind, 'class')} with too few images to see any gap")
    return f"{'; '.join(parts)}." if parts else ""


def robustness(summary: AuditSummary) -> str:
    """Return what the cues say of circumstances that lower the accuracy."""
    cues = order_cues(summary)
    if cues:
        told = "; ".join(f"'{clip(cue.name, 60)}' turns {share(cue.flip)}" for cue in cues[:4])
        return f"Predictions follow a moved part of the image: {told}."
    if summary.cue_tests:
        return f"Parts of images were moved into others. {cues_unseen(summary)}"
    return ""


def explanation(summary: AuditSummary) -> str:
    """Return which maps may be believed."""
    made = summary.explanations
    return "" if made is None or not made.scores else believed(made)


def generalisation(summary: AuditSummary) -> str:
    """Return the limits that the run states."""
    said = [clip(limit, 240) for limit in summary.limits[:4]]
    return " ".join(["The numbers hold for images like those tested.", *said])


def measurement(summary: AuditSummary) -> str:
    """Return what would have gone unseen, and which controls stand beside the numbers."""
    if not (summary.cue_tests or summary.tested_concepts):
        return ""
    return (
        f"{concepts_unseen(summary)} {cues_unseen(summary)} Controls stand beside every cue and "
        "every explanation; lists of findings are under error control."
    )


def residual(summary: AuditSummary) -> str:
    """Return what is still there: cues and findings that stand."""
    cues = [cue for cue in summary.cues if not dismissed(summary, cue.id)]
    alone = standing(summary)
    if not cues and not alone:
        return ""
    return (
        f"Still there in this audit: {phrases.counted(len(cues), 'cue')} and "
        f"{phrases.counted(len(alone), 'finding')} of a higher error."
    )


def environment(summary: AuditSummary) -> str:
    """Return how long the audit itself ran, and on what."""
    seconds = sum(stage.seconds for stage in summary.stages)
    if not seconds:
        return ""
    device = summary.manifest.get("device")
    on = f" on {clip(device, 40)}" if isinstance(device, str) else ""
    return f"This audit took {duration(seconds)}{on}."


def test_log(summary: AuditSummary) -> str:
    """Return what pins the run down."""
    told = [name for name in ("versions", "weights", "data", "code", "seeds", "command")
            if summary.manifest.get(name)]  # fmt: skip
    if not told:
        return ""
    return (
        f"audit.json and manifest.json in the run folder hold {phrases.joined(told)}; "
        "repeating the command gives the same numbers on the same machine."
    )


def date(summary: AuditSummary) -> str:
    """Return when the run was made."""
    made = summary.manifest.get("created")
    return f"The run was made on {clip(made, 40)} (UTC)." if isinstance(made, str) else ""


def _hash(summary: AuditSummary, name: str) -> str:
    value = summary.manifest.get(name)
    return f"; hash of {name} {clip(value, 40)}" if isinstance(value, str) else ""
