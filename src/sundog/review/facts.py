"""The figures of a finding as labelled lines, each with a word on how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sundog.core.inspection.finding import Finding
from sundog.review.cue_words import cue_facts
from sundog.review.wording import count, interval, percent, points, probability, signed_points

ADJUSTMENTS = {
    "westfall_young": "Westfall–Young",
    "holm": "Holm",
    "benjamini_hochberg": "Benjamini–Hochberg",
    "none": "not corrected",
}


class Fact(NamedTuple):
    """One line: what, how much, and how to read it."""

    label: str
    value: str
    hint: str


def facts(finding: Finding, *, alpha: float) -> tuple[Fact, ...]:
    """Return everything that was measured about a finding; what was not measured has no line."""
    found = _gap(finding) if finding.cue is None else [Fact(*row) for row in cue_facts(finding.cue)]
    rows = (*found, *_test(finding, alpha), *_counts(finding), *_again(finding))
    return rows + ((Fact("Note", finding.note, ""),) if finding.note else ())


def _gap(finding: Finding) -> Sequence[Fact]:
    effect = finding.effect
    rows = [Fact("Images", f"{effect.n_present:,} with, {effect.n_absent:,} without", "")]
    if effect.gap is not None:
        rows.append(
            Fact(
                "Gap",
                f"{signed_points(effect.gap)} points{interval(effect.low, effect.high)}",
                f"{effect.metric} with the concept minus without it, with "
                f"{percent(effect.level)} interval" + (f" ({effect.method})" * bool(effect.method)),
            )
        )
    ranking = finding.ranking
    if ranking is not None and ranking.auroc is not None:
        ends = "" if ranking.low is None else f" [{ranking.low:.2f}, {ranking.high:.2f}]"
        rows.append(
            Fact(
                "AUROC",
                f"{ranking.auroc:.2f}{ends}",
                "how often a right image scores above a wrong one; 0.5 = chance",
            )
        )
    if ranking is not None and ranking.top_gap is not None and ranking.top_k is not None:
        rows.append(
            Fact(
                f"Top {ranking.top_k} minus bottom {ranking.top_k}",
                f"{signed_points(ranking.top_gap)} points",
                "an illustration, not a test",
            )
        )
    return rows


def _test(finding: Finding, alpha: float) -> Sequence[Fact]:
    rows = []
    if finding.p_adjusted is not None:
        how = ADJUSTMENTS.get(finding.adjustment, finding.adjustment)
        alone = "" if finding.p is None else f"; this test alone: {probability(finding.p)}"
        rows.append(
            Fact(
                "Adjusted p",
                probability(finding.p_adjusted),
                f"corrected for {count(finding.tests, 'test')}" + (f" ({how})" * bool(how)) + alone,
            )
        )
        verdict = "yes" if finding.significant else "no"
        rows.append(Fact("Significant", verdict, f"adjusted p at most {alpha:g}, and a large gap"))
    if finding.smallest_detectable is not None:
        rows.append(
            Fact(
                "Smallest gap to be seen",
                f"{points(finding.smallest_detectable)} points",
                "with these numbers of images, at the corrected level and 80 % power",
            )
        )
    return rows


def _counts(finding: Finding) -> Sequence[Fact]:
    rows = []
    if finding.errors is not None:
        chance = finding.expected_errors
        value = f"{finding.errors:,}"
        value += "" if chance is None else f"; {chance:,.1f} expected by chance"
        rows.append(Fact("Errors with the concept", value, "if the concept made no difference"))
    if finding.expected_images is not None:
        rows.append(
            Fact(
                "Images with all concepts",
                f"{finding.effect.n_present:,}; {finding.expected_images:,.1f} expected by chance",
                "if the concepts came independently of one another",
            )
        )
    return rows


def _again(finding: Finding) -> Sequence[Fact]:
    again = finding.replication
    if again is None:
        return ()
    parts = []
    effect = again.effect
    if effect is not None and effect.gap is not None:
        parts.append(
            f"gap there {signed_points(effect.gap)} points{interval(effect.low, effect.high)}"
        )
    if again.p is not None:
        parts.append(f"one-sided p {probability(again.p)}, corrected")
    return (Fact("On the other half", again.status, "; ".join(parts)),)
