"""Opening the classifier for the doctor: an error becomes a check, and what still opens goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from sundog.audit.align import match_classes
from sundog.audit.doctor_result import Check
from sundog.core.errors import InputError, SundogError
from sundog.models.behaviour import training_modules
from sundog.models.classifier import Classifier
from sundog.models.zoo import get_model

NAME = "model: opened"
EXPECTED = "a classifier that can be asked"


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """What could be opened.

    Attributes:
        classifier: None if nothing could be.
        training: modules that were in train mode when it was given.
        checks: of the opening.
    """

    classifier: Classifier | None
    training: tuple[str, ...]
    checks: tuple[Check, ...]


def open_classifier(
    model: Any,
    *,
    classes: str | Sequence[int] | Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    set_names: Sequence[str] = (),
    **options: Any,
) -> OpenedModel:
    """Open a classifier for the doctor.

    Args:
        model: a classifier (without options), a network, or what :func:`get_model` takes.
        classes: see :func:`get_model`; ``auto`` keeps those that the images have, by name.
        class_names: of the (kept) classes.
        set_names: classes of the images, for ``auto``.
        **options: other arguments of :func:`get_model`.

    Raises:
        InputError: options with a classifier, which brings its own.
    """
    if isinstance(model, Classifier):
        return _as_it_is(model, {**options, "classes": classes, "class_names": class_names})
    if not isinstance(model, (str, os.PathLike, nn.Module)):
        raise InputError(
            "model",
            expected="a Classifier, a torch module, a name or a path",
            got=type(model).__name__,
        )
    checkpoint = options.pop("checkpoint", None)
    try:
        kept: Any = classes
        if classes == "auto":
            whole = get_model(model, checkpoint, class_names=class_names, **options)
            matched = match_classes(set_names, whole.class_names or ())
            kept = sorted(matched.values()) or None
            class_names = None if kept is not None else class_names
        found = get_model(model, checkpoint, kept, class_names=class_names, **options)
    except SundogError as error:
        given = {"classes": classes, "class_names": class_names, **options}
        return _without(model, checkpoint, error, given)
    text = f"{found.name}, weights {found.weights}"
    return OpenedModel(found, (), (Check(NAME, "ok", text, EXPECTED),))


def _as_it_is(model: Classifier, options: dict[str, Any]) -> OpenedModel:
    own = ("mean", "std", "checkpoint", "classes", "class_names")
    given = [name for name in own if options.get(name) is not None]
    if given:
        raise InputError(
            ", ".join(given),
            expected="left out with a Classifier, which brings its own",
            got="a value",
            hint="Give the network itself, or make the Classifier with them.",
        )
    text = f"{model.name}, weights {model.weights}"
    return OpenedModel(model, training_modules(model), (Check(NAME, "ok", text, EXPECTED),))


def _without(model: Any, checkpoint: Any, error: SundogError, given: dict[str, Any]) -> OpenedModel:
    """Report the error; open the network without what was said of classes or normalisation."""
    check = Check(NAME, "fail", error.message, EXPECTED, "see the message")
    for left_out in (("classes", "class_names"), ("classes", "class_names", "mean", "std")):
        if all(given.get(name) is None for name in left_out):
            continue
        kept = {name: value for name, value in given.items() if name not in left_out}
        try:
            return OpenedModel(get_model(model, checkpoint, **kept), (), (check,))
        except SundogError:  # the first error has been reported
            continue
    return OpenedModel(None, (), (check,))
