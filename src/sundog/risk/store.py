"""A fitted risk model on disk: JSON and safetensors, no pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from sundog.core.errors import CheckpointError, SundogError, first_line
from sundog.core.files import write_bytes, write_json
from sundog.models.classifier import Classifier
from sundog.models.fingerprint import model_fingerprint
from sundog.models.store import load_classifier, save_classifier
from sundog.risk.estimator import Estimator, Trained
from sundog.risk.joint_training import build_parts
from sundog.risk.model import RiskModel
from sundog.risk.registry import make_estimator

RISK_FILE = "risk.json"
TENSORS_FILE = "risk.safetensors"
CLASSIFIER_FOLDER = "classifier"
FORMAT = 1
_WRITTEN = ("sha256", "methods", "image_size", "classifier")


def save_risk_model(
    model: RiskModel,
    folder: str | os.PathLike[str],
    *,
    image_size: tuple[int, int] | None = None,
) -> Path:
    """Write a fitted risk model to a folder, from which :func:`load_risk_model` restores it.

    Args:
        model: every method fitted.
        folder: made if it is not there; ``risk.json`` is written last.
        image_size: (height, width) that trained parts were built for; the classifier's input
            size if None.

    Raises:
        ModelStateError: a method that was not fitted.
    """
    target = Path(folder)
    for estimator in model.estimators:
        estimator.require_fitted()
    tensors = {
        f"{estimator.name}/{name}": value.detach().to("cpu").contiguous().clone()
        for estimator in model.estimators
        for name, value in estimator.tensors().items()
    }
    data = save(tensors)
    save_classifier(model.classifier, target / CLASSIFIER_FOLDER)
    write_bytes(target / TENSORS_FILE, data)
    size = image_size or model.classifier.input_size
    write_json(
        target / RISK_FILE,
        {
            "format": FORMAT,
            "sha256": hashlib.sha256(data).hexdigest(),
            "methods": [{"name": e.name, "settings": e.settings()} for e in model.estimators],
            "image_size": list(size) if size is not None else None,
            "classifier": model_fingerprint(model.classifier),
        },
    )
    return target


def load_risk_model(
    folder: str | os.PathLike[str],
    *,
    classifier: Classifier | None = None,
    network: nn.Module | None = None,
    estimators: Sequence[Estimator] = (),
    device: str | torch.device = "cpu",
) -> RiskModel:
    """Return the risk model that :func:`save_risk_model` wrote.

    Args:
        folder: holds ``risk.json``, ``risk.safetensors`` and ``classifier/``.
        classifier: the classifier it was fitted on, if that is at hand; the stored one if None.
        network: needed for a stored network of your own; gets the weights.
        estimators: unfitted methods that cannot be rebuilt from their settings (a VAE with a
            decoder of your own); they get the stored tensors.
        device: where the classifier goes.

    Raises:
        CheckpointError: files missing, changed since they were written, or another classifier.
    """
    place = Path(folder)
    about = _read(place)
    data = _bytes(place / TENSORS_FILE)
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise CheckpointError(
            f"File {str(place / TENSORS_FILE)!r}",
            expected=f"as it was written with {RISK_FILE}",
            got="another content",
            hint="Copy the folder again, or fit again.",
        )
    if classifier is None:
        stored = place / CLASSIFIER_FOLDER
        classifier = load_classifier(stored, network=network, device=device)
    found = model_fingerprint(classifier)
    if found != about["classifier"]:
        raise CheckpointError(
            f"Risk model {str(place)!r}",
            expected="used with the classifier it was fitted on",
            got=f"{classifier.name!r}, which has another architecture or other weights",
            hint="Fit it on this classifier: wrap(classifier, ...).fit(training_images).",
        )
    try:
        tensors = load(data)
        given = {estimator.name: estimator for estimator in estimators}
        made = [
            given[m["name"]] if m["name"] in given else make_estimator(m["name"], **m["settings"])
            for m in about["methods"]
        ]
        model = RiskModel(classifier, made)
        size = about["image_size"]
        for estimator in model.estimators:
            if isinstance(estimator, Trained):
                model.parts[estimator.name] = build_parts(
                    estimator,
                    classifier,
                    image_size=(size[0], size[1]) if size else (224, 224),
                    seed=0,
                )
            prefix = f"{estimator.name}/"
            estimator.load_tensors(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
    except (SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, SundogError):
            raise
        raise CheckpointError(
            f"Risk model {str(place)!r}",
            expected="readable",
            got=first_line(error),
            hint="It may be of another version of Sundog; fit again.",
        ) from error
    return model.eval()


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"Folder {str(file.parent)!r}", expected=f"with {file.name}", got=type(error).__name__
        ) from error


def _read(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads(_bytes(folder / RISK_FILE))
    except ValueError as error:
        raise CheckpointError(
            f"File {str(folder / RISK_FILE)!r}", expected="JSON", got=first_line(error)
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CheckpointError(
            f"File {str(folder / RISK_FILE)!r}",
            expected=f"of format {FORMAT}",
            got=str(about.get("format")) if isinstance(about, dict) else type(about).__name__,
            hint="It was written by another version of Sundog.",
        )
    missing = [name for name in _WRITTEN if name not in about]
    if missing:
        raise CheckpointError(
            f"File {str(folder / RISK_FILE)!r}",
            expected=f"with {', '.join(_WRITTEN)}",
            got=f"without {', '.join(missing)}",
            hint="Copy the folder again, or fit again.",
        )
    return about
