"""``sundog list``: the tables of what can be named on the command line."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from sundog.cli.say import say_table
from sundog.core.errors import UnknownNameError

KINDS = ("methods", "cues", "metrics", "models", "sets", "taggers", "sorters", "risks", "debiasers")


def list_table(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")] = "methods",
) -> None:
    """Show every method, cue, metric, model, embedded set, tagger, sorter, risk or debiaser."""
    from sundog.audit.catalog import catalog

    if kind not in KINDS:
        raise UnknownNameError("what to list", kind, KINDS)
    columns, rows = catalog(kind)
    table = Table(title=kind.capitalize(), title_justify="left", show_lines=False, box=None)
    for index, column in enumerate(columns):
        table.add_column(
            column, style="bold" if index == 0 else "", no_wrap=index == 0, overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    say_table(table)
