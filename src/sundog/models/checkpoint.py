"""Reading weights without running code, and loading them into a network or saying why not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sundog.core.errors import CheckpointError, first_line

CONTAINERS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
"""Where training programs put the weights inside a checkpoint."""
PREFIXES = ("module.", "model.", "network.", "net.", "_orig_mod.", "_forward_module.")
"""Put before every name by wrappers: data parallel, Lightning, torch.compile, Fabric."""
WEIGHTS_FILE = "weights.safetensors"


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the named tensors of a ``.safetensors`` or a ``.pt``/``.pth``/``.ckpt`` file.

    Pickle files are read with ``weights_only=True``: code in them is refused, not run. A folder
    stands for the ``weights.safetensors`` in it.

    Raises:
        CheckpointError: no such file, a broken file, code in it, or no tensors in it.
    """
    file = Path(path)
    if file.is_dir():
        file = file / WEIGHTS_FILE
    if not file.is_file():
        raise CheckpointError(f"Checkpoint {str(file)!r}", expected="a file", got="none there")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # a broken file makes torch raise almost any kind
        raise CheckpointError(
            f"Checkpoint {str(file)!r}",
            expected="plain tensors (safetensors, or torch.save of a state_dict)",
            got=first_line(error),
            hint="Save network.state_dict(), not the network; files with code in are not opened.",
        ) from error
    return _tensors(content, file)


def _tensors(content: Any, file: Path) -> dict[str, Tensor]:
    for name in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if isinstance(content, Mapping):
        found = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if found:
            return found
    raise CheckpointError(
        f"Checkpoint {str(file)!r}", expected="a table of tensors", got=type(content).__name__
    )


def strip_prefixes(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return the state under the prefix (or none, or several) that fits most of the names."""
    wanted = set(network.state_dict())
    best = dict(state)
    current = dict(state)
    for _ in PREFIXES:
        prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in current)), None)
        if prefix is None:
            break
        current = {name.removeprefix(prefix): value for name, value in current.items()}
        if len(wanted & current.keys()) > len(wanted & best.keys()):
            best = current
    return best


def load_weights(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    exact: bool = False,
) -> None:
    """Copy weights into the network, every one or none.

    Args:
        network: changed in place.
        state: named tensors; known prefixes are stripped.
        source: shown in the error.
        exact: take the tensors' own types (for files that Sundog wrote) instead of converting.

    Raises:
        CheckpointError: counts of missing, unexpected and misshapen names, three examples each.
    """
    own = network.state_dict()
    given = strip_prefixes(state, network)
    # Older torch wrote no such counters; in eval mode, and with fixed momentum, nothing reads them.
    missing = [n for n in own if n not in given and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in given if n not in own]
    shapes = [
        f"{n} {tuple(given[n].shape)} instead of {tuple(own[n].shape)}"
        for n in own
        if n in given and given[n].shape != own[n].shape
    ]
    if missing or unexpected or shapes:
        raise CheckpointError(
            f"Checkpoint {source!r}",
            expected="made for this network",
            got=f"{len(missing)} missing, {len(unexpected)} unexpected and {len(shapes)} misshapen "
            "tensors",
            hint=_examples(missing, unexpected, shapes),
        )
    network.load_state_dict(dict(given), strict=False, assign=exact)


def _examples(missing: list[str], unexpected: list[str], shapes: list[str]) -> str:
    parts = [
        f"{what}: {', '.join(names[:3])}."
        for what, names in (
            ("Missing", missing),
            ("Unexpected", unexpected),
            ("Misshapen", shapes),
        )
        if names
    ]
    if shapes and not missing and not unexpected:
        parts.append("If only the last layer differs, pass classes=<number in the checkpoint>.")
    return " ".join(parts)
