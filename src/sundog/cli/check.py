"""``sundog check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sundog.cli.say import cell, count, say, say_table

if TYPE_CHECKING:
    from sundog.core.audit.gate import CheckReport

GATE_FAILED = 3


def check(
    run: Annotated[Path, typer.Argument(help="Folder written by 'sundog audit'.")],
    max_gap: Annotated[
        float | None,
        typer.Option(
            "--max-gap",
            min=0.0,
            max=1.0,
            help="Largest gap in accuracy, between best and worst group and of each finding "
            "(0.1 = 10 points).",
        ),
    ] = None,
    max_flip_rate: Annotated[
        float | None,
        typer.Option(
            "--max-flip-rate",
            min=0.0,
            max=1.0,
            help="Largest share of images that follow a transplanted part, beyond its control.",
        ),
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option("--min-accuracy", min=0.0, max=1.0, help="Lowest accuracy of all images."),
    ] = None,
    min_group_accuracy: Annotated[
        float | None,
        typer.Option(
            "--min-group-accuracy",
            min=0.0,
            max=1.0,
            help="Lowest accuracy of any class or metadata group.",
        ),
    ] = None,
    max_ece: Annotated[
        float | None,
        typer.Option("--max-ece", min=0.0, max=1.0, help="Largest expected calibration error."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="Folder of an earlier audit: new findings, new cues and significantly worse "
            "numbers fail.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail also where the images cannot tell.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write the gates as JUnit XML to this file.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the gates as JSON to this file.")
    ] = None,
) -> None:
    """Hold an audit against limits: exit 0 if it passes, 3 if a gate fails, 2 for bad input."""
    from sundog.audit.check_run import check_audit
    from sundog.core.audit.gates import Limits

    limits = Limits(
        max_gap=max_gap,
        max_flip_rate=max_flip_rate,
        min_accuracy=min_accuracy,
        min_group_accuracy=min_group_accuracy,
        max_ece=max_ece,
    )
    done = check_audit(run, limits=limits, baseline=baseline, strict=strict, junit=junit, json=json)
    report = done.report
    say_table(gates_table(report))
    if not limits.given() and baseline is None:
        say("Note: no limit and no baseline was given; only the stages were checked.")
    for note in report.notes[1:]:
        say(f"Note: {note}")
    failed, open_ = report.count("fail"), report.count("inconclusive")
    words = [count(report.count("pass"), "gate") + " passed", f"{failed} failed"]
    words += (
        [f"{open_} inconclusive" + (" (--strict: they fail)" if strict else "")] if open_ else []
    )
    words += [f"{report.count('skipped')} skipped"] if report.count("skipped") else []
    say(f"{'Passed' if report.passed else 'Failed'}: {', '.join(words)}.", bold=True)
    for name, path in (("JUnit", done.junit), ("JSON", done.json)):
        if path is not None:
            say(f"{name}: {path}")
    if not report.passed:
        raise typer.Exit(GATE_FAILED)


def gates_table(report: CheckReport) -> Table:
    """Return the gates for a terminal, failed ones first."""
    table = Table(box=None, title="Gates", title_justify="left")
    for column in ("decision", "gate", "what was seen"):
        table.add_column(column)
    order = ("fail", "inconclusive", "skipped", "pass")
    for gate in sorted(report.gates, key=lambda gate: order.index(gate.decision)):
        table.add_row(gate.decision, cell(gate.name), cell(gate.message))
    return table
