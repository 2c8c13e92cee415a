"""``sundog demo``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sundog.cli import options
from sundog.cli.compare import scores_table
from sundog.cli.say import say, say_table


def demo(
    out: options.Out = Path("demo-run"),
    seed: options.Seed = 0,
    practical: Annotated[
        bool,
        typer.Option(
            "--practical",
            help="Instead: the practical. A biased and a sound model, the known cue, six "
            "explanation methods, and efficientnet-lite0 on photographs.",
        ),
    ] = False,
    photos: Annotated[
        bool, typer.Option(help="With --practical: also explain the embedded photographs.")
    ] = True,
) -> None:
    """Run the whole loop on embedded digits: audit, confirm, mend, audit again."""
    if practical:
        _practical(out, seed=seed, photos=photos)
        return
    from sundog.audit.demo_loop import run_demo

    begun = time.monotonic()
    run = run_demo(out, seed=seed, say=say)
    for name, audit in (("BEFORE", run.first), ("AFTER", run.second)):
        if audit is not None:
            say(f"\n{name}", bold=True)
            for sentence in audit.summary.answer:
                say(f"  {sentence}")
    if run.second is not None:
        say("\nThe same images and the same moved parts, before and after:", bold=True)
        order = ("cue", "slice", "overall")
        shown = [c for kind in order for c in run.second.summary.changes if c.kind == kind]
        for change in shown[:6]:
            say(
                f"  {change.what}: {options.percent(change.before)} -> "
                f"{options.percent(change.after)}"
            )
    say("")
    if not run.confirmed:
        say("No claimed cue lies where the patch was planted.", bold=True)
    for name, path in (
        ("Report of the first audit", run.first.page),
        ("Mending, method by method", None if run.mended is None else run.mended.page),
        ("Report of the second audit, with before and after", run.second and run.second.page),
    ):
        if path is not None:
            say(f"{name}: {path}")
    say(f"Judge the claims yourself: sundog review {run.first.path}")
    say(f"{time.monotonic() - begun:.0f} s")
    if not run.confirmed or run.second is None or run.first.failed or run.second.failed:
        raise typer.Exit(1)


def _practical(out: Path, *, seed: int, photos: bool) -> None:
    from sundog.audit.practical import run_practical

    result = run_practical(out, seed=seed, photos=photos, say=say)
    say_table(scores_table(result.comparison.table()))
    say(result.faithfulness.to_text())
    say(f"\n{result.comparison.verdict}", bold=True)
    say(f"Page: {result.page}")
