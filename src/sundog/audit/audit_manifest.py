"""What made the numbers of an audit: hashes of code, weights, data and parameters; the machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

import sundog
from sundog.core.records import Manifest


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Return 32 hex digits of the sources of the installed package: paths and contents."""
    digest = hashlib.blake2b(digest_size=16)
    home = Path(sundog.__file__).parent
    for path in sorted(home.rglob("*.py")):
        raw = path.read_bytes()
        digest.update(f"{path.relative_to(home).as_posix()} {len(raw)}\n".encode())
        digest.update(raw)
    return digest.hexdigest()


def environment(device: torch.device, **more: Any) -> dict[str, Any]:
    """Return where and with what code an audit runs, as JSON values.

    Args:
        device: of the classifier.
        **more: JSON values that are kept beside.
    """
    return {
        "code": code_hash(),
        "device": str(device),
        "machine": platform.machine(),
        "system": platform.system(),
        "processors": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        **more,
    }


def manifest_facts(manifest: Manifest, *, command: str) -> dict[str, Any]:
    """Return what the summary of an audit says of its making, as JSON values.

    Args:
        manifest: of the run folder.
        command: as it was typed, or empty.
    """
    told = manifest.environment
    return {
        "command": command,
        "created": manifest.created,
        "versions": manifest.versions,
        "weights": manifest.model_fingerprint,
        "data": manifest.data_fingerprint,
        "code": told.get("code"),
        "parameters": parameter_hash(manifest.arguments),
        "arguments": manifest.arguments,
        "seeds": manifest.seeds,
        "device": told.get("device"),
        "machine": told.get("machine"),
        "system": told.get("system"),
        "processors": told.get("processors"),
        "threads": told.get("threads"),
    }


def parameter_hash(arguments: Mapping[str, Any]) -> str:
    """Return 32 hex digits of the arguments of a run."""
    text = json.dumps(arguments, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()
