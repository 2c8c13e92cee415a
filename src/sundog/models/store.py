"""A classifier on disk: ``classifier.json`` and ``weights.safetensors``, no pickle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from sundog.core.errors import CheckpointError
from sundog.core.files import atomic_path, write_bytes, write_json
from sundog.models.checkpoint import WEIGHTS_FILE, load_weights, read_state_dict
from sundog.models.classifier import Classifier
from sundog.models.device import resolve_device
from sundog.models.sources.table import build_source

CLASSIFIER_FILE = "classifier.json"
FORMAT = 1
_WRITTEN = (
    *("sha256", "recipe", "name", "weights", "class_names", "class_indices", "mean", "std"),
    *("input_size", "output", "channels", "feature_layer", "cam_layer", "differentiable"),
)


def save_classifier(classifier: Classifier, folder: str | os.PathLike[str]) -> Path:
    """Write a classifier to a folder, from which ``get_model(folder)`` restores it exactly.

    Weights, normalisation, class names, subset, size and layers come back bit for bit. A network
    that was loaded from a TorchScript, exported or ONNX file is stored as that file. A network of
    your own is stored as weights: load them with ``load_classifier(folder, network=...)``.

    Args:
        classifier: left as it is.
        folder: made if it is not there; each file replaces the old one atomically, the
            description last.

    Returns:
        The folder.
    """
    target = Path(folder)
    recipe = classifier.recipe
    stored = dict(recipe) if recipe is not None else None
    if stored is not None and "file" in stored:
        origin = Path(stored.pop("path"))
        stored["file"] = f"network{origin.suffix}"
        if origin.resolve() != (target / stored["file"]).resolve():
            with atomic_path(target / stored["file"]) as temporary:
                shutil.copyfile(origin, temporary)
        digest = hashlib.sha256((target / stored["file"]).read_bytes()).hexdigest()
    else:
        data = save(plain_state(classifier.network))
        digest = hashlib.sha256(data).hexdigest()
        write_bytes(target / WEIGHTS_FILE, data)
    write_json(
        target / CLASSIFIER_FILE,
        {
            "format": FORMAT,
            "sha256": digest,
            "recipe": stored,
            "name": classifier.name,
            "weights": classifier.weights,
            "class_names": classifier.class_names,
            "class_indices": classifier.class_indices,
            "mean": classifier.mean.flatten().tolist(),
            "std": classifier.std.flatten().tolist(),
            "input_size": classifier.input_size,
            "output": classifier.output,
            "channels": classifier.channels,
            "feature_layer": classifier.feature_layer,
            "cam_layer": classifier.cam_layer,
            "differentiable": classifier.differentiable,
        },
    )
    return target


def load_classifier(
    folder: str | os.PathLike[str],
    *,
    network: nn.Module | None = None,
    device: str | torch.device = "cpu",
) -> Classifier:
    """Return the classifier that :func:`save_classifier` or training wrote.

    Args:
        folder: holds ``classifier.json`` and its weights.
        network: needed for a network of your own; gets the weights.
        device: see :func:`sundog.models.zoo.get_model`.

    Raises:
        CheckpointError: files missing, changed since they were written, or of another network.
    """
    place = Path(folder)
    about = _read_description(place)
    recipe = about["recipe"]
    file = place / (recipe["file"] if recipe and "file" in recipe else WEIGHTS_FILE)
    if not file.is_file():
        raise CheckpointError(f"Folder {str(place)!r}", expected=f"with {file.name}", got="without")
    if hashlib.sha256(file.read_bytes()).hexdigest() != about["sha256"]:
        raise CheckpointError(
            f"File {str(file)!r}",
            expected="as it was written with classifier.json",
            got="another content",
            hint="Copy the folder again, or train again.",
        )
    if network is None and recipe is None:
        raise CheckpointError(
            f"Folder {str(place)!r}",
            expected="loaded with its network, which Sundog cannot build",
            got="no network",
            hint="Use load_classifier(folder, network=...).",
        )
    if network is None:
        source = build_source(recipe, folder=place)
        network, recipe = source.network, source.recipe
    if file.name == WEIGHTS_FILE:
        load_weights(network, read_state_dict(file), source=str(file), exact=True)
    size = about["input_size"]
    return Classifier(
        network,
        class_names=about["class_names"],
        class_indices=about["class_indices"],
        mean=about["mean"],
        std=about["std"],
        input_size=(size[0], size[1]) if size is not None else None,
        output=about["output"],
        channels=about["channels"],
        feature_layer=about["feature_layer"],
        cam_layer=about["cam_layer"],
        name=about["name"],
        differentiable=about["differentiable"],
        weights=about["weights"],
        recipe=recipe,
    ).to(resolve_device(device))


def _read_description(folder: Path) -> dict[str, Any]:
    file = folder / CLASSIFIER_FILE
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"Folder {str(folder)!r}", expected=f"with {CLASSIFIER_FILE}", got="without"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"File {str(file)!r}", expected="JSON", got=str(error)) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CheckpointError(
            f"File {str(file)!r}",
            expected=f"of format {FORMAT}",
            got=str(about.get("format")) if isinstance(about, dict) else type(about).__name__,
            hint="It was written by another version of Sundog.",
        )
    missing = [name for name in _WRITTEN if name not in about]
    if missing:
        raise CheckpointError(
            f"File {str(file)!r}",
            expected="as save_classifier writes it",
            got=f"without {', '.join(missing)}",
            hint="Copy the folder again, or train again.",
        )
    return about


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the network's state on the CPU, each tensor with memory of its own."""
    return {
        name: value.detach().to("cpu").contiguous().clone()
        for name, value in network.state_dict().items()
    }
