"""``sundog results``: findings joined with verdicts, from the run folder alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sundog.core.errors import InputError
from sundog.core.files import write_json
from sundog.core.inspection.archive import pack
from sundog.core.inspection.events import read_events
from sundog.core.inspection.feedback import FEEDBACK_FILE, Feedback, fold_events, read_feedback
from sundog.core.inspection.query import Query
from sundog.core.inspection.results import RESULTS_FILE, Results, compile_results
from sundog.report.inspect_page import inspect_page
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, write_page
from sundog.review.open_run import open_run


@dataclass(frozen=True, repr=False)
class ResultsRun(PageInNotebook):
    """What :func:`write_results` wrote.

    Attributes:
        path: the run folder.
        page: the HTML page.
        content: what the page says.
        query: what was asked.
        feedback: what people said, or None.
        results: the two joined.
        archive: the one file that holds everything, if asked for.
        notes: what went wrong on the way, in sentences.
    """

    path: Path
    page: Path
    content: Page
    query: Query
    feedback: Feedback | None
    results: Results
    archive: Path | None = None
    notes: tuple[str, ...] = ()


def gather_feedback(
    folder: Path, query: Query, feedback_file: str | os.PathLike[str] | None = None
) -> tuple[Feedback | None, tuple[str, ...]]:
    """Return the feedback from a file or from the events of the folder, and notes.

    Raises:
        RunFolderError: feedback on another query, or an unreadable file.
    """
    if feedback_file is not None:
        return read_feedback(feedback_file, query), ()
    log = read_events(folder)
    notes: tuple[str, ...] = ()
    if log.damaged:
        notes = (
            f"{log.damaged} half-written lines of the verdicts could not be read; all others "
            "count, and the lines stay in the file.",
        )
    if not log.events:
        return None, notes
    return fold_events(query, log.events), notes


def write_results(
    run: str | Path,
    *,
    feedback_file: str | os.PathLike[str] | None = None,
    sig_thresh: float | None = None,
    acc_thresh: float = 0.0,
    keep_core: bool = True,
    display_k: int = 8,
    archive: str | Path | None = None,
    command: str = "",
) -> ResultsRun:
    """Join findings and verdicts; write ``results.json``, ``feedback.json`` and the page.

    Args:
        run: run folder of an inspection, or an archive.
        feedback_file: a feedback file; None = the verdicts given in the folder.
        sig_thresh: ceiling on the adjusted p-value; None = the query's alpha.
        acc_thresh: floor on the absolute gap.
        keep_core: False leaves out what a majority called core or absent.
        display_k: images per strip.
        archive: also write everything into this one file.
        command: how to reproduce, shown on the page.

    Raises:
        RunFolderError: not an inspection, or feedback on another one.
        InputError: a threshold outside [0, 1], or no image per strip.
    """
    if display_k < 1:
        raise InputError("Images per strip", expected=">= 1", got=str(display_k))
    folder, query = open_run(run)
    feedback, notes = gather_feedback(folder, query, feedback_file)
    results = compile_results(
        query, feedback, sig_thresh=sig_thresh, acc_thresh=acc_thresh, keep_core=keep_core
    )
    if feedback is not None:
        write_json(folder / FEEDBACK_FILE, feedback.to_json())
    results.write(folder / RESULTS_FILE)
    content = inspect_page(query, results, folder=folder, display_k=display_k, command=command)
    page = write_page(content, folder / "index.html")
    return ResultsRun(
        path=folder,
        page=page,
        content=content,
        query=query,
        feedback=feedback,
        results=results,
        archive=pack(folder, archive) if archive is not None else None,
        notes=notes,
    )
