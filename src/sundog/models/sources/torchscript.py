"""TorchScript files (``.ts``, ``.torchscript``, or a ``.pt`` archive that holds code)."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from sundog.core.errors import CheckpointError, first_line
from sundog.models.sources.source import Source


def is_torchscript(path: Path) -> bool:
    """Return whether the file is a zip archive with TorchScript code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any("/code/" in n for n in names) and any(n.endswith("/constants.pkl") for n in names)


def build(path: Path) -> Source:
    """Load a TorchScript network in eval mode; its layers cannot be listened to.

    Raises:
        CheckpointError: not a TorchScript file.
    """
    if not is_torchscript(path):
        raise CheckpointError(
            str(path), expected="a TorchScript archive", got="something else or a broken file"
        )
    load: Any = torch.jit.load
    with warnings.catch_warnings():
        # torch advises writers of such files to change; a reader has no other way to open them.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.load", category=FutureWarning)
        warnings.filterwarnings(
            "ignore", message=r".*torch\.jit\.load", category=DeprecationWarning
        )
        try:
            network = load(str(path), map_location="cpu")
        except RuntimeError as error:
            raise CheckpointError(
                str(path), expected="a TorchScript archive", got=first_line(error)
            ) from error
    return Source(
        network=network.eval(),
        weights=path.name,
        mean=None,
        std=None,
        recipe={"file": path.name, "path": str(path.resolve())},
    )
