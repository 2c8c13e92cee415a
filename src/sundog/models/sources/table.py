"""From a name, a recipe or a file to the source that builds the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sundog.core.errors import CheckpointError, UnknownNameError
from sundog.models.sources import (
    efficientnet_lite,
    exported,
    from_huggingface,
    from_timm,
    from_torchvision,
    onnx_file,
    reference,
    torchscript,
)
from sundog.models.sources.source import Build, Request, Source

NAMES: dict[str, Build] = {
    "efficientnet-lite0": efficientnet_lite.build,
    **dict.fromkeys(reference.REFERENCE, reference.build),
}
"""Networks that are known by a name alone."""
PREFIXES: dict[str, Build] = {
    "timm": from_timm.build,
    "torchvision": from_torchvision.build,
    "hf": from_huggingface.build,
}
"""Networks of other packages, ``prefix:name``."""
SUFFIXES = (".ts", ".torchscript", ".pt2", ".onnx", ".pt", ".pth", ".ckpt", ".safetensors")


def build_source(recipe: Mapping[str, Any], *, folder: Path | None = None) -> Source:
    """Build the architecture that a recipe describes, with random weights or from its file.

    Args:
        recipe: ``{"name": ..., "outputs": ..., "arguments": {...}}`` or ``{"file": ...}``.
        folder: where the recipe's file lies.
    """
    if "file" in recipe:
        return build_from_file((folder or Path()) / str(recipe["file"]))
    request = Request(
        name="",
        outputs=recipe.get("outputs"),
        pretrained=False,
        arguments=dict(recipe.get("arguments", {})),
    )
    return build_named(str(recipe["name"]), request)


def build_named(text: str, request: Request) -> Source:
    """Build ``text``: a name of :data:`NAMES`, or ``prefix:name``.

    Raises:
        UnknownNameError: no such name; suggests the nearest.
        CheckpointError: a path that is no model.
    """
    prefix, colon, rest = text.partition(":")
    if colon and prefix in PREFIXES:
        return PREFIXES[prefix](replace(request, name=rest))
    if text in NAMES:
        return NAMES[text](replace(request, name=text))
    if os.sep in text or Path(text).exists():
        raise CheckpointError(
            f"Model {text!r}",
            expected="a folder with classifier.json or config.json, or a model file",
            got="a folder without either" if Path(text).is_dir() else "no such path",
            hint=f"Model files end in {', '.join(SUFFIXES[:4])}.",
        )
    raise UnknownNameError(
        "model",
        text,
        [*NAMES, *(f"{p}:NAME" for p in PREFIXES)],
        hint=f"Other networks: 'timm:{text}', 'torchvision:{text}', 'hf:FOLDER', or a file.",
    )


def build_from_file(path: Path) -> Source:
    """Build the network in a TorchScript, exported or ONNX file.

    Raises:
        CheckpointError: no such file, or one with weights alone.
    """
    if not path.is_file():
        raise CheckpointError(f"Model file {str(path)!r}", expected="there", got="no such file")
    if path.suffix == ".onnx":
        return onnx_file.build(path)
    if path.suffix == ".pt2":
        return exported.build(path)
    if path.suffix in (".ts", ".torchscript") or torchscript.is_torchscript(path):
        return torchscript.build(path)
    raise CheckpointError(
        f"Model file {str(path)!r}",
        expected="a whole network (TorchScript, .pt2 or .onnx)",
        got="weights alone, which do not say the network",
        hint="Name the network too: get_model('resnet18', ckpt_path=...).",
    )
