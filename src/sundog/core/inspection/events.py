"""Verdicts as append-only events: nothing a person said is ever overwritten."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from sundog.core.errors import RunFolderError
from sundog.core.inspection.record import Record
from sundog.core.locks import FolderLock

Verdict = Literal["core", "separate object", "background", "concept absent", "not sure"]
VERDICTS: tuple[Verdict, ...] = (
    "core",
    "separate object",
    "background",
    "concept absent",
    "not sure",
)
"""Core: part of what makes the class. Separate object, background: spurious. Salient ImageNet."""
SPURIOUS: frozenset[Verdict] = frozenset(("separate object", "background"))
Action = Literal["verdict", "tag wrong", "tag right", "tags checked", "rename", "merge", "undo"]
EVENTS_FILE = "feedback/events.jsonl"
LOCK_SECONDS = 10.0
"""A reviewer waits this long while another one's event is written."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Event(Record):
    """One thing that a reviewer did.

    Attributes:
        id: unique.
        query: content hash of the query it is about.
        time: UTC, ISO 8601.
        reviewer: who; free text.
        action: ``verdict`` (finding, verdict, confidence, note, seconds); ``tag wrong`` / ``tag
            right`` (finding, image); ``tags checked`` (finding: all images of its random samples
            were looked at); ``rename`` (concept, name); ``merge`` (concept, name: the concept it is
            the same as); ``undo`` (undoes: id of an event of the same reviewer).
        finding: id of a finding.
        verdict: see :data:`VERDICTS`.
        confidence: 1 (guess) to 5 (certain).
        note: free text.
        seconds: time spent on the finding.
        blind: whether the gap was hidden until the verdict.
        image: id of an image.
        concept: name of a concept.
        name: new name, or the concept merged into.
        undoes: id of an event.
    """

    id: str = Field(default_factory=lambda: uuid.uuid4().hex, min_length=8, max_length=64)
    query: str
    time: str = Field(default_factory=_now, max_length=40)
    reviewer: str = Field(min_length=1, max_length=80)
    action: Action
    finding: str | None = Field(default=None, max_length=64)
    verdict: Verdict | None = None
    confidence: int | None = Field(default=None, ge=1, le=5)
    note: str = Field(default="", max_length=4000)
    seconds: float | None = Field(default=None, ge=0, le=86400)
    blind: bool = False
    image: str | None = Field(default=None, max_length=128)
    concept: str | None = Field(default=None, max_length=300)
    name: str | None = Field(default=None, min_length=1, max_length=300)
    undoes: str | None = Field(default=None, max_length=64)

    @model_validator(mode="after")
    def _whole(self) -> Event:
        needed = {
            "verdict": ("finding", "verdict"),
            "tag wrong": ("finding", "image"),
            "tag right": ("finding", "image"),
            "tags checked": ("finding",),
            "rename": ("concept", "name"),
            "merge": ("concept", "name"),
            "undo": ("undoes",),
        }[self.action]
        missing = [field for field in needed if getattr(self, field) is None]
        if missing:
            raise ValueError(f"action {self.action!r} needs {', '.join(missing)}")
        return self


@dataclass(frozen=True)
class EventLog:
    """What :func:`read_events` found.

    Attributes:
        events: in the order written.
        damaged: lines that could not be read (a torn write); they stay in the file.
    """

    events: tuple[Event, ...]
    damaged: int


def append_event(folder: str | os.PathLike[str], event: Event) -> None:
    """Add one event to the log of a run folder and flush it to the disk.

    A torn last line of a killed writer is closed first, so that the new event is a line of its own.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    append_events(folder, lambda _: (event,))


def append_events(
    folder: str | os.PathLike[str], make: Callable[[EventLog], Iterable[Event]]
) -> tuple[Event, ...]:
    """Let ``make`` answer the log as it stands with events to add, under a lock; return them.

    Raises:
        RunFolderError: the folder cannot be written, or another process holds it too long.
    """
    path = Path(folder) / EVENTS_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(path.parent, wait=LOCK_SECONDS)
        try:
            added = tuple(make(read_events(folder)))
            if added:
                lines = "".join(event.model_dump_json(exclude_none=True) + "\n" for event in added)
                with path.open("ab+") as stream:
                    if stream.tell() and not _ends_with_newline(path):
                        stream.write(b"\n")
                    stream.write(lines.encode("utf-8"))
                    stream.flush()
                    os.fsync(stream.fileno())
        finally:
            lock.release()
    except OSError as error:
        raise RunFolderError(
            f"The feedback of {str(folder)!r}", expected="writable", got=str(error.strerror)
        ) from error
    return added


def read_events(folder: str | os.PathLike[str]) -> EventLog:
    """Return the events of a run folder; torn or foreign lines are counted, not lost."""
    path = Path(folder) / EVENTS_FILE
    if not path.exists():
        return EventLog(events=(), damaged=0)
    events, damaged = [], 0
    for line in path.read_bytes().split(b"\n"):
        if not line.strip():
            continue
        try:
            events.append(Event.model_validate(json.loads(line)))
        except (ValueError, ValidationError, RecursionError):
            damaged += 1
    return EventLog(events=tuple(events), damaged=damaged)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
