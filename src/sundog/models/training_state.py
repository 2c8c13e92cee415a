"""What a training run must remember between epochs: one safetensors file, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sundog.core.errors import RunFolderError, first_line
from sundog.core.files import write_bytes
from sundog.models.store import plain_state
from sundog.models.training_recipe import TrainingRecipe

STATE_FILE = "checkpoint.safetensors"


def save_state(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    notes: dict[str, Any],
    recipe: TrainingRecipe | None = None,
) -> None:
    """Write weights, optimizer tensors and notes (JSON) atomically to one file.

    Random numbers need no state: order, augmentation and dropout of an epoch are drawn from
    (seed, epoch).
    """
    tensors: dict[str, Tensor] = {f"network/{n}": t for n, t in plain_state(network).items()}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value.detach().cpu().contiguous().clone()
    for name, value in (recipe.state() if recipe is not None else {}).items():
        tensors[f"recipe/0/{name}"] = value.detach().cpu().contiguous().clone()
    write_bytes(path, save(tensors, metadata={"notes": json.dumps(notes, allow_nan=False)}))


def load_state(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    recipe: TrainingRecipe | None = None,
) -> dict[str, Any]:
    """Restore weights, optimizer and recipe in place and return the notes.

    Raises:
        RunFolderError: a broken file, or one of another network.
    """
    weights: dict[str, Tensor] = {}
    kept: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {})["notes"])
            for name in file.keys():  # noqa: SIM118 - no mapping
                kind, _, rest = name.partition("/")
                if kind == "network":
                    weights[rest] = file.get_tensor(name)
                else:
                    index, _, entry = rest.partition("/")
                    if kind == "recipe":
                        kept[entry] = file.get_tensor(name)
                        continue
                    state.setdefault(int(index), {})[entry] = file.get_tensor(name)
        network.load_state_dict(weights)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise RunFolderError(
            f"Checkpoint {str(path)!r}",
            expected="written by this training run",
            got=first_line(error),
            hint="Train again with resume=False.",
        ) from error
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    if recipe is not None:
        recipe.load_state(kept)
    return notes
