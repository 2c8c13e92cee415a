"""A finding in plain words: what was seen, what it may mean, and what the tag check changes."""

from __future__ import annotations

from collections.abc import Sequence

from sundog.core.inspection.finding import Effect, Finding
from sundog.core.inspection.results import Rate, TagCheck
from sundog.review.cue_words import cue_claim, cue_meaning, cue_question
from sundog.review.wording import (
    MINUS,
    Sentence,
    count,
    interval,
    name,
    percent,
    points,
    probability,
    quoted,
    sentence,
    signed_points,
    strong,
)


def claim(finding: Finding, names: Sequence[str] | None = None) -> Sentence:
    """Say what was seen.

    Args:
        finding: of the query.
        names: its concepts as renamed by reviewers; as found if None.
    """
    shown = tuple(names or finding.concepts)
    effect = finding.effect
    if finding.cue is not None:
        return cue_claim(finding.cue, effect)
    if finding.source == "ranking" and finding.ranking is not None:
        ranked = _ranked(finding, shown)
        if ranked is not None:
            return ranked
    total = effect.n_present + effect.n_absent
    tagged = sentence("tagged ", quoted(shown), " together" if len(shown) > 1 else "")
    start = sentence("Of ", *_images(finding, total), ", ")
    if effect.n_present == 0:
        return sentence(start, "none is ", tagged, ".")
    if effect.present is None or effect.absent is None or effect.gap is None:
        return sentence(
            start, f"{effect.n_present:,} {_are(effect.n_present)} ", tagged, "; not compared."
        )
    one, rest = effect.n_present, effect.n_absent
    if effect.metric == "accuracy":
        seen = (
            f" {_are(one)} right {percent(effect.present)} of the time and the other {rest:,} "
            f"{_are(rest)} right {percent(effect.absent)} of the time: "
        )
    else:
        seen = (
            f" get {percent(effect.present)} for their own class on average and the other "
            f"{rest:,} {percent(effect.absent)}: "
        )
        if one == 1:
            seen = seen.replace(" get ", " gets ", 1).replace("their", "its", 1)
    across = "" if finding.class_name else " Compared within each class."
    return sentence(start, f"the {one:,} ", tagged, seen, *_difference(effect), ".", across)


def meaning(finding: Finding, alpha: float) -> Sentence:
    """Say what it would mean, and whether chance alone could do it."""
    if finding.cue is not None:
        return cue_meaning(finding.cue, alpha)
    if finding.p_adjusted is None:
        return sentence(finding.note or "It was not tested.")
    if finding.p_adjusted > alpha:
        return sentence(
            f"This may be chance: a gap as large comes up by chance somewhere in "
            f"{count(finding.tests, 'test')} with probability {probability(finding.p_adjusted)}."
        )
    if not finding.significant:
        return sentence("Hardly chance, but smaller than the gap that was asked for.")
    says = {
        "hurts": "The classifier fails more often where the concept is.",
        "helps": "The classifier may lean on the concept: without it, it fails more often.",
        "none": "Which way it goes is undecided.",
    }[finding.direction]
    if not finding.explained_by:
        return sentence(says)
    return sentence(
        f"{says} Most likely another view of ",
        quoted(finding.explained_by),
        ": outside of those images the gap is no longer seen.",
    )


def question(finding: Finding, names: Sequence[str] | None = None) -> Sentence:
    """Ask what a reviewer decides, without a number; shown in blind mode."""
    shown = tuple(names or finding.concepts)
    if finding.cue is not None:
        return cue_question(finding.cue, shown)
    if finding.class_name:
        whole: Sentence = sentence("“", name(finding.class_name), "”")
    else:
        whole = sentence("the classes")
    verb, together, do = (
        ("Does ", "", "does it") if len(shown) == 1 else ("Do ", " together", "do they")
    )
    return sentence(
        verb, quoted(shown), together, " belong to ", whole, f", or {do} only happen to be there?"
    )


