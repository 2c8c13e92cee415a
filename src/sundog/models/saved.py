"""A classifier that was saved: found by its folder, and asked for fewer classes or other names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sundog.core.errors import InputError
from sundog.models.classifier import Classifier
from sundog.models.discover import discover
from sundog.models.imagenet import Classes, choose_classes
from sundog.models.layers import find_layer
from sundog.models.store import CLASSIFIER_FILE, load_classifier


def saved_folder(name: object) -> Path | None:
    """Return the folder if ``name`` is one with a saved classifier."""
    if isinstance(name, (str, os.PathLike)) and (Path(name) / CLASSIFIER_FILE).is_file():
        return Path(name)
    return None


def open_saved(
    folder: Path,
    *,
    classes: Classes,
    class_names: Sequence[str] | None,
    feature_layer: str | None,
    cam_layer: str | None,
    refused: Mapping[str, Any],
    device: torch.device,
) -> Classifier:
    """Load a saved classifier; keep fewer of its classes, or rename them, if asked.

    Args:
        folder: written by training or ``save_classifier``.
        classes: columns to keep, by number or name, of the classes it was saved with.
        class_names: new names of the (kept) classes.
        feature_layer: dotted name instead of the saved one.
        cam_layer: dotted name instead of the saved one.
        refused: arguments that a saved classifier brings itself; each must be None.
        device: where it goes.

    Raises:
        InputError: one of ``refused`` was given, or classes out of range.
        UnknownNameError: no such class or layer.
        CheckpointError: the folder is damaged.
    """
    given = [name for name, value in refused.items() if value is not None]
    if given:
        raise InputError(
            ", ".join(given),
            expected="left out for a saved classifier, which brings its own",
            got="a value",
            hint=f"Leave it out, or name the network instead of the folder {str(folder)!r}.",
        )
    found = load_classifier(folder, device=device)
    for layer in (feature_layer, cam_layer):
        if layer is not None:
            find_layer(found, layer)
    found.feature_layer = feature_layer or found.feature_layer
    found.cam_layer = cam_layer or found.cam_layer
    if classes is None and class_names is None:
        return found
    return _narrow(found, classes, class_names)


def _narrow(found: Classifier, classes: Classes, names: Sequence[str] | None) -> Classifier:
    count = _class_count(found)
    if isinstance(classes, int) and classes != count:
        raise InputError(
            "classes",
            expected=f"{count} as a number, the saved classifier's own",
            got=str(classes),
            hint="Pass columns to keep as a list.",
        )
    kept, old = choose_classes(classes, columns=count, names=found.class_names)
    wanted = len(kept) if kept is not None else count
    if names is not None and len(names) != wanted:
        raise InputError(
            "class_names", expected=f"one per class ({wanted})", got=f"{len(names)} names"
        )
    columns = found.class_indices
    if kept is not None:
        columns = kept if columns is None else tuple(columns[index] for index in kept)
    return found.with_classes(columns, names if names is not None else old)


def _class_count(found: Classifier) -> int:
    if found.class_indices is not None:
        return len(found.class_indices)
    if found.class_names is not None:
        return len(found.class_names)
    return 2 if found.output == "binary_logit" else discover(found).classes
