"""The answer of a risk page in one sentence, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sundog.core.statistics import Estimate
from sundog.report.phrases import above_zero, below_zero, correlation, points, share
from sundog.report.risk_content import RiskField, RiskPage, ScoreRow, Windows
from sundog.report.score_tables import value

SMALL_TREND = 0.1
"""A correlation whose whole interval lies within this of zero is called small."""


@dataclass(frozen=True)
class Answer:
    """Headline, tone, the word above it, and the lead below it."""

    headline: str
    tone: Literal["alarm", "calm", "unsure", "plain"]
    word: str
    lead: str


def answer(content: RiskPage) -> Answer:
    """Return what the page says first.

    Accuracy along the main field decides: ``alarm`` if rare images are right less often (the
    interval of the trend lies above 0), ``calm`` if the trend is shown to be small, ``unsure`` if
    the data cannot tell. Epistemic and aleatoric risk should fall on errors: there the page does
    not judge the classifier. No wording ever says that a classifier is fair.
    """
    main = next((f for f in content.fields if f.windows is not None), None)
    if main is None or main.windows is None:
        why = "no image has a label" if content.correct is None else "no windows were made"
        return Answer(
            f"The risk of {content.images:,} images was measured; {why}, so accuracy cannot be set "
            "against it.",
            "plain",
            "",
            _lead(content),
        )
    text = _ends(main.words.low, main.words.high, main.windows)
    trend = main.windows.trend
    if trend is None or not (math.isfinite(trend.low) and math.isfinite(trend.high)):
        return Answer(
            f"{text}; there are too few images for a trend.", "unsure", "", _lead(content)
        )
    told = f"Spearman correlation of {main.words.noun} with being right: {correlation(trend)}"
    if main.name == "representation":
        return _representation(text, told, trend, content)
    caught = below_zero(trend)
    words = (
        f"{text}. The score finds errors"
        if caught
        else f"{text}. The score points the wrong way"
        if above_zero(trend)
        else f"{text}. The score is not shown to find errors"
    )
    return Answer(f"{words} ({told}).", "plain" if caught else "unsure", "", _lead(content))


def _representation(text: str, told: str, trend: Estimate, content: RiskPage) -> Answer:
    if above_zero(trend):
        return Answer(
            f"{text}: rarer images are right less often.",
            "alarm",
            "Weak spot found",
            f"{told}. {_lead(content)}",
        )
    if below_zero(trend):
        return Answer(
            f"{text}: rarer images are right more often, not less.",
            "plain",
            "",
            f"{told}. {_lead(content)}",
        )
    if max(abs(trend.low), abs(trend.high)) <= SMALL_TREND:
        return Answer(
            f"{text}: no trend is seen, and a large one is ruled out.",
            "calm",
            "No trend seen",
            f"{told}. This is about these images and this score; other weak spots may remain. "
            f"{_lead(content)}",
        )
    return Answer(
        f"{text}: the images are too few, or the differences too small, to tell a trend.",
        "unsure",
        "",
        f"{told}. {_lead(content)}",
    )


def _ends(low: str, high: str, windows: Windows) -> str:
    name = "accuracy" if "accuracy" in windows.measures else next(iter(windows.measures))
    values, total = windows.measures[name], max(1, int(sum(windows.n)))
    verb = "are classified right in" if name == "accuracy" else f"have a {name} of"
    after = " of cases" if name == "accuracy" else ""
    if len(values) == 1:
        return f"All {total:,} images are one window: they {verb} {share(values[0])}{after}"
    first = 100 * int(windows.n[0]) / total
    return (
        f"The {first:.0f}\u00a0% {low} images (n = {int(windows.n[0]):,}) {verb} "
        f"{share(values[0])}{after}, the {high} "
        f"{'in ' if name == 'accuracy' else ''}{share(values[-1])}"
    )


def _lead(content: RiskPage) -> str:
    parts = []
    if content.overall is not None and "accuracy" in content.overall.scores:
        parts.append(
            f"Over all {content.overall.n:,} images accuracy is "
            f"{share(content.overall.scores['accuracy'])}"
        )
    worst = worst_row(content)
    if worst is not None:
        accuracy = content.worst or worst.scores["accuracy"]
        parts.append(f"the worst group, {worst.name} (n = {worst.n:,}), has {share(accuracy)}")
    if content.gap is not None:
        parts.append(f"best and worst group are {points(content.gap).replace('+', '')} apart")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def worst_row(content: RiskPage) -> ScoreRow | None:
    """Return the named worst group, or the one with the lowest accuracy that is not too small."""
    named = [
        row for row in content.groups if content.worst_group and row.name == content.worst_group
    ]
    if named and math.isfinite(value(named[0], "accuracy")):
        return named[0]
    known = [row for row in content.groups if math.isfinite(value(row, "accuracy"))]
    large = [row for row in known if not row.small] or known
    return min(large, key=lambda row: value(row, "accuracy"), default=None)


def ends_of(field: RiskField) -> tuple[str, str]:
    """Return the words for both ends with a capital."""
    low, high = field.words.low, field.words.high
    return low[:1].upper() + low[1:], high[:1].upper() + high[1:]
