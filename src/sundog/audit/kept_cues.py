"""An inspection that goes on keeps the cues that were added to its query."""

from __future__ import annotations

from pathlib import Path

from sundog.core.audit.cue_findings import without_cues
from sundog.core.errors import RunFolderError
from sundog.core.inspection.query import QUERY_FILE, Query


def with_kept_cues(folder: Path, query: Query) -> Query:
    """Return the query of the folder if it is ``query`` with cues in front, else ``query``.

    Verdicts hold the hash of the query with its cues; an audit that is resumed writes the query of
    its inspection again, and must not lose them.
    """
    file = folder / QUERY_FILE
    if not file.is_file():
        return query
    try:
        there = Query.read(file)
    except RunFolderError:  # half-written: it is written anew
        return query
    return there if without_cues(there) == query else query
