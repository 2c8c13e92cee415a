"""From what an audit said to data that a debiasing run works on, with the taggers of the audit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sundog.audit.audit_verdicts import AuditVerdicts, read_verdicts
from sundog.audit.debias_data import DebiasData
from sundog.audit.debias_from_audit import ToSuppress
from sundog.audit.debias_from_audit_data import with_audit
from sundog.audit.debias_from_audit_tags import ConceptTags, audited_ids, tag_findings
from sundog.audit.subject import make_subject
from sundog.core.errors import InputError
from sundog.core.run_folder import read_manifest
from sundog.models.classifier import Classifier


def suppressed(
    data: DebiasData,
    wanted: ToSuppress,
    *,
    classifier: Classifier | None = None,
    taggers: str | None = None,
    root: Path | None = None,
    progress: bool | None = None,
) -> DebiasData:
    """Return the data with the audit's cues and concepts; see :func:`with_audit`.

    Concepts that cannot be tagged on these images are left out with a note, if there is something
    else to mend.

    Args:
        data: from :func:`sundog.audit.debias_data.make_debias_data`.
        wanted: from :func:`sundog.audit.debias_from_audit.what_to_suppress`.
        classifier: for taggers that look at its features, or must not share its weights.
        taggers: names with parameters; None: those of the audit, without parameters.
        root: folder of the images, for taggers that read the files.
        progress: None shows it on a terminal.

    Raises:
        InputError: neither a cue nor a concept that is known for these images.
    """
    tags: ConceptTags | None = None
    if wanted.findings and data.test.groups is None:
        try:
            tags = _tags(data, wanted, classifier, taggers, root, progress)
        except InputError as error:
            if not wanted.cues:
                raise
            note = f"Confirmed concepts were left out: {error.message}"
            wanted = replace(wanted, findings=(), notes=(*wanted.notes, note))
    return with_audit(data, wanted, tags)


def _tags(
    data: DebiasData,
    wanted: ToSuppress,
    classifier: Classifier | None,
    taggers: str | None,
    root: Path | None,
    progress: bool | None,
) -> ConceptTags:
    sets = [part.images.image_set for part in (data.train, data.validation, data.test)]
    subject = None
    if classifier is not None:
        height, width = data.train.images.image_size
        made = make_subject(sets[0], classifier, size=height if height == width else None)
        subject = replace(made, root=root)
    found = read_verdicts(wanted.run)
    return tag_findings(
        wanted.findings,
        sets,
        taggers=taggers or _taggers(found),
        subject=subject,
        audited=audited_ids(found.judged_in),
        seed=int(found.query.parameters.get("seed", 0)),
        progress=progress,
    )


def _taggers(found: AuditVerdicts) -> str:
    """Return the names of the taggers of the inspection, as its manifest has them."""
    given = read_manifest(found.judged_in).arguments.get("taggers", [])
    names = [name for name in given if isinstance(name, str)]
    if not names:
        raise InputError(
            "taggers",
            expected="those of the audit",
            got="an inspection that does not say them",
            hint="Name them with --taggers.",
        )
    return ",".join(names)
