"""What both analyses share: opening model and data, and the folder that results go to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sundog.audit.subject import Subject, make_subject
from sundog.bias.class_images import METRICS, Metric
from sundog.core.errors import InputError, UnknownNameError
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.data.torch_dataset import from_torch_dataset
from sundog.data.transforms import Resize
from sundog.models.classifier import Classifier
from sundog.models.zoo import get_model


def open_analysis(
    model: Any,
    dataset: Any,
    *,
    fabric: Any,
    batch_size: int,
    metric: str,
    size: int | None,
    resize: Resize,
) -> tuple[Subject, Metric]:
    """Return the subject of an analysis and its metric.

    Args:
        model: a classifier, a network, or a name or path that ``get_model`` takes.
        dataset: an image set, a torch dataset, or a source that ``load_image_set`` takes.
        fabric: ``lightning_fabric.Fabric``; moves the model to its device. None: stays.
        batch_size: images per batch, >= 1.
        metric: ``accuracy`` or ``confidence``.
        size: side in pixels; None = the classifier's own, or 224.
        resize: pad, crop or stretch.

    Raises:
        UnknownNameError: another metric.
        SundogError: model and data that do not fit.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", str(metric), METRICS)
    if batch_size < 1:
        raise InputError("batch_size", expected=">= 1", got=str(batch_size))
    classifier = _classifier(model)
    if fabric is not None:
        classifier = classifier.to(fabric.device)
    image_set = _image_set(dataset)
    found: Metric = "accuracy" if metric == "accuracy" else "confidence"
    subject = make_subject(image_set, classifier, size=size, resize=resize, batch_size=batch_size)
    return subject, found


def choose_path(
    given: str | os.PathLike[str] | None, *, kind: str, subject: Subject, asked: Mapping[str, Any]
) -> Path:
    """Return the folder to write: the one given, or ``KIND/HASH`` in the working directory.

    The hash is of model, data and arguments: asking the same again goes on in the same folder.
    """
    if given is not None:
        return Path(given)
    text = json.dumps({**subject.fingerprints(), **asked}, sort_keys=True, default=str)
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=6).hexdigest()
    return Path(f"{kind}-bias") / digest


def as_list(value: Any) -> list[Any]:
    """Return a list of one for anything that is not a list or tuple; none for None."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def check_classes_list(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the classes as a tuple.

    Raises:
        InputError: one text instead of a list.
    """
    if isinstance(classes, str):
        raise InputError("classes_list", expected="a list of names", got="one text")
    return None if classes is None else tuple(classes)


def _classifier(model: Any) -> Classifier:
    if isinstance(model, Classifier):
        return model
    if isinstance(model, (str, os.PathLike, nn.Module)):
        return get_model(model)
    raise InputError(
        "model", expected="a Classifier, a torch module, a name or a path", got=type(model).__name__
    )


def _image_set(dataset: Any) -> ImageSet:
    if isinstance(dataset, ImageSet):
        return dataset
    if isinstance(dataset, (str, os.PathLike)):
        return load_image_set(dataset)
    return from_torch_dataset(dataset)
