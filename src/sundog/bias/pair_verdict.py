"""Which of several models is biased, when nobody named the cue: verdicts and one sentence.

The causal tests decide. A model is ``biased`` if the search claimed a cue in it, or if a cue that
was claimed in another model pulls at it more than such a part pulls at sound models. ``no shortcut
found`` needs more than silence: the search could have found one, and no other model's cue pulls.
Anything else is ``cannot tell``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from sundog.bias.pair_cues import CrossedCue, RunOnCue
from sundog.core.echo import TYPICAL, echo
from sundog.core.statistics import Estimate

Standing = Literal["biased", "no shortcut found", "cannot tell"]
Decision = Literal["one", "several", "all", "none", "cannot tell"]
WORTH = 0.3
"""A search whose typical test would miss a pull of 30 points (with ten classes; with fewer the same
loss pulls more, see :func:`echo`) cannot clear a model."""


@dataclass(frozen=True)
class Found:
    """What the search says of one model.

    Attributes:
        claimed: keys of the crossed cues that were claimed in it.
        detectable: smallest pull that the typical test would have claimed with 80 % power: see
            :func:`detectable`; None if it could test nothing.
        images: that were used.
        classes: of the classifier.
    """

    claimed: tuple[str, ...]
    detectable: float | None
    images: int
    classes: int = TYPICAL


@dataclass(frozen=True)
class PairVerdict:
    """Who is biased.

    Attributes:
        standings: run -> verdict.
        decision: ``one``, ``several``, ``all``, ``none`` (of the models are biased) or ``cannot
            tell``.
        biased: the runs that are.
        more: the run that is more biased than every other, or None.
        sentences: run -> one sentence with the numbers behind its verdict.
        sentence: the whole verdict in one sentence.
    """

    standings: dict[str, Standing]
    decision: Decision
    biased: tuple[str, ...]
    more: str | None
    sentences: dict[str, str]
    sentence: str


def detectable(table: pd.DataFrame) -> float | None:
    """Return the pull that the typical test of a search would have found with 80 % power.

    The median over all tests: half of them would have shown it.

    Args:
        table: of :class:`~sundog.bias.shortcut_result.ShortcutSearch`: ``detectable``.

    Returns:
        None if there was no test; infinity if half of the tests could have shown nothing.
    """
    if not len(table) or "detectable" not in table:
        return None
    return float(np.median(table["detectable"].fillna(math.inf)))


def judge_pair(
    found: Mapping[str, Found],
    crossed: Mapping[str, CrossedCue],
    *,
    names: Mapping[str, str],
    margins: Mapping[str, float],
    heaviest: Mapping[tuple[str, str], Estimate],
) -> PairVerdict:
    """Say which models are biased.

    Args:
        found: run -> what the search says; the order is that of the sentence and nothing else.
        crossed: cue -> what it does to every model.
        names: cue -> a few words.
        margins: cue -> pull that sound models show without any cue.
        heaviest: (run, run) -> accuracy that hangs on the heaviest cue of the first minus that of
            the second, for every pair in one of its orders.
    """
    standings = {run: _standing(run, found[run], crossed, margins) for run in found}
    biased = tuple(run for run, kind in standings.items() if kind == "biased")
    decision = _decide(list(standings.values()))
    more = _more(biased, found, crossed, heaviest, standings)
    sentences = {
        run: _sentence(run, standings[run], found[run], crossed, names, margins) for run in found
    }
    return PairVerdict(
        standings=standings,
        decision=decision,
        biased=biased,
        more=more,
        sentences=sentences,
        sentence=_whole(decision, biased, more, sentences, standings),
    )


def _standing(
    run: str, found: Found, crossed: Mapping[str, CrossedCue], margins: Mapping[str, float]
) -> Standing:
    pulls = {key: cue.of(run).pull for key, cue in crossed.items()}
    if found.claimed or any(pull.low > margins[key] for key, pull in pulls.items()):
        return "biased"
    able = found.detectable is not None and found.detectable <= WORTH * echo(found.classes)
    free = all(pull.high < margins[key] for key, pull in pulls.items())
    return "no shortcut found" if able and free else "cannot tell"


def _decide(standings: Sequence[Standing]) -> Decision:
    guilty = standings.count("biased")
    if guilty == len(standings):
        return "all"
    if guilty:
        return "one" if guilty == 1 else "several"
    return "cannot tell" if "cannot tell" in standings else "none"


def _more(
    biased: Sequence[str],
    found: Mapping[str, Found],
    crossed: Mapping[str, CrossedCue],
    heaviest: Mapping[tuple[str, str], Estimate],
    standings: Mapping[str, Standing],
) -> str | None:
    """Return the run that is shown to lean more on its cues than every other run."""
    for run in biased:
        others = [other for other in found if other != run]
        if all(
            standings[other] == "no shortcut found"
            or (
                standings[other] == "cannot tell"
                and any(_ahead(run, other, cue) for cue in crossed.values())
            )
            or (standings[other] == "biased" and _gap(heaviest, run, other).low > 0)
            for other in others
        ):
            return run
    return None


def _ahead(run: str, other: str, cue: CrossedCue) -> bool:
    """Whether a cue drags one model clearly more than another."""
    for entry in cue.differences:
        if (entry.first, entry.second) == (run, other):
            return entry.excess.low > 0 or entry.reliance.low > 0
        if (entry.first, entry.second) == (other, run):
            return entry.excess.high < 0 or entry.reliance.high < 0
    return False


def _gap(heaviest: Mapping[tuple[str, str], Estimate], run: str, other: str) -> Estimate:
    """Return the difference between two runs in this order; NaN if it is not known."""
    if (run, other) in heaviest:
        return heaviest[run, other]
    if (other, run) in heaviest:
        found = heaviest[other, run]
        return Estimate(-found.value, -found.high, -found.low, found.n, found.level, found.method)
    return Estimate(math.nan, math.nan, math.nan, 0, 0.95, "")


def _sentence(
    run: str,
    kind: Standing,
    found: Found,
    crossed: Mapping[str, CrossedCue],
    names: Mapping[str, str],
    margins: Mapping[str, float],
) -> str:
    shown = {key: cue.of(run) for key, cue in crossed.items()}
    if kind == "biased":
        mine = [key for key in shown if key in found.claimed]
        mine = mine or [key for key, value in shown.items() if value.pull.low > margins[key]]
        if not mine:
            return f"“{run}” is biased: the search claimed a cue in it."
        key = max(mine, key=lambda k: (shown[k].reliance.value, shown[k].excess.value))
        more = f" ({len(mine)} cues in all)" if len(mine) > 1 else ""
        return f"“{run}” is biased: {_numbers(shown[key], names[key])}{more}."
    worth = found.detectable
    limit = (
        "the search could test nothing"
        if worth is None or not math.isfinite(worth)
        else f"its typical test would have found one that moves {100 * worth:.0f}\u00a0% of the "
        "probability four times in five"
    )
    text = f"no shortcut was found in “{run}” on {found.images:,} images ({limit})"
    if shown:
        key = max(shown, key=lambda k: shown[k].pull.high)
        value = shown[key]
        text += (
            f"; with the cue of another model (“{names[key]}”) {_share(value.flip)} of its "
            f"{value.flip.n:,} predictions follow (control {_share(value.control)}), and it is "
            f"right on {_share(value.swapped)} instead of {_share(value.intact)}"
        )
    if kind == "cannot tell":
        text = f"for “{run}” these images cannot tell: {text}"
    return f"{text[0].upper()}{text[1:]}."


def _numbers(value: RunOnCue, name: str) -> str:
    return (
        f"with the “{name}” of an image of another class, {_share(value.flip)} of "
        f"{value.flip.n:,} images are taken for that class (control {_share(value.control)}, "
        f"difference {_points(value.excess)} points), and it is right on {_share(value.swapped)} "
        f"instead of {_share(value.intact)} (difference {_points(value.reliance)} points)"
    )


def _whole(
    decision: Decision,
    biased: Sequence[str],
    more: str | None,
    sentences: Mapping[str, str],
    standings: Mapping[str, Standing],
) -> str:
    if decision in ("none", "cannot tell"):
        return " ".join(sentences.values())
    order = [*biased, *(run for run in standings if run not in biased)]
    said = " ".join(sentences[run] for run in order)
    if len(biased) > 1:
        said += (
            f" “{more}” loses the most accuracy with its heaviest cue."
            if more is not None
            else " Which of them leans more on its cues cannot be told."
        )
    elif more is None:
        said += " Whether the others lean less on it cannot be told."
    return said


def _share(value: Estimate) -> str:
    return f"{100 * value.value:.0f}\u00a0%"


def _points(value: Estimate) -> str:
    text = f"{100 * value.value:.0f}, {100 * value.low:.0f} to {100 * value.high:.0f}"
    return text.replace("-0 ", "0 ").replace("-", "−")
