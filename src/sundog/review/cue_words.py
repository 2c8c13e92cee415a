"""A claimed cue in plain words: what was moved, who followed, and what a person decides."""

from __future__ import annotations

from collections.abc import Sequence

from sundog.core.audit.measured import Measured
from sundog.core.inspection.cue import CueFacts
from sundog.core.inspection.finding import Effect
from sundog.review.wording import (
    Sentence,
    interval,
    name,
    percent,
    points,
    quoted,
    sentence,
    signed_points,
    strong,
)

MOST_NAMED = 3
"""Classes that a sentence names; of more it gives the number."""


def cue_claim(cue: CueFacts, effect: Effect) -> Sentence:
    """Say how many predictions the component drags with it, and how much accuracy hangs on it."""
    one = len(cue.classes) == 1
    goal: Sentence = (
        sentence("“", name(cue.classes[0]), "”") if one else sentence("the class it comes from")
    )
    source = sentence("from images of ", _classes(cue.classes))
    start = sentence("Moved ", source, f" into {cue.flip.n:,} images of other classes, it turns ")
    moved = sentence(start, strong(_share(cue.flip)), " of the predictions into ", goal)
    against = sentence(moved, f"; moved from an image of their own class, {_share(cue.control)}.")
    if effect.gap is None or effect.present is None or effect.absent is None:
        return against
    ends = interval(effect.low, effect.high, flip=True)
    return sentence(
        against,
        " With another class's in place of their own, images are right ",
        f"{percent(effect.present)} of the time instead of {percent(effect.absent)}: ",
        strong(f"{points(-effect.gap)} points lower{ends}"),
        ".",
    )


def cue_meaning(cue: CueFacts, alpha: float) -> Sentence:
    """Say what it means, and how sure that is."""
    what = "this part of the image" if cue.place == "local" else "this property of the image"
    return sentence(
        f"The classifier decides by {what}, whatever else the image shows. That any such claim of "
        f"the audit is false has probability {percent(alpha)} at most."
    )


def cue_question(cue: CueFacts, shown: Sequence[str]) -> Sentence:
    """Ask what a reviewer decides, without a number."""
    named = len(cue.classes) <= MOST_NAMED
    whole = _classes(cue.classes) if named else sentence("the classes it was taken from")
    return sentence(
        "Does what was moved here (",
        quoted(shown),
        ") belong to ",
        whole,
        ", or does it only happen to be there?",
    )


def cue_facts(cue: CueFacts) -> list[tuple[str, str, str]]:
    """Return what was measured as (label, value, how to read it)."""
    kind = "a part of the image" if cue.place == "local" else "a property of the whole image"
    rows = [
        ("What was moved", f"{cue.family}, {kind}", ""),
        ("Speaks for", ", ".join(cue.classes), ""),
    ]
    for label, found, hint in (
        (
            "Predictions that follow",
            _share(cue.flip),
            "images of other classes that become the cue's class with it",
        ),
        (
            "Those of the control",
            _share(cue.control),
            "the same with the part of an image of their own class",
        ),
        ("Difference", _points(cue.excess), "what the cue adds; corrected over all candidates"),
        (
            "Accuracy that hangs on it",
            _points(cue.reliance),
            "with the part of their own class minus with that of another",
        ),
    ):
        if found:
            rows.append((label, found, hint))
    if cue.pull is not None and cue.pull.value is not None:
        ends = ""
        if cue.pull.low is not None and cue.pull.high is not None:
            ends = f" [{cue.pull.low:.2f}, {cue.pull.high:.2f}]"
        hint = "mean probability that goes over to the donor's class, control subtracted"
        rows.append(("Pull", f"{cue.pull.value:.2f}{ends}", hint))
    return rows


def _classes(names: Sequence[str]) -> Sentence:
    if len(names) > MOST_NAMED:
        return sentence(f"{len(names)} classes (each has its own)")
    return quoted(names, joint="or")


def _share(found: Measured) -> str:
    if found.value is None:
        return "an unknown share"
    if found.low is None or found.high is None:
        return percent(found.value)
    return f"{percent(found.value)} [{percent(found.low)}, {percent(found.high)}]"


def _points(found: Measured) -> str:
    if found.value is None:
        return ""
    unit = f"{signed_points(found.value)} points{interval(found.low, found.high)}"
    return f"{unit}, n = {found.n:,}"
