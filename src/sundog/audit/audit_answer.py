"""The verdict and the three sentences that an audit answers with, from the facts alone.

No sentence ever says that a classifier is fair: what was not found may be too small to be seen, or
not be in the images at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from sundog.core.audit.cues import CueRecord, Cues
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Explanations, Performance, Risk, Stage
from sundog.core.echo import echo
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.wording import images_of

Verdict = Literal["bias found", "no bias found", "cannot tell"]
DETECTABLE = 0.3
"""A search that would have missed a gap (or an excess of flips) of 30 points says nothing."""
SEARCHES = ("findings", "cues")


@dataclass(frozen=True, eq=False)
class Facts:
    """What the answer is made from.

    Attributes:
        stages: of the audit.
        classes: number of classes.
        performance: None if it was not measured.
        findings: significant ones that stand on their own and that nobody rejected.
        smallest_detectable: class -> gap that would have shown, None if none would.
        cues: None if they were not searched for.
        claimed: claimed cues that nobody rejected, strongest first.
        explanations: None if not measured.
        risk: None if not measured.
    """

    stages: tuple[Stage, ...]
    classes: int
    performance: Performance | None
    findings: tuple[Finding, ...]
    smallest_detectable: dict[str, float | None]
    cues: Cues | None
    claimed: tuple[CueRecord, ...]
    explanations: Explanations | None
    risk: Risk | None


def decide(facts: Facts) -> tuple[Verdict, str]:
    """Return the verdict, and why it cannot be told if so.

    Bias is found if and only if a finding or a cue stands. No bias is found only if both searches
    were made and could have shown one: in half of the classes (and in half of the tests of cues) a
    gap of 30 points.
    """
    if facts.findings or facts.claimed:
        return "bias found", ""
    done = {stage.name for stage in facts.stages if stage.status == "done"}
    missing = [name for name in SEARCHES if name not in done]
    if missing:
        return "cannot tell", f"the search for {' and for '.join(missing)} was not made"
    n = 0 if facts.performance is None else facts.performance.accuracy.n
    gaps = _typical(list(facts.smallest_detectable.values()))
    if gaps > DETECTABLE:
        return "cannot tell", (
            f"with n = {n:,} images {_seen(gaps)} of a concept in the typical class would have "
            "gone unseen"
        )
    tested = () if facts.cues is None else facts.cues.tested
    if not tested:
        return "cannot tell", "no component could be moved between these images"
    excess = _typical([test.detectable for test in tested])
    if excess > DETECTABLE * echo(facts.classes):
        images = 0 if facts.cues is None else facts.cues.images
        return "cannot tell", (
            f"with n = {images:,} images {_seen(excess)} of flips by a moved component would have "
            "gone unseen"
        )
    return "no bias found", ""


def answer(facts: Facts) -> tuple[str, str, str]:
    """Return three sentences: what it looks at, where it is biased, what to do."""
    verdict, why = decide(facts)
    return _looks(facts), _biased(facts, verdict, why), _todo(facts, verdict)


def _looks(facts: Facts) -> str:
    parts = []
    if facts.claimed:
        cue = facts.claimed[0]
        parts.append(
            f"The model looks at {cue.name}: moved into images of other classes, it turns "
            f"{_share(cue.flip)} of {cue.flip.n:,} to its own class (control {_share(cue.control)})"
        )
    if facts.performance is not None:
        accuracy = facts.performance.accuracy
        subject = "it" if parts else "The model"
        chance = 1 / max(facts.classes, 1)
        poor = accuracy.low is not None and accuracy.low <= chance
        parts.append(
            f"{subject} is right on {_share(accuracy)} of {accuracy.n:,} images"
            + (", which may be no better than guessing" if poor else "")
        )
    parts.append(_maps(facts.explanations))
    text = "; ".join(part for part in parts if part)
    return f"{text or 'Nothing was measured'}."


def _maps(explanations: Explanations | None) -> str:
    if explanations is None:
        return ""
    if not explanations.most_faithful:
        return (
            f"no attribution map was shown to say more of it than a random one "
            f"(n = {explanations.images})"
        )
    name = explanations.most_faithful.replace("_", " ")
    return f"of the maps, those of {name} say best what it looks at (n = {explanations.images})"


def _biased(facts: Facts, verdict: Verdict, why: str) -> str:
    if verdict == "cannot tell":
        return f"Whether and where it is biased cannot be told: {why}."
    if verdict == "no bias found":
        gaps = _typical(list(facts.smallest_detectable.values()))
        tested = () if facts.cues is None else facts.cues.tested
        excess = _typical([test.detectable for test in tested])
        n = 0 if facts.performance is None else facts.performance.accuracy.n
        return (
            "No concept and no moved component was shown to change its errors, in "
            f"{n:,} images; in the typical class, gaps below {100 * gaps:.0f} points, and "
            f"components with an excess of flips below {100 * excess:.0f} points, would have gone "
            "unseen, and so would a cue that these images do not carry."
        )
    parts = [_of_cue(cue) for cue in facts.claimed[:1]]
    parts += [_of_finding(finding) for finding in facts.findings[: 2 - len(parts)]]
    more = len(facts.claimed) + len(facts.findings) - len(parts)
    text = "; ".join(parts)
    text = text[:1].upper() + text[1:]
    return f"{text}; and {_counted(more, 'more')} below." if more else f"{text}."


def _of_cue(cue: CueRecord) -> str:
    few = len(cue.classes) <= 3
    classes = ", ".join(cue.classes) if few else f"{len(cue.classes)} classes"
    return (
        f"for {classes} its answer hangs on {cue.name}: with that of another class its accuracy "
        f"is {_share(cue.swapped)} instead of {_percent(cue.intact.value)} (n = {cue.swapped.n:,})"
    )


def _of_finding(finding: Finding) -> str:
    effect = finding.effect
    what = " + ".join(f"'{name}'" for name in finding.concepts)
    where = images_of(finding.class_name) if finding.class_name else "images of all classes"
    with_it, without = _percent(effect.present), _percent(effect.absent)
    worse = "with" if finding.direction == "hurts" else "without"
    gap = (
        ""
        if effect.gap is None or effect.low is None or effect.high is None
        else f", {100 * effect.gap:+.0f} points [{100 * effect.low:+.0f}, {100 * effect.high:+.0f}]"
    )
    measure = "right" if effect.metric == "accuracy" else "mean probability"
    return (
        f"the model's error is higher on {where} {worse} {what}: {measure} {with_it} with "
        f"(n = {effect.n_present}) and {without} without (n = {effect.n_absent}){gap}"
    )


def _todo(facts: Facts, verdict: Verdict) -> str:
    failed = [stage.name for stage in facts.stages if stage.status == "failed"]
    labels = 0 if facts.risk is None else len(facts.risk.label_errors)
    check = f" check the {_counted(labels, 'label')} that may be wrong," if labels else ""
    if verdict == "bias found":
        return (
            f"Judge what was found (sundog review),{check} then mend the model with what you "
            "confirm (sundog debias --from-audit) and audit it again (sundog audit --before)."
        )
    if failed:
        return (
            f"Repair what made {' and '.join(failed)} fail (see below) and run the same command "
            "again: only these stages are repeated."
        )
    left = [s.name for s in facts.stages if s.name in SEARCHES and s.status == "skipped"]
    if verdict == "cannot tell" and left:
        return (
            f"Make the search for {' and for '.join(left)}, in the same folder (sundog audit "
            f"--stages {','.join(left)})."
        )
    if verdict == "cannot tell":
        return (
            "Audit it on more labelled images, and on images that may carry what it could have "
            "learned by heart: the training images, and images of other origin."
        )
    return (
        f"Before it is relied on,{check} audit it on images of the kind it will meet, above all of "
        "other origin than its training images."
    )


def _typical(values: Sequence[float | None]) -> float:
    """Return the median, with None as infinity; infinity without values."""
    return median(math.inf if v is None else v for v in values) if values else math.inf


def _seen(value: float) -> str:
    return "any gap" if math.isinf(value) else f"a gap below {100 * value:.0f} points"


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else f"{100 * value:.0f} %"


def _share(found: Measured) -> str:
    if found.value is None or found.low is None or found.high is None:
        return _percent(found.value)
    return f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 or thing == "more" else f"{number} {thing}s"
