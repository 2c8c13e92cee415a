"""``sundog demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sundog.cli import options
from sundog.cli.compare import scores_table
from sundog.cli.say import say, say_table


def demo(
    out: options.Out = Path("demo-run"),
    seed: options.Seed = 0,
    photos: Annotated[
        bool, typer.Option(help="Also explain efficientnet-lite0 on the embedded photographs.")
    ] = True,
) -> None:
    """Plant a cue in embedded digits, train a biased and a sound model, say which one cheats."""
    from sundog.audit.practical import run_practical

    result = run_practical(out, seed=seed, photos=photos, say=say)
    say_table(scores_table(result.comparison.table()))
    say(result.faithfulness.to_text())
    say(f"\n{result.comparison.verdict}", bold=True)
    say(f"Page: {result.page}")
