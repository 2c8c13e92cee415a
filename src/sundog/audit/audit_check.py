"""What an audit refuses before anything is computed."""

from __future__ import annotations

from pathlib import Path

from sundog.audit.audit_folder import open_audit
from sundog.audit.audit_settings import AuditSettings
from sundog.audit.audit_verdicts import made_claims, read_verdicts
from sundog.audit.group_column import image_groups
from sundog.audit.observed import check_classes
from sundog.audit.requests import parse_methods, parse_named
from sundog.audit.subject import Subject
from sundog.concepts.registry import TAGGERS
from sundog.core.errors import InputError
from sundog.risk.registry import METHODS as RISKS


def check_input(
    subject: Subject, settings: AuditSettings, *, before: str | Path | None = None
) -> None:
    """Refuse names that are not there and images that cannot be audited.

    Args:
        subject: images and classifier.
        settings: of the audit.
        before: run folder of an earlier audit, or None.

    Raises:
        DataError: no labelled image.
        UnknownNameError: unknown tagger, method, risk method or column; suggests the nearest.
        InputError: a column with too many values, a parameter that cannot be read.
        RunFolderError: ``before`` is no audit.
    """
    subject.classifier.require_eval()
    check_classes(subject, None)
    parse_named(settings.taggers, kind="tagger", known=TAGGERS)
    if settings.methods != "auto":
        parse_methods(settings.methods, seed=settings.seed)
    parse_named(",".join(settings.risk_methods), kind="risk method", known=RISKS)
    if "ensemble" in settings.risk_methods:
        raise InputError(
            "risk_methods", expected="of one classifier", got="ensemble", hint="Try sundog risk."
        )
    if settings.group_column is not None:
        image_groups(subject, settings.group_column)
    if before is not None:
        check_before(before)


def check_before(before: str | Path) -> None:
    """Refuse an earlier audit whose answer, claims or verdicts cannot be read.

    They are needed at the end: then it would be too late to say so.

    Raises:
        RunFolderError: no audit there, or a file of it that is damaged.
    """
    open_audit(before)
    if made_claims(before):
        read_verdicts(before)
