"""The bars of the benchmark, and whether they hold."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """One row.

    Attributes:
        title: for the tables.
        number: key in the summary.
        limit: the bar.
        at_least: whether the number must reach it; else it must not exceed it.
    """

    title: str
    number: str
    limit: float
    at_least: bool = True


BARS = (
    Bar("biased classifiers identified, where accuracy depends on the cue", "identified", 0.95),
    Bar("false alarms on controls", "false_alarms", 0.05, at_least=False),
    Bar("the strongest claim points at a localised cue (nothing found counts 0)", "pointing", 0.8),
    Bar("gap to the unbiased twin recovered by mending the found cue", "recovered", 0.6),
)


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each bar with the number and whether it holds; None where there is no number."""
    rows = []
    for bar in BARS:
        number = summary.get(bar.number)
        held = None
        if number is not None and number["value"] is not None:
            value = number["value"]
            held = value >= bar.limit if bar.at_least else value <= bar.limit
        rows.append(
            {
                "title": bar.title,
                "bar": bar.limit,
                "at_least": bar.at_least,
                "number": number,
                "held": held,
            }
        )
    return rows
