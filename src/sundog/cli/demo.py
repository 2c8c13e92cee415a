"""``sundog demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sundog.cli import options
from sundog.cli.compare import scores_table


def demo(
    out: options.Out = Path("demo-run"),
    seed: options.Seed = 0,
    photos: Annotated[
        bool, typer.Option(help="Also explain efficientnet-lite0 on the embedded photographs.")
    ] = True,
) -> None:
    """Plant a cue in embedded digits, train a biased and a sound model, say which one cheats."""
    from sundog.audit.practical import run_practical

    console = Console()
    result = run_practical(
        out, seed=seed, photos=photos, say=lambda text: console.print(text, highlight=False)
    )
    console.print(scores_table(result.comparison.table()))
    console.print(result.faithfulness.to_text(), highlight=False, markup=False, soft_wrap=True)
    console.print(f"\n[bold]{result.comparison.verdict}[/]", highlight=False)
    console.print(f"Page: {result.page}", highlight=False)
