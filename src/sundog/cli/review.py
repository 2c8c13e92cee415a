"""``sundog review``."""

from __future__ import annotations

import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from sundog.cli.say import count, next_command, say

Run = Annotated[
    Path,
    typer.Argument(
        help="Folder written by 'sundog inspect', or a .sundog file (unpacked beside it once).",
        show_default=False,
    ),
]


def review(
    run: Run,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on; any other than 127.0.0.1 opens it to a network."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, or only print its link.")
    ] = True,
) -> None:
    """Judge the findings of an inspection in a browser; every act is saved at once."""
    from sundog.review.guard import is_loopback
    from sundog.review.progress import review_progress
    from sundog.review.serve import ReviewServer, can_show_browser
    from sundog.review.session import Session

    session = Session.open(run)
    session.require_writable()
    before = review_progress(session)
    server = ReviewServer(session, host=host, port=port)
    say(session.query.title, bold=True)
    say(f"{count(before.findings, 'finding')}, {before.judged} judged.")
    if before.damaged:
        say(
            f"Note: {count(before.damaged, 'line')} of the log of verdicts could not be read (a "
            "torn write?) and did not count; the file is kept as it is."
        )
    if not is_loopback(host):
        say(
            "Warning: whoever has the link and reaches this machine over the network can see the "
            "images and add verdicts; the connection is not encrypted.",
            bold=True,
        )
    say(f"Open: {server.door.url}")
    if server.door.everywhere:
        say("From another machine: the same link with this machine's address for 127.0.0.1.")
    say("Stop with Ctrl-C.")
    sys.stdout.flush()  # also into a pipe: the link is needed now
    if browser and can_show_browser():
        threading.Thread(target=webbrowser.open, args=(server.door.url,), daemon=True).start()
    server.run()
    after = review_progress(session)
    say(f"{after.sentence()} saved in {session.folder / 'feedback'}.")
    say(f"What they change: {next_command('results', str(session.folder), options={})}")
