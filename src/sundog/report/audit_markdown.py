"""The report of an audit as Markdown: the same content as the page, for a readme or a request."""

from __future__ import annotations

import os

from sundog.core.audit.summary import AuditSummary
from sundog.report.audit_page import audit_page
from sundog.report.page_markdown import page_markdown


def audit_markdown(
    summary: AuditSummary, *, folder: str | os.PathLike[str], command: str = ""
) -> str:
    """Return the report as GitHub-flavoured Markdown.

    Args:
        summary: ``audit.json``.
        folder: run folder; pictures are linked relative to it, so ``audit.md`` belongs into it.
        command: how to reproduce; the manifest's if empty.
    """
    return page_markdown(audit_page(summary, folder=folder, command=command))
