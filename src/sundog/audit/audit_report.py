"""Everything that people read of an audit: audit.json, audit.md, the page, the query to review."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from sundog.audit.audit_manifest import manifest_facts
from sundog.audit.audit_stages import CUES, INSPECT, StageFile
from sundog.audit.audit_summary import summarise
from sundog.audit.audit_work import AuditWork
from sundog.audit.cues_for_review import merge_cues_into_query
from sundog.audit.frozen_slices import freeze_slices
from sundog.core.audit.cue_findings import has_cues
from sundog.core.audit.cues import CUES_FILE, Cues
from sundog.core.audit.summary import AUDIT_FILE, AuditSummary, Stage
from sundog.core.errors import SundogError, first_line
from sundog.core.files import write_text
from sundog.core.inspection.query import QUERY_FILE, Query
from sundog.report.audit_markdown import audit_markdown
from sundog.report.audit_page import audit_page
from sundog.report.page import write_page

MARKDOWN_FILE = "audit.md"
PAGE_FILE = "index.html"
REPORT = "report"
"""Name under which a report that failed is told among the stages."""


def write_report(
    work: AuditWork,
    files: Sequence[StageFile],
    *,
    fresh: bool,
    answers: Mapping[str, str] | None = None,
) -> tuple[AuditSummary, Path | None]:
    """Write what the stages found, and return the summary and the page.

    A report that fails is told among the stages: ``audit.json`` is then written without it.

    Args:
        work: the audit.
        files: of its stages, in order.
        fresh: findings or cues were made in this run: the cues are put before the reviewers anew.
        answers: what a person adds to the documentation: field -> text.
    """
    told = manifest_facts(work.folder.manifest, command=work.command)
    try:
        _put_cues_before_reviewers(work, fresh=fresh)
        freeze_slices(work.path, work.subject, seed=work.settings.seed, progress=work.progress)
        summary = summarise(work, files, manifest=told, answers=answers)
        summary.write(work.path / AUDIT_FILE)
        return summary, _write_pages(work, summary)
    except Exception as error:
        message = error.message if isinstance(error, SundogError) else first_line(error)
        write_text(work.path / "stages" / f"{REPORT}.txt", traceback.format_exc())
    summary = summarise(
        work,
        files,
        manifest=told,
        answers=answers,
        trouble=Stage(name=REPORT, status="failed", message=message),
    )
    summary.write(work.path / AUDIT_FILE)
    return summary, None


def _put_cues_before_reviewers(work: AuditWork, *, fresh: bool) -> None:
    """Let people judge the claimed cues on the page on which they judge the findings.

    A run that was killed after both searches has not done it yet, though neither is made again.
    """
    inspect, cues = work.path / INSPECT, work.path / CUES
    if not ((inspect / QUERY_FILE).is_file() and (cues / CUES_FILE).is_file()):
        return
    if fresh or not has_cues(Query.read(inspect / QUERY_FILE), Cues.read(cues / CUES_FILE)):
        merge_cues_into_query(inspect, cues, command=work.command)


def _write_pages(work: AuditWork, summary: AuditSummary) -> Path:
    write_text(work.path / MARKDOWN_FILE, audit_markdown(summary, folder=work.path))
    page = audit_page(summary, folder=work.path)
    return write_page(page, work.path / PAGE_FILE)
