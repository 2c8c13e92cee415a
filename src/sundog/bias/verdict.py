"""From intervals to a decision, and from a decision to one sentence in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sundog.bias.reliance import Reliance
from sundog.core.statistics import Estimate, PairedProportions

Standing = Literal["relies", "clear", "unsure"]
Decision = Literal["some", "all", "none", "cannot tell"]


def standing(run: Reliance, *, smallest: float) -> Standing:
    """Say where one run stands.

    ``relies``: the interval of gain or pull lies above ``smallest``. ``clear``: the intervals of
    both lie below it and a reliance could have shown. ``unsure``: anything else. As the intervals
    hold together with probability ``1 - alpha``, so do all standings.
    """
    found = [value.difference for value in run.measures.values()]
    if any(interval.low > smallest for interval in found):
        return "relies"
    if run.ceiling:
        return "unsure"
    return "clear" if all(interval.high < smallest for interval in found) else "unsure"


def decide(standings: Sequence[Standing]) -> Decision:
    """Join the standings: ``some`` needs one that relies; ``none`` needs every run to be clear."""
    if all(one == "relies" for one in standings):
        return "all"
    if any(one == "relies" for one in standings):
        return "some"
    return "none" if all(one == "clear" for one in standings) else "cannot tell"


def sentence(
    runs: Sequence[Reliance], standings: Sequence[Standing], *, smallest: float, alpha: float
) -> str:
    """Return the verdict in one sentence: who relies on the cue, and the numbers that show it.

    Args:
        runs: all runs.
        standings: one per run.
        smallest: the reliance that matters.
        alpha: the error rate, for the stated confidence.

    Returns:
        One sentence, with n and intervals in percentage points.
    """
    decision = decide(standings)
    by = {
        kind: [run for run, one in zip(runs, standings, strict=True) if one == kind]
        for kind in ("relies", "clear", "unsure")
    }
    sure = f"joint {100 * (1 - alpha):g}\u00a0% interval"
    if decision in ("some", "all"):
        both = "Both models rely" if len(runs) == 2 else f"All {len(runs)} models rely"
        parts = [f"{_guilty(run, sure, smallest)}" for run in by["relies"]]
        if decision == "all":
            return (
                f"{both} on the cue: "
                + "; ".join(
                    f"{_name(run)} {text}" for run, text in zip(by["relies"], parts, strict=True)
                )
                + "."
            )
        text = "; ".join(
            f"the model {_name(run)} relies on the cue: it {part}"
            for run, part in zip(by["relies"], parts, strict=True)
        )
        rest = [f"{_name(run)} does not ({_seen(run)})" for run in by["clear"]]
        rest += [
            f"for {_name(run)} these images cannot tell ({_seen(run)})" for run in by["unsure"]
        ]
        return f"{text[0].upper()}{text[1:]}; {'; '.join(rest)}."
    listed = ", ".join(f"{_name(run)} ({_seen(run)})" for run in runs)
    worth = _points(max(run.detectable for run in runs))
    if decision == "none":
        who = "Neither model relies" if len(runs) == 2 else f"None of the {len(runs)} models relies"
        return (
            f"{who} on the cue by {_points(smallest)} points or more: {listed}; a reliance of "
            f"{worth} points would have been found with 80\u00a0% probability."
        )
    return (
        f"These {_images(runs)} cannot tell whether a model relies on the cue: {listed}; only a "
        f"reliance of {worth} points or more would be found with 80\u00a0% probability."
    )


def _guilty(run: Reliance, sure: str, smallest: float) -> str:
    """Say how the reliance of one run shows: by the measures whose interval clears the limit."""
    parts = []
    gain, pull = run.gain, run.pull
    if gain is not None and gain.difference.low > smallest:
        parts.append(
            f"is right for {_share(_first(gain))} of {gain.difference.n:,} images with the cue and "
            f"{_share(_second(gain))} of the same images without it "
            f"({_signed(gain.difference)} points, {sure} {_range(gain.difference)})"
        )
    if pull is not None and pull.difference.low > smallest:
        parts.append(
            f"follows a cue of another class in {_share(_first(pull))} of {pull.difference.n:,} "
            f"images, against {_share(_second(pull))} of the same images without the cue"
            + (
                ""
                if parts
                else f" ({_signed(pull.difference)} points, {sure} {_range(pull.difference)})"
            )
        )
    return " and ".join(parts)


def _seen(run: Reliance) -> str:
    """Say what was seen of a run that was not shown to rely on the cue."""
    gain, pull = run.gain, run.pull
    parts = []
    if gain is not None:
        parts.append(
            f"{_share(_first(gain))} with the cue and {_share(_second(gain))} without it, "
            f"{_signed(gain.difference)} points, {_range(gain.difference)}"
        )
    if pull is not None:
        detail = "" if parts else f", {_signed(pull.difference)} points, {_range(pull.difference)}"
        parts.append(f"follows a cue of another class in {_share(_first(pull))}{detail}")
    return "; ".join(parts)


def _name(run: Reliance) -> str:
    return f"“{run.run}”"


def _images(runs: Sequence[Reliance]) -> str:
    return f"{max(v.difference.n for run in runs for v in run.measures.values()):,} images"


def _first(pair: PairedProportions) -> float:
    return (pair.both + pair.only_a) / pair.difference.n


def _second(pair: PairedProportions) -> float:
    return (pair.both + pair.only_b) / pair.difference.n


def _share(value: float) -> str:
    return f"{100 * value:.0f}\u00a0%"


def _points(value: float) -> str:
    return f"{100 * value:.0f}"


def _signed(estimate: Estimate) -> str:
    text = f"{100 * estimate.value:+.0f}"
    return "0" if text in ("+0", "-0") else text.replace("-", "−")


def _range(estimate: Estimate) -> str:
    low, high = (f"{100 * end:.0f}" for end in (estimate.low, estimate.high))
    return f"{low} to {high}".replace("-0 ", "0 ").replace("-", "−")
