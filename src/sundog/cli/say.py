"""Printing: what a person gave is shown as it is, unbroken, and can be pasted again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 200
"""Columns of a table where there is no terminal whose width to keep."""


def say(text: str, *, bold: bool = False) -> None:
    """Print a line to standard output; nothing in it is markup, and it is not broken."""
    line = Text(harmless(text), style="bold" if bold else "")
    Console().print(line, soft_wrap=True, highlight=False)


def harmless(text: str) -> str:
    """Replace what a terminal could obey or cannot print: a folder may be named after an escape.

    Line breaks and tabs stay.
    """
    kept = ("\n", "\t", "\u00a0", "\u200d")
    return "".join(c if c.isprintable() or c in kept else "\ufffd" for c in text)


def cell(text: str) -> Text:
    """Return one line for a table: nothing in it is markup or moves the cursor."""
    return Text(harmless(text).replace("\n", "\ufffd"))


def say_error(text: str) -> None:
    """Print ``Error: text`` to standard error."""
    line = Text.assemble(("Error:", "bold red"), " ", harmless(text))
    Console(stderr=True).print(line, soft_wrap=True, highlight=False)


def say_table(table: Table) -> None:
    """Print a table to standard output, as wide as the terminal."""
    console = Console()
    (console if console.is_terminal else Console(width=PIPED_WIDTH)).print(table)


def say_skipped(skipped: Sequence[object], shown: int = 10) -> None:
    """Print the first images that were left out, and how many more there are."""
    for item in skipped[:shown]:
        say(f"  left out: {item.source}: {item.reason}")  # type: ignore[attr-defined]
    if len(skipped) > shown:
        say(f"  and {len(skipped) - shown} more")


def next_command(name: str, *words: str, options: Mapping[str, object]) -> str:
    """Return a command that can be typed as it is; options that are None are left out."""
    given = [part for key, value in options.items() if value is not None for part in (key, value)]
    return shlex.join(["sundog", name, *words, *(str(part) for part in given)])


def count(number: int, thing: str) -> str:
    """Return ``1 image``, ``2 images``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
