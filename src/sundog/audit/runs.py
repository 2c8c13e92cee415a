"""Opening the classifiers that are compared, with the cue that their training runs recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sundog.audit.requests import parse_cue
from sundog.audit.subject import Subject, open_subject
from sundog.core.errors import InputError
from sundog.data.planting import Cue, make_cue

RECORDED = "recorded"
"""Typed as a cue: the one that the training runs recorded."""


@dataclass(frozen=True, eq=False)
class OpenedRuns:
    """Run id -> subject, and the cue to test; None to look for an unknown one."""

    subjects: dict[str, Subject]
    cue: Cue | None


def name_models(texts: Sequence[str]) -> dict[str, str]:
    """Return run id -> model for ``NAME=MODEL`` or ``MODEL``; a folder's own name is its run id.

    What is there under the whole text is a model, whatever ``=`` its name holds (``runs/lr=0.1``).

    Raises:
        InputError: two models under one name.
    """
    named: dict[str, str] = {}
    for text in texts:
        name, equals, model = text.partition("=")
        if not equals or Path(text).exists():
            model = text
            name = Path(text).resolve().name if Path(text).exists() else text
        if name in named:
            raise InputError(
                "Names of the models",
                expected="different",
                got=f"{name!r} twice",
                hint="Give names: A=first/folder B=second/folder.",
            )
        named[name] = model
    return named


def open_runs(
    models: Mapping[str, str], images: str, *, cue: str | None, seed: int, **options: Any
) -> OpenedRuns:
    """Open every model on the same images, and the cue.

    Args:
        models: run id -> model.
        images: image set, with classes as the models have them.
        cue: as typed; ``recorded`` takes the one that the training runs recorded; None for none.
        seed: of the image draw and the cue.
        **options: as for :func:`~sundog.audit.subject.open_subject`.

    Raises:
        InputError: a recorded cue is asked for and there is none, or different ones.
    """
    subjects = {
        name: open_subject(images, model=model, seed=seed, **options)
        for name, model in models.items()
    }
    count = len(next(iter(subjects.values())).class_names)
    if cue is None:
        return OpenedRuns(subjects, None)
    if cue != RECORDED:
        return OpenedRuns(subjects, parse_cue(cue, class_count=count, strength=1.0, seed=seed))
    recorded = [found for model in models.values() if (found := recorded_cue(model)) is not None]
    plain = {json.dumps({**found, "strength": 1.0}, sort_keys=True) for found in recorded}
    if len(plain) != 1:
        raise InputError(
            "The cue to test",
            expected="given, or recorded by the training runs and the same for all",
            got=f"{len(plain)} different recorded cues" if plain else "none",
            hint="Name it with --cue, e.g. --cue pixel.",
        )
    found = json.loads(plain.pop())
    parameters = found.pop("parameters")
    return OpenedRuns(subjects, make_cue(**found, **parameters))


def recorded_cue(model: str) -> dict[str, Any] | None:
    """Return the cue that a training run was evaluated with, or None."""
    path = Path(model) / "args.json"
    if not path.is_file():
        return None
    args = json.loads(path.read_text(encoding="utf-8"))
    found = args.get("train_cue_details") or args.get("eval_cue_details")
    return dict(found) if found else None
