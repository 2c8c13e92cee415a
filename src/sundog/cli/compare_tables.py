"""The answers of ``sundog compare`` as tables and lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from sundog.cli.say import cell

if TYPE_CHECKING:
    from sundog.core.audit.comparison import AuditComparison, ModelComparison
    from sundog.core.audit.measured import Measured


def models_table(found: ModelComparison) -> Table:
    """Return a row per model: verdict, accuracy, cues."""
    table = _table("Models (95 % intervals)", ("model", "verdict", "P(biased)", "accuracy", "cues"))
    for model in found.models:
        table.add_row(
            cell(model.run),
            model.verdict,
            "not calibrated" if model.confidence is None else f"{model.confidence:.0%}",
            f"{_share(model.accuracy)}, n = {model.accuracy.n}",
            cell(
                ", ".join(cue.name for cue in model.cues)
                or f"none of {model.tests} tests, {model.images} images"
            ),
        )
    return table


def crossed_table(found: ModelComparison) -> Table:
    """Return a row per cue and model: who follows it, and what it is worth."""
    table = _table(
        "Every cue on every model",
        ("cue", "model", "follows", "control", "accuracy intact", "swapped", "hangs on it"),
    )
    for entry in found.crossed:
        for place, model in enumerate(entry.models):
            table.add_row(
                cell(entry.name if place == 0 else ""),
                cell(model.run),
                f"{_share(model.flip)}, n = {model.flip.n}",
                _share(model.control),
                _share(model.intact),
                _share(model.swapped),
                f"{_points(model.reliance)}, n = {model.reliance.n}",
            )
    return table


def changes_table(found: AuditComparison) -> Table:
    """Return a row per number before and after."""
    table = _table("Before and after", ("what", "before", "after", "change", "n"))
    for change in found.changes:
        table.add_row(
            cell(change.what),
            _share(change.before),
            _share(change.after),
            _points(change.difference),
            str(change.difference.n),
        )
    return table


def maps_line(found: ModelComparison) -> str:
    """Return which model the maps of each method point at, in one line."""
    if found.maps is None or not found.maps.points_at:
        return ""
    said = [f"{method} {run or 'none clearly'}" for method, run in found.maps.points_at.items()]
    return f"Maps are more concentrated or fixed in place for: {'; '.join(said)} (evidence beside)"


def lists_line(found: ModelComparison) -> list[str]:
    """Return how many findings the inspections share, a line per pair."""
    return [
        f"Findings: {len(entry.shared)} shared, {len(entry.only_first)} only in {entry.first}, "
        f"{len(entry.only_second)} only in {entry.second}"
        for entry in found.findings
    ]


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(box=None, title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    return table


def _share(value: Measured) -> str:
    made = value.estimate()
    return f"{made.value:.1%} [{made.low:.1%}, {made.high:.1%}]"


def _points(value: Measured) -> str:
    made = value.estimate()
    return f"{100 * made.value:+.1f} [{100 * made.low:+.1f}, {100 * made.high:+.1f}]"
