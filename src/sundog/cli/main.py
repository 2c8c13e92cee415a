"""Entry point: the commands, and how an error reaches the person who typed one."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import sundog
from sundog.cli import (
    audit,
    check,
    compare,
    debias,
    demo,
    doctor,
    explain,
    faithfulness,
    feedback,
    inspect,
    plant,
    results,
    review,
    risk,
    shortcuts,
    table,
    tags,
    train,
)
from sundog.cli.say import say_error
from sundog.core.errors import SundogError, first_line

TRACEBACK = "SUNDOG_TRACEBACK"
"""Environment variable: if set, an unexpected error is shown with its traceback."""


class Commands(TyperGroup):
    """The commands; an interrupted one says that it can go on."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Interrupted; run the same command again to go on.", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    name="sundog",
    help="Find, explain, confirm and repair bias in image classifiers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.command("audit")(audit.audit)
app.command("explain")(explain.explain)
app.command("faithfulness")(faithfulness.faithfulness)
app.command("plant")(plant.plant)
app.command("train")(train.train)
app.command("shortcuts")(shortcuts.shortcuts)
app.command("compare")(compare.compare)
app.command("check")(check.check)
app.command("tags")(tags.tags)
app.command("inspect")(inspect.inspect)
app.command("review")(review.review)
app.command("feedback")(feedback.feedback)
app.command("results")(results.results)
app.command("risk")(risk.risk)
app.command("debias")(debias.debias)
app.command("doctor")(doctor.doctor)
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
        say_error(error.message)
        sys.exit(2)
    except OSError as error:
        place = f"{str(error.filename)!r}" if error.filename else "A file"
        got = error.strerror or first_line(error)
        hint = "Choose another place, or change its permissions."
        say_error(f"{place} must be one that can be read and written; got {got}. {hint}")
        sys.exit(2)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        say_error(f"unexpected, a defect of Sundog: {first_line(error)}")
        say_error(f"set {TRACEBACK}=1 and repeat the command to see where; please report it.")
        sys.exit(1)
