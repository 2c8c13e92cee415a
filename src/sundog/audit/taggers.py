"""Taggers and sorters by name, as typed: ``photometric,csv:path=tags.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sundog.audit.requests import parse_parameter
from sundog.audit.subject import Subject
from sundog.concepts.independence import shared_weights
from sundog.concepts.registry import SORTERS, TAGGERS, get_sorter, get_tagger
from sundog.concepts.sorter import Sorter
from sundog.concepts.tagger import Tagger
from sundog.core.errors import InputError, MissingExtraError, UnknownNameError

DEFAULT_TAGGERS = "photometric,patches,metadata,imagenet"
"""What a plain install with the offline extra can do without a download."""
SHARED = 0.5
"""Share of equal weights from which a sorter's network counts as the audited one."""


def make_taggers(
    asked: str | Sequence[str | Tagger], subject: Subject | None
) -> tuple[list[Tagger], list[str]]:
    """Return taggers and notes.

    Args:
        asked: names with parameters, separated by commas, or a list of such or of taggers.
            ``clusters`` looks at the features of the subject's classifier. A tagger of the default
            list whose extra is not installed, or whose network is the audited one, is left out with
            a note; one that was named is an error.
        subject: whose classifier is audited; None: tags without a classifier.

    Raises:
        UnknownNameError: unknown tagger; suggests the nearest.
        MissingExtraError: a tagger that was asked for needs a package.
        InputError: nothing asked, or a bad parameter.
    """
    parts = _parts(asked)
    if not parts:
        raise InputError("taggers", expected="at least one tagger", got="none")
    optional = asked == DEFAULT_TAGGERS
    made: list[Tagger] = []
    notes: list[str] = []
    for part in parts:
        if isinstance(part, Tagger):
            made.append(part)
            continue
        if not isinstance(part, str):
            raise InputError("A tagger", expected="a tagger or its name", got=type(part).__name__)
        name, given = _parse(part)
        if name not in TAGGERS:
            raise UnknownNameError("tagger", name, TAGGERS)
        try:
            made.append(get_tagger(name, **_with_subject(name, given, subject)))
        except (MissingExtraError, InputError) as error:
            if not optional:
                raise
            notes.append(f"Tagger {name!r} was left out: {error.message}")
    if not made:
        raise InputError("taggers", expected="at least one that works here", got="; ".join(notes))
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


def sorter_notes(sorter: Sorter | None, subject: Subject) -> list[str]:
    """Return what a reader must know of a sorter that uses the audited network's own weights."""
    own = getattr(sorter, "classifier", None)
    if sorter is None or own is None or sorter.name == "features":
        return []
    share = shared_weights(own, subject.classifier)
    if share < SHARED:
        return []
    return [
        f"Sorter {sorter.name!r} ranks by a network with {share:.0%} of the weights of the "
        "classifier under test: images that are hard for it look like less of everything."
    ]


def is_circular(sorter: Sorter | None, subject: Subject) -> bool:
    """Return whether a sorter ranks by the features from which the audited network decides.

    Its neurons are proposed because they raise the logit of the class, so right images have more
    of them than wrong ones whatever they show.
    """
    if sorter is None or sorter.name != "features":
        return False
    own = getattr(sorter, "classifier", None)
    return own is None or shared_weights(own, subject.classifier) >= SHARED


def _with_subject(name: str, given: Mapping[str, Any], subject: Subject | None) -> dict[str, Any]:
    """Add what a tagger needs of the subject: its classifier, or the folder of its images."""
    if name == "imagenet" and subject is not None:
        return {"audited": subject.classifier, **given}
    if name == "metadata" and subject is not None and subject.root is not None:
        return {"root": subject.root, **given}
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


def _parts(asked: str | Sequence[Any]) -> list[Any]:
    if not isinstance(asked, str):
        return list(asked)
    return [part.strip() for part in asked.split(",") if part.strip()]


def _parse(text: str) -> tuple[str, dict[str, Any]]:
    name, *pairs = text.split(":")
    return name.strip(), dict(parse_parameter(pair) for pair in pairs)
