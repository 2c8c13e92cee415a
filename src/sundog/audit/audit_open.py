"""Opening what an audit looks at: from what was typed, or from the manifest of a past audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sundog.audit.audit_manifest import code_hash
from sundog.audit.audit_settings import AuditSettings
from sundog.audit.risk_subjects import open_risk_subjects
from sundog.audit.subject import Subject
from sundog.core.errors import InputError, RunFolderError
from sundog.core.records import Manifest
from sundog.core.run_folder import read_manifest

KIND = "audit"
OPTIONS = (
    *("checkpoint", "classes", "class_names", "split", "limit", "size", "resize", "batch_size"),
    *("device", "seed", "mean", "std", "output", "path_column", "label_column"),
)
"""How images and classifier are opened, beside their names; see :func:`open_subject`."""
_NAMES = {"output": "network_output"}
"""Options that the command line calls otherwise."""


@dataclass(frozen=True, eq=False)
class OpenedAudit:
    """What an audit looks at.

    Attributes:
        subject: images and classifier.
        training: training images, or None.
        opened: how they were opened, as JSON values: belongs into the manifest.
        said: what the risk methods are fitted on, in words.
    """

    subject: Subject
    training: Subject | None
    opened: dict[str, Any]
    said: str


def open_audit_subjects(
    data: str,
    *,
    model: str,
    training: str | None = None,
    download: bool = False,
    **options: Any,
) -> OpenedAudit:
    """Open images, classifier and training images by name.

    Without ``training``, the source's own train split is taken if ``split`` names another one.

    Args:
        data: image set.
        model: classifier.
        training: image set, or None.
        download: allow downloading what is missing.
        **options: as for :func:`~sundog.audit.subject.open_subject`.

    Raises:
        SundogError: bad input, in plain words.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise InputError("Options", expected=f"among {', '.join(OPTIONS)}", got=unknown[0])
    found = open_risk_subjects(data, model=model, fit_on=training, download=download, **options)
    told = {"data": data, "model": model, "training": training, **options}
    return OpenedAudit(
        subject=found.scored,
        training=found.fit_on,
        opened={
            _NAMES.get(key, key): _plain(key, value)
            for key, value in told.items()
            if (key, value) != ("output", "logits")  # the default, which no command needs to say
        },
        said=found.said,
    )


@dataclass(frozen=True, eq=False)
class PastAudit:
    """What a past audit was asked.

    Attributes:
        opened: how images and classifier were opened; arguments of :func:`open_audit_subjects`.
        settings: what was looked at, and how.
        before: run folder that it was compared with, or None.
        answers: what a person added to the documentation.
        manifest: of the past audit.
    """

    opened: dict[str, Any]
    settings: AuditSettings
    before: str | None
    answers: dict[str, str]
    manifest: Manifest


def read_past_audit(run: str | Path) -> PastAudit:
    """Return what the manifest of an audit says: all that is needed to repeat it.

    Raises:
        RunFolderError: no audit, or one whose images and classifier were not opened by name.
    """
    folder = Path(run)
    manifest = read_manifest(folder)
    if manifest.kind != KIND:
        raise RunFolderError(
            f"{str(folder)!r}", expected="the folder of an audit", got=f"one of {manifest.kind!r}"
        )
    back = {called: name for name, called in _NAMES.items()}
    given = {back.get(key, key): value for key, value in manifest.arguments.items()}
    opened = {key: given[key] for key in ("data", "model", "training", *OPTIONS) if key in given}
    environment = manifest.environment
    return PastAudit(
        opened=opened,
        settings=AuditSettings.from_dict(
            {**given.get("settings", {}), "stages": environment.get("stages", [])}
        ),
        before=environment.get("before"),
        answers=dict(environment.get("answers") or {}),
        manifest=manifest,
    )


def differences(past: Manifest, opened: OpenedAudit) -> tuple[str, ...]:
    """Return what is not as it was in a past audit, in words: weights, images, code, versions.

    Args:
        past: manifest of the past audit.
        opened: what would be audited now.
    """
    now = opened.subject.fingerprints()
    pairs = {
        "the weights": (past.model_fingerprint, now["model_fingerprint"]),
        "the images or their labels": (past.data_fingerprint, now["data_fingerprint"]),
        "the training images": (
            past.arguments.get("training_images"),
            None if opened.training is None else opened.training.fingerprints()["data_fingerprint"],
        ),
        "Sundog's code": (past.environment.get("code"), code_hash()),
    }
    fresh = Manifest(kind=KIND).versions
    pairs |= {name: (past.versions.get(name), fresh.get(name)) for name in fresh}
    return tuple(
        f"{what} ({str(old)[:12]} there, {str(new)[:12]} now)"
        for what, (old, new) in pairs.items()
        if old != new
    )


def refuse_differences(run: str | Path, found: tuple[str, ...]) -> None:
    """Refuse to call another audit a repetition.

    Args:
        run: folder of the past audit.
        found: from :func:`differences`.

    Raises:
        InputError: something differs.
    """
    if found:
        raise InputError(
            f"A repetition of {str(run)!r}",
            expected="made with the same weights, images and code",
            got=f"other ones: {'; '.join(found)}",
            hint="Restore them, or allow it with --allow-changes: the numbers may then differ.",
        )


def open_past(
    past: PastAudit, changed: Mapping[str, Any], *, download: bool = False
) -> OpenedAudit:
    """Open what a past audit looked at.

    Args:
        past: of the past audit.
        changed: what is named anew: ``data``, ``model`` or ``training``.
        download: allow downloading what is missing.

    Raises:
        InputError: the manifest does not name images and classifier, and nobody did.
        SundogError: they cannot be opened.
    """
    asked = {**past.opened, **{key: value for key, value in changed.items() if value is not None}}
    missing = [name for name in ("model", "data") if not asked.get(name)]
    if missing:
        raise InputError(
            "The manifest of the past audit",
            expected="one that names classifier and images",
            got=f"none for {' and '.join(missing)}",
            hint="Name them: sundog audit CLASSIFIER DATA --from RUN.",
        )
    return open_audit_subjects(download=download, **_unplain(asked))


def _plain(key: str, value: Any) -> Any:
    """Return a value for the manifest; a path that is there is kept whole: it may be read later."""
    if isinstance(value, tuple):
        return list(value)
    if key in ("data", "model", "training", "checkpoint") and value is not None:
        text = str(value)
        return str(Path(text).resolve()) if Path(text).exists() else text
    return value


def _unplain(values: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(values)
    if found.get("checkpoint") is not None:
        found["checkpoint"] = Path(found["checkpoint"])
    return found
