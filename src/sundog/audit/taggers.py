"""Taggers and sorters by name, as typed: ``photometric,csv:path=tags.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sundog.audit.requests import parse_parameter
from sundog.audit.subject import Subject
from sundog.concepts.registry import SORTERS, TAGGERS, get_sorter, get_tagger
from sundog.concepts.sorter import Sorter
from sundog.concepts.tagger import Tagger
from sundog.core.errors import InputError, MissingExtraError, UnknownNameError
from sundog.models.fingerprint import model_fingerprint

DEFAULT_TAGGERS = "photometric,patches,metadata,imagenet"
"""What a plain install with the offline extra can do without a download."""


def make_taggers(
    asked: str | Sequence[str | Tagger], subject: Subject | None
) -> tuple[list[Tagger], list[str]]:
    """Return taggers and notes.

    Args:
        asked: names with parameters, separated by commas, or a list of such or of taggers.
            ``clusters`` looks at the features of the subject's classifier. A tagger of the default
            list whose extra is not installed is left out with a note; one that was named is an
            error.
        subject: whose classifier is audited; None: tags without a classifier.

    Raises:
        UnknownNameError: unknown tagger; suggests the nearest.
        MissingExtraError: a tagger that was asked for needs a package.
        InputError: nothing asked, or a bad parameter.
    """
    parts = _parts(asked)
    if not parts:
        raise InputError("--taggers", expected="at least one tagger", got="none")
    optional = asked == DEFAULT_TAGGERS
    made: list[Tagger] = []
    notes: list[str] = []
    for part in parts:
        if isinstance(part, Tagger):
            made.append(part)
            continue
        name, given = _parse(part)
        if name not in TAGGERS:
            raise UnknownNameError("tagger", name, TAGGERS)
        try:
            tagger = get_tagger(name, **_with_subject(name, given, subject))
        except MissingExtraError as error:
            if not optional:
                raise
            notes.append(f"Tagger {name!r} was left out: {error.message}")
            continue
        made.append(tagger)
    own = None if subject is None else model_fingerprint(subject.classifier)
    for tagger in made:
        if own is not None and getattr(tagger, "fingerprint", None) == own:
            notes.append(
                f"Tagger {tagger.name!r} is the audited classifier itself: its tags carry the same "
                "errors, and their gaps mean little. Choose another."
            )
    return made, notes


def make_sorter(asked: str | Sorter | None, subject: Subject) -> Sorter | None:
    """Return a sorter by name with parameters, e.g. ``clip:name_or_path=FOLDER``; None stays None.

    Raises:
        UnknownNameError: unknown sorter; suggests the nearest.
    """
    if asked is None or isinstance(asked, Sorter):
        return asked
    name, given = _parse(asked)
    if name not in SORTERS:
        raise UnknownNameError("sorter", name, SORTERS)
    return get_sorter(name, **_with_subject(name, given, subject))


def _with_subject(name: str, given: Mapping[str, Any], subject: Subject | None) -> dict[str, Any]:
    """Add the classifier and its preparation for what looks at the classifier's own features."""
    if name not in ("clusters", "features"):
        return dict(given)
    if subject is None:
        raise InputError(
            f"{name!r}",
            expected="used with a classifier, whose features it looks at",
            got="none",
            hint="Name one with --model.",
        )
    own = {"classifier": subject.classifier, "size": subject.size, "resize": subject.resize}
    return {**own, **given}


def _parts(asked: str | Sequence[str | Tagger]) -> list[str | Tagger]:
    if not isinstance(asked, str):
        return list(asked)
    return [part.strip() for part in asked.split(",") if part.strip()]


def _parse(text: str) -> tuple[str, dict[str, Any]]:
    name, *pairs = text.split(":")
    return name.strip(), dict(parse_parameter(pair) for pair in pairs)
