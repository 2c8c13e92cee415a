"""One inspection under review: the query in memory, the verdicts on disk, always in step."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from sundog.core.inspection.events import EVENTS_FILE, Event, EventLog, append_events, read_events
from sundog.core.inspection.feedback import Feedback, fold_events
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.query import Query
from sundog.core.inspection.record import bad_fields
from sundog.review.check_event import Refused, check_event
from sundog.review.open_run import open_run


@dataclass
class Added:
    """What became of events that were handed in.

    Attributes:
        saved: ids that are in the log now, also those that were there before.
        refused: id (or position) -> why.
    """

    saved: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Session:
    """An inspection under review; safe to use from several threads and beside other processes.

    Attributes:
        folder: of the run.
        query: what is judged.
        query_hash: its content hash, which every event must carry.
        findings: id -> finding.
        concepts: every concept of a finding.
    """

    def __init__(self, folder: Path, query: Query) -> None:
        """Read the verdicts that are there.

        Raises:
            RunFolderError: they belong to another query.
        """
        self.folder = folder
        self.query = query
        self.query_hash = query.content_hash()
        self.findings: dict[str, Finding] = {finding.id: finding for finding in query.findings}
        self.concepts = frozenset(c for finding in query.findings for c in finding.concepts)
        self._guard = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._log = EventLog(events=(), damaged=0)
        self.feedback()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a run folder or an archive.

        Raises:
            RunFolderError: see :func:`open_run`; or verdicts of another query.
        """
        return cls(*open_run(path))

    def log(self) -> EventLog:
        """Return all events as they are on disk now; the file is read only if it changed."""
        with self._guard:
            stamp = self._file_stamp()
            if stamp != self._stamp:
                self._log, self._stamp = read_events(self.folder), stamp
            return self._log

    def feedback(self, events: Iterable[Event] | None = None) -> Feedback:
        """Fold events (all of them if None) into what each reviewer says now."""
        chosen = self.log().events if events is None else events
        return fold_events(self.query, chosen, query_hash=self.query_hash)

    def events_of(self, finding_id: str) -> tuple[Event, ...]:
        """Return the events about one finding, and every undo (which may be about them)."""
        return tuple(
            event
            for event in self.log().events
            if event.finding == finding_id or event.action == "undo"
        )

    def require_writable(self) -> None:
        """Make sure that verdicts can be saved, before anybody gives one.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        append_events(self.folder, lambda _: ())

    def add(self, raw: Sequence[Any]) -> Added:
        """Append events, each checked against the query; one that is there already is not repeated.

        Args:
            raw: JSON values of events, in the order they happened.

        Raises:
            RunFolderError: the log cannot be written.
        """
        done = Added()
        parsed: list[Event] = []
        for position, value in enumerate(raw):
            label = _label(value, position)
            try:
                parsed.append(Event.model_validate(value))
            except ValidationError as error:
                done.refused[label] = bad_fields(error)

        def choose(log: EventLog) -> list[Event]:
            known = {event.id: event for event in log.events}
            fresh: list[Event] = []
            for event in parsed:
                earlier = known.get(event.id)
                try:
                    if earlier is None:
                        check_event(self, event, known)
                        known[event.id] = event
                        fresh.append(event)
                    elif earlier != event:
                        raise Refused("another event has this id")
                except Refused as reason:
                    done.refused[event.id] = str(reason)
                else:
                    done.saved.append(event.id)
            return fresh

        if parsed:
            append_events(self.folder, choose)
        return done

    def _file_stamp(self) -> tuple[int, int, int] | None:
        try:
            found = (self.folder / EVENTS_FILE).stat()
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns)


def _label(value: Any, position: int) -> str:
    given = value.get("id") if isinstance(value, dict) else None
    return given[:64] if isinstance(given, str) else f"event {position + 1}"
