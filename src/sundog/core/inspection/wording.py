"""A finding in plain words: the same sentence on the page, in the report and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from sundog.core.audit.measured import Measured
from sundog.core.inspection.finding import Effect, Finding
from sundog.core.inspection.results import Judged


def class_named(class_name: str) -> str:
    """Write the name of a class; one without letters gets the word: ``class 5``."""
    plain = class_name and not any(map(str.isalpha, class_name))
    return f"class {class_name}" if plain else class_name


def images_of(class_name: str) -> str:
    """Write whose images: ``tench images``, ``images of class 5``, ``images`` of all classes."""
    if not class_name:
        return "images"
    name = class_named(class_name)
    return f"{name} images" if name == class_name else f"images of {name}"


def claim(finding: Finding, names: Sequence[str] | None = None) -> str:
    """Return one sentence: how right the images with the concept are, and the others."""
    effect = finding.effect
    what = " + ".join(f"'{name}'" for name in names or finding.concepts)
    where = images_of(finding.class_name) if finding.class_name else "images of all classes"
    measure, unit = (
        ("are right", " of the time")
        if effect.metric == "accuracy"
        else ("give their class a mean probability of", "")
    )
    if finding.cue is not None:
        return _moved(finding, what)
    if finding.source == "ranking":
        return _ranked(finding, what, where)
    if effect.present is None or effect.absent is None:
        return f"{where} with {what}: {effect.n_present} with it, {effect.n_absent} without."
    return (
        f"{_capital(where)} with {what} (n = {effect.n_present}) {measure} "
        f"{effect.present:.0%}{unit}, those without (n = {effect.n_absent}) {effect.absent:.0%}: "
        f"{points(effect)}."
    )


def whose(finding: Finding) -> str:
    """Return the class, ``7 classes`` for a cue of several, or ``all classes``."""
    if finding.class_name:
        return finding.class_name
    return "all classes" if finding.cue is None else f"{len(finding.cue.classes)} classes"


def points(effect: Effect) -> str:
    """Return the gap in points with its interval, or that there is none."""
    if effect.gap is None:
        return "no gap can be computed"
    text = f"{100 * effect.gap:+.0f} points"
    if effect.low is None or effect.high is None:
        return text
    return f"{text} [{100 * effect.low:+.0f}, {100 * effect.high:+.0f}]"


def consequence(finding: Finding) -> str:
    """Return what the direction means for a user of the classifier, as a sentence."""
    if finding.cue is not None:
        return "The classifier decides by it, whatever else the image shows."
    worse = "fails more often" if finding.effect.metric == "accuracy" else "is less sure"
    return {
        "hurts": f"The classifier {worse} where the concept is.",
        "helps": f"The classifier {worse} where the concept is missing: it may lean on it.",
        "none": "No direction could be decided.",
    }[finding.direction]


def p_text(value: float | None) -> str:
    """Return a p-value for a sentence."""
    if value is None:
        return "not tested"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def verdict_text(judged: Judged) -> str:
    """Return what people said, with counts."""
    if not judged.verdicts:
        return "not reviewed"
    votes = ", ".join(f"{count} x {name}" for name, count in judged.verdicts.items())
    return f"{judged.decision} ({votes})"


def _moved(finding: Finding, what: str) -> str:
    cue = finding.cue
    if cue is None or cue.flip.value is None:
        return f"{what} was moved between images."
    goal = cue.classes[0] if len(cue.classes) == 1 else "the class it comes from"
    text = (
        f"{what}, moved into images of other classes (n = {cue.flip.n}), turns "
        f"{cue.flip.value:.0%} of the predictions into {goal}"
    )
    if cue.control.value is not None:
        text += f"; moved from an image of their own class {cue.control.value:.0%}"
    if cue.reliance.value is None:
        return text + "."
    return f"{text}. The accuracy that hangs on it is {_points(cue.reliance)}."


def _points(found: Measured) -> str:
    text = f"{100 * (found.value or 0.0):.0f} points"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _ranked(finding: Finding, what: str, where: str) -> str:
    ranking = finding.ranking
    text = f"{_capital(where)} ranked by {what}"
    if ranking is None or (ranking.auroc is None and ranking.correlation is None):
        return f"{text}: not tested."
    if ranking.auroc is None:
        return f"{text}: rank correlation with the confidence {ranking.correlation:+.2f}."
    text += f": a right image ranks above a wrong one {ranking.auroc:.0%} of the time"
    if ranking.low is not None and ranking.high is not None:
        text += f" [{ranking.low:.0%}, {ranking.high:.0%}]"
    text += " (50% = the concept does not matter)"
    if ranking.top_gap is not None:
        text += (
            f"; the top {ranking.top_k} are {100 * ranking.top_gap:+.0f} points away from the "
            f"bottom {ranking.top_k}"
        )
    return text + "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
