"""Progress with unit and time left on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")


def make_progress(*, visible: bool | None = None) -> Progress:
    """Return a rich progress display on standard error; hidden unless that is a terminal."""
    show = sys.stderr.isatty() if visible is None else visible
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
        transient=True,
    )


def track(
    items: Iterable[T], *, description: str, total: int | None = None, visible: bool | None = None
) -> Iterator[T]:
    """Yield ``items`` while showing how many are done."""
    with make_progress(visible=visible) as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task)
