"""``sundog feedback``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sundog.cli.review import Run
from sundog.cli.say import count, say, say_table
from sundog.core.errors import InputError

if TYPE_CHECKING:
    from sundog.review.session import Session


def feedback(
    run: Run,
    reviewer: Annotated[
        str | None, typer.Option("--reviewer", help="Your name; asked for if not given.")
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Hide gap, p and direction until the verdict.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also findings that you judged before.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write the verdicts as JSON, to be filled in by hand."),
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Read a file written by --export, edited.")
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Show how far the review is, and agreement.")
    ] = False,
) -> None:
    """Judge the findings of an inspection without a browser: in the terminal, or in a file."""
    from sundog.cli.feedback_prompts import judge_in_terminal
    from sundog.review.session import Session

    if sum((export is not None, import_ is not None, status)) > 1:
        raise InputError("Options", expected="one of --export, --import and --status", got="more")
    session = Session.open(run)
    name = (reviewer or "").strip()
    if status:
        _status(session)
    elif export is not None:
        _export(session, export, name)
    elif import_ is not None:
        _import(session, import_, name)
    else:
        judge_in_terminal(session, reviewer=name, blind=blind, everything=everything)


def _export(session: Session, path: Path, reviewer: str) -> None:
    from sundog.core.inspection.events import VERDICTS
    from sundog.review.edited import exported

    if path.exists():
        raise InputError(
            f"--export {str(path)!r}",
            expected="a new file",
            got="one that exists",
            hint="It may hold edits; import it, or choose another name.",
        )
    written = exported(session, reviewer=reviewer)
    written.write(path)
    say(f"{count(len(written.answers), 'answer')} written to {path}.")
    say("Fill in 'verdict' with one of: " + ", ".join(f'"{verdict}"' for verdict in VERDICTS) + ".")
    say("Also 'confidence' (1 to 5), 'note', 'wrong_images' and 'tags_checked'; then --import it.")


def _import(session: Session, path: Path, reviewer: str) -> None:
    from sundog.review.edited import import_feedback
    from sundog.review.progress import review_progress

    done = import_feedback(session, path, reviewer=reviewer)
    say(f"{count(done.events, 'change')} read from {path}.")
    if done.unused:
        say(f"Note: {count(done.unused, 'answer')} with a note or confidence had no verdict.")
    if done.kept:
        say(f"Note: {count(done.kept, 'verdict')} empty in the file stay as they were.")
    say(f"{review_progress(session).sentence()} in {session.folder / 'feedback'}.")


def _status(session: Session) -> None:
    from sundog.core.inspection.events import VERDICTS
    from sundog.review.progress import review_progress
    from sundog.review.wording import printable

    found = review_progress(session)
    say(f"{found.judged} of {count(found.findings, 'finding')} judged.")
    if found.verdicts:
        table = Table(box=None)
        table.add_column("reviewer", style="bold")
        for verdict in VERDICTS:
            table.add_column(verdict, justify="right")
        for name, verdicts in sorted(found.verdicts.items()):
            table.add_row(printable(name), *(str(verdicts[verdict]) for verdict in VERDICTS))
        say_table(table)
        made = [f"{many} {name}" for name, many in found.decisions.items() if name != "unreviewed"]
        say(f"Decisions of majorities: {', '.join(made)}.")
    if len(found.verdicts) > 1:
        agree = found.agreement
        if agree.kappa is None:
            say(f"Agreement: {agree.note}.")
        else:
            ends = "" if agree.low is None else f" [{agree.low:.2f}, {agree.high:.2f}]"
            say(
                f"Agreement (spurious, core, other) on {count(agree.findings, 'finding')} judged "
                f"by two or more: Fleiss' kappa {agree.kappa:.2f}{ends}."
            )
    if found.damaged:
        say(f"Note: {count(found.damaged, 'line')} of the log could not be read and do not count.")
