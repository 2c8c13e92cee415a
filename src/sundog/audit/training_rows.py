"""The practical's table: hyper-parameters and results of the runs that trained the models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sundog.core.audit.comparison import TrainingRow
from sundog.core.errors import RunFolderError
from sundog.models.training_folder import ARGS_FILE, TEST_FILE, read_history

SHOWN = (
    *("network", "epochs", "seed", "learning_rate", "weight_decay", "batch_size", "optimizer"),
    *("schedule", "augment", "size", "resize", "precision"),
)
"""Hyper-parameters of ``args.json`` that are shown; others are listed if they differ."""
_NOT_SHOWN = frozenset(
    (
        *("run_id", "unique_id", "versions", "finished", "device", "model_fingerprint"),
        *("class_names", "classes_without_images", "start_fingerprint", "evaluate_every"),
        *("train_cue", "eval_cue", "train_cue_details", "eval_cue_details"),
        *("train_cue_strength", "eval_cue_strength"),
    )
)


def training_rows(models: Mapping[str, str | Path]) -> tuple[TrainingRow, ...]:
    """Read what the training runs recorded; a model that is no training run has an empty row.

    The seed's practical shows a biased and an unbiased run this way: arguments first, then accuracy
    and loss with the artifact and without. They are what the runs said of themselves, on their own
    validation images, and prove nothing about the cue that a search finds.

    Args:
        models: run id -> folder of a training run, or any other model.

    Raises:
        RunFolderError: an ``args.json`` or ``test.json`` that cannot be read.
    """
    rows = [training_row(run, Path(model)) for run, model in models.items()]
    names = {name for row in rows for name in row.arguments}
    kept = [
        name
        for name in sorted(names, key=_order)
        if name in SHOWN or len({row.arguments.get(name) for row in rows if row.arguments}) > 1
    ]
    return tuple(
        row.model_copy(
            update={"arguments": {n: row.arguments[n] for n in kept if n in row.arguments}}
        )
        for row in rows
    )


def training_row(run: str, folder: Path) -> TrainingRow:
    """Read one training run; everything is None if ``folder`` is none."""
    args = _read_args(folder / ARGS_FILE)
    if args is None:
        return TrainingRow(run=run)
    last = _last_lines(folder / TEST_FILE)
    off, on = last.get(False, {}), last.get(True, {})
    count = off.get("n", on.get("n"))
    cue = args.get("train_cue") or args.get("eval_cue")
    return TrainingRow(
        run=run,
        arguments={
            name: _text(value)
            for name, value in args.items()
            if name not in _NOT_SHOWN and value is not None
        },
        cue=None if cue is None else str(cue),
        trained_with_cue=bool(args.get("train_cue")) if "train_cue" in args else None,
        accuracy_off=off.get("accuracy"),
        accuracy_on=on.get("accuracy"),
        loss_off=off.get("loss"),
        loss_on=on.get("loss"),
        n=None if count is None else int(count),
    )


def _read_args(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"File {str(file)!r}", expected="JSON", got=str(error)) from error
    if not isinstance(found, dict):
        raise RunFolderError(
            f"File {str(file)!r}", expected="a JSON object", got=type(found).__name__
        )
    return found


def _last_lines(file: Path) -> dict[bool, dict[str, Any]]:
    """Return the last evaluation without the cue and the last with it."""
    if not file.is_file():
        return {}
    try:
        return {bool(line["cue_on"]): line for line in read_history(file.parent)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"File {str(file)!r}", expected="a JSON object a line", got=str(error)
        ) from error


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    if isinstance(value, list):
        return " x ".join(str(part) for part in value)
    return str(value)


def _order(name: str) -> tuple[int, str]:
    return (SHOWN.index(name) if name in SHOWN else len(SHOWN), name)
