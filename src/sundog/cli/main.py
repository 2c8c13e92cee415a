"""Entry point: the commands, and how an error reaches the person who typed one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

import sundog
from sundog.cli import compare, demo, explain, faithfulness, plant, table, train
from sundog.core.errors import SundogError

app = typer.Typer(
    name="sundog",
    help="Find, explain, confirm and repair bias in image classifiers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.command("explain")(explain.explain)
app.command("faithfulness")(faithfulness.faithfulness)
app.command("plant")(plant.plant)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("demo")(demo.demo)
app.command("list")(table.list_table)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"sundog {sundog.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find, explain, confirm and repair bias in image classifiers."""


def main() -> None:
    """Run the command line; an expected error is one message on standard error and exit code 2."""
    try:
        app()
    except SundogError as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {escape(error.message)}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted; run the same command again to go on.")
        sys.exit(130)
