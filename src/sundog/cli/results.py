"""``sundog results``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sundog.cli import options
from sundog.cli.inspect import say_findings
from sundog.cli.say import say


def results(
    run: Annotated[
        Path, typer.Argument(help="A folder written by 'sundog inspect', or a .sundog archive.")
    ],
    feedback: Annotated[
        Path | None,
        typer.Option(
            "--feedback", help="A feedback.json; the verdicts given in the folder if not given."
        ),
    ] = None,
    sig_thresh: Annotated[
        float | None,
        typer.Option(
            "--sig-thresh",
            min=0.0,
            max=1.0,
            help="Ceiling on the adjusted p-value; the run's own if not given.",
        ),
    ] = None,
    acc_thresh: Annotated[
        float, typer.Option("--acc-thresh", min=0.0, max=1.0, help="Floor on the absolute gap.")
    ] = 0.0,
    only_shortcuts: Annotated[
        bool,
        typer.Option("--only-shortcuts", help="Leave out what people called core or misnamed."),
    ] = False,
    display_k: Annotated[
        int, typer.Option("--display-k", min=1, max=12, help="Images per strip on the page.")
    ] = 8,
    archive: Annotated[
        Path | None, typer.Option("--archive", help="Also write everything into one .sundog file.")
    ] = None,
) -> None:
    """Join the findings with the verdicts; write results.json and the page anew."""
    from sundog.audit.results_run import write_results

    done = write_results(
        run,
        feedback_file=feedback,
        sig_thresh=sig_thresh,
        acc_thresh=acc_thresh,
        keep_core=not only_shortcuts,
        display_k=display_k,
        archive=archive,
        command=options.command_line(sys.argv),
    )
    say_findings(done.results.findings)
    say(done.content.headline, bold=True)
    agreement = done.results.agreement
    if agreement is not None and agreement.kappa is not None:
        say(
            f"{agreement.reviewers} reviewers, Fleiss' kappa {agreement.kappa:.2f} over "
            f"{agreement.findings} findings"
        )
    for note in done.notes:
        say(f"Note: {note}")
    say(f"Results: {done.path / 'results.json'}")
    if done.archive is not None:
        say(f"Archive: {done.archive}")
    say(f"Page: {done.page}")