def tag_check(tags: TagCheck, effect: Effect, *, blind: bool = False) -> Sentence:
    """Say how often the tagger was wrong, and what that does to the gap (unless ``blind``)."""
    parts: list[str | Sentence] = []
    if tags.checked_present:
        parts.append(
            f"Of {count(tags.checked_present, 'checked image')} with the tag, "
            f"{_none(tags.wrong_present)} {_are(max(1, tags.wrong_present))} wrong. "
        )
    if tags.checked_absent:
        parts.append(
            f"Of {count(tags.checked_absent, 'checked image')} without it, "
            f"{_none(tags.wrong_absent)} {_show(tags.wrong_absent)} the concept. "
        )
    for rate, text in (
        (tags.false_positive, "of the images without the concept carry the tag"),
        (tags.false_negative, "of those with it lack the tag"),
    ):
        if rate is not None and rate.value is not None:
            parts.append(f"So {_rate(rate)} {text}. ")
    if not blind and tags.corrected is not None and tags.corrected.gap is not None:
        corrected = tags.corrected
        was = "" if effect.gap is None else f" (as tagged: {signed_points(effect.gap)})"
        parts.append(
            sentence(
                "With the tagger's errors taken out, the gap is ",
                strong(
                    f"{signed_points(corrected.gap or 0.0)} points"
                    f"{interval(corrected.low, corrected.high)}"
                ),
                f"{was}.",
            )
        )
    return sentence(*parts)


def _ranked(finding: Finding, shown: Sequence[str]) -> Sentence | None:
    ranking, effect = finding.ranking, finding.effect
    total = effect.n_present + effect.n_absent
    if ranking is not None and ranking.auroc is None and ranking.correlation is not None:
        return sentence(
            "Sorted by ",
            quoted(shown),
            ": the more of it, the ",
            strong("more" if ranking.correlation >= 0 else "less"),
            " confidence in the right class; rank correlation ",
            strong(f"{ranking.correlation:+.2f}".replace("-", MINUS)),
            ".",
        )
    if ranking is None or ranking.auroc is None:
        return None
    side = "more" if ranking.auroc >= 0.5 else "less"
    share = max(ranking.auroc, 1 - ranking.auroc)
    low, high = ranking.low, ranking.high
    ends = ""
    if low is not None and high is not None:
        first, last = (low, high) if ranking.auroc >= 0.5 else (1 - high, 1 - low)
        ends = f" [{percent(first)}, {percent(last)}]"
    where = sentence(" in ", *_images(finding, total)) if total else sentence()
    return sentence(
        "Sorted by ",
        quoted(shown),
        where,
        ": a right image shows ",
        strong(side),
        " of it than a wrong one in ",
        strong(f"{percent(share)} of pairs{ends}"),
        "; 50 % would be chance.",
    )


def _images(finding: Finding, total: int) -> Sentence:
    word = "image" if total == 1 else "images"
    if finding.class_name:
        return sentence(f"{total:,} ", name(finding.class_name), f" {word}")
    return sentence(f"{total:,} {word} of all classes")


def _difference(effect: Effect) -> Sentence:
    gap = effect.gap or 0.0
    if points(gap) == "0":
        return sentence(strong(f"no difference{interval(effect.low, effect.high)}"))
    lower = gap < 0
    size = points(abs(gap))
    unit = "point" if size == "1" else "points"
    ends = interval(effect.low, effect.high, flip=lower)
    return sentence(strong(f"{size} {unit} {'lower' if lower else 'higher'}{ends}"))


def _rate(rate: Rate) -> str:
    value = percent(rate.value or 0.0)
    if rate.low is None or rate.high is None:
        return value
    return f"{value} [{percent(rate.low)}, {percent(rate.high)}]"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _show(number: int) -> str:
    return "show" if number > 1 else "shows"


def _none(number: int) -> str:
    return "none" if number == 0 else f"{number:,}"
