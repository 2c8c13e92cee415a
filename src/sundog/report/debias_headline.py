"""The answer of a debiasing page in one sentence: what was gained, what it cost, what got worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.report.before_after import estimate, verdict
from sundog.report.debias_content import CueCheck, DebiasPage, MethodResult
from sundog.report.phrases import above_zero, below_zero, counted, joined, points, share


@dataclass(frozen=True)
class Answer:
    """Headline, tone, the word above it, and the lead below it."""

    headline: str
    tone: Literal["alarm", "calm", "unsure", "plain"]
    word: str
    lead: str


def answer(content: DebiasPage) -> Answer:
    """Return what the page says first.

    ``improved`` is called so only if the paired interval of the worst group's gain leaves zero
    out; a method that makes the classifier lean more on another cue is told in the same breath.

    Raises:
        InputError: ``improved`` without a chosen method, or one that was not run.
    """
    lead = _lead(content)
    if content.outcome == "nothing changed":
        return Answer(_because("Nothing was changed", content.reason), "plain", "Unchanged", lead)
    if content.outcome == "no method helped":
        return Answer(_none_helped(content), "alarm", "Not repaired", lead)
    if content.outcome == "cannot tell":
        return Answer(_because("Whether a method helped cannot be told", content.reason),
                      "unsure", "", lead)  # fmt: skip
    method = chosen_method(content)
    if method is None:
        raise InputError(
            "chosen",
            expected=f"one of the methods that were run: {[m.name for m in content.methods]}",
            got=repr(content.chosen),
        )
    text = gain(content.baseline, method)
    worse = fed(content.cues, method.name)
    if worse:
        return Answer(f"{text}. But it now leans more on {joined(worse)}.", "unsure",
                      "Improved, with a side effect", lead)  # fmt: skip
    if verdict(method, "worst_group") != "better":
        return Answer(f"{text}. The interval of the gain holds zero, or there is none: the gain "
                      "may be chance.", "unsure", "", lead)  # fmt: skip
    return Answer(f"{text}.", "calm", "Improved", lead)


def chosen_method(content: DebiasPage) -> MethodResult | None:
    """Return the method that is kept, or None."""
    return next((m for m in content.methods if m.name == content.chosen), None)


def gain(before: MethodResult, after: MethodResult) -> str:
    """Say what a method did to the worst group and to the average, without a full stop."""
    old, new = (estimate(m.scores.get("worst_group", math.nan)) for m in (before, after))
    verb = "lifted" if new.value > old.value else "lowered" if new.value < old.value else "left"
    if math.isnan(old.value) or math.isnan(new.value):
        text = f"{after.name} was run; the worst group is not known"
    elif verb == "left":
        text = f"{after.name} left the worst group at {share(new)}"
    else:
        text = f"{after.name} {verb} the worst group from {share(old)} to {share(new)}"
    change = after.change.get("average")
    if change is None or math.isnan(change.value):
        return text
    if below_zero(change):
        return f"{text} and cost {_bare(change)} of average accuracy"
    if above_zero(change):
        return f"{text} and raised average accuracy by {_bare(change)}"
    return f"{text}; average accuracy is not shown to change ({points(change)})"


def fed(cues: Sequence[CueCheck], method: str) -> list[str]:
    """Return the cues, other than the repaired one, that a method leans on more than before."""
    return [
        f"'{c.cue}' ({points(c.change[method])})"
        for c in cues
        if not c.repaired and above_zero(c.change.get(method))
    ]


def _none_helped(content: DebiasPage) -> str:
    known = [m for m in content.methods if math.isfinite(_worst(m))]
    text = "No method helped"
    if not content.methods:
        return _because(f"{text}: none could be run", content.reason)
    repairs = [m for m in known if m.name != "erm"]  # plain training is beside them, no repair
    if repairs:
        best = max(repairs, key=_worst)
        text = f"No method is kept; on the test images {gain(content.baseline, best)}, at best"
    return _because(text, content.reason)


def _worst(method: MethodResult) -> float:
    return estimate(method.scores.get("worst_group", math.nan)).value


def _lead(content: DebiasPage) -> str:
    parts = []
    if content.methods:
        text = f"{counted(len(content.methods), 'method')} run"
        text += f", {len(content.refused)} refused" if content.refused else ""
        parts.append(text)
    elif content.refused:
        parts.append(f"{counted(len(content.refused), 'method')} refused, none run")
    if content.images:
        parts.append(f"measured on {counted(content.images, 'held-out image')}")
    seeds = sorted({m.seeds for m in (content.baseline, *content.methods)})
    if content.methods:
        parts.append(
            "one seed, so no interval over trainings can be given"
            if seeds == [1]
            else f"intervals over {' or '.join(map(str, seeds))} seeds"
        )
    others = [c for c in content.cues if not c.repaired]
    if content.methods and not others:
        parts.append("no other cue was audited again")
    text = "; ".join(parts)
    if content.outcome == "improved" and content.reason:
        reason = content.reason.rstrip(".")
        reason = f"{reason[:1].upper()}{reason[1:]}"
        text += f". {reason}" if text else reason
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _bare(change: Estimate) -> str:
    """Write a change without its sign: the verb says it."""
    if change.value >= 0:
        return points(change).replace("+", "")
    flipped = Estimate(-change.value, -change.high, -change.low, change.n, change.level, "")
    return points(flipped).replace("+", "")


def _because(text: str, reason: str) -> str:
    """Add the reason after a colon, or as a sentence of its own where there is a colon already."""
    reason = reason.strip().rstrip(".")
    if not reason:
        return f"{text}."
    return f"{text}. {reason[:1].upper()}{reason[1:]}." if ":" in text else f"{text}: {reason}."
