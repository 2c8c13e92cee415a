"""The folder of a training run: args.json, test.json, checkpoint, weights, predictions."""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sundog.core.errors import RunFolderError
from sundog.core.files import write_json, write_text
from sundog.models.checkpoint import WEIGHTS_FILE
from sundog.models.store import CLASSIFIER_FILE
from sundog.models.training_state import STATE_FILE

ARGS_FILE = "args.json"
TEST_FILE = "test.json"
PREDICTIONS_FILE = "predictions.parquet"
OWN_FILES = (ARGS_FILE, TEST_FILE, PREDICTIONS_FILE, STATE_FILE, WEIGHTS_FILE, CLASSIFIER_FILE)
NOT_IDENTITY = ("run_id", "unique_id", "versions", "finished", "device", "model_fingerprint")
"""Entries of args.json that may differ between the start and the resumption of one run."""


def open_folder(folder: Path, args: dict[str, Any], *, resume: bool) -> dict[str, Any]:
    """Make or reopen a run's folder and return its ``args.json``.

    Args:
        folder: new, empty, or of the same run.
        args: what identifies the run.
        resume: False forgets what an earlier run left there.

    Raises:
        RunFolderError: the folder holds something else, or a run with other arguments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ARGS_FILE
    if not resume:
        for name in OWN_FILES:
            (folder / name).unlink(missing_ok=True)
    if file.is_file():
        return _same_run(file, args)
    others = [p.name for p in folder.iterdir() if p.name not in OWN_FILES]
    if others:
        raise RunFolderError(
            f"Folder {str(folder)!r}",
            expected="empty or a training run",
            got=f"{len(others)} other entries (first: {sorted(others)[0]!r})",
            hint="Choose another out_dir.",
        )
    full = {
        # The folder's own name, never its parent's: two runs in one folder must stay two runs.
        "run_id": folder.resolve().name,
        "unique_id": uuid.uuid4().hex,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("sundog", "torch", "lightning-fabric")},
        },
        "finished": False,
        **args,
    }
    write_json(file, full)
    return full


def _same_run(file: Path, args: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunFolderError(f"File {str(file)!r}", expected="JSON", got=str(error)) from error
    wanted = json.loads(json.dumps(args))
    different = [
        key
        for key in sorted({*wanted, *found} - {*NOT_IDENTITY})
        if wanted.get(key) != found.get(key)
    ]
    if different:
        first = different[0]
        raise RunFolderError(
            f"Folder {str(file.parent)!r}",
            expected="new, or the same training run",
            got=f"a run that differs in {', '.join(different[:5])} "
            f"({first}: {str(found.get(first))[:60]} there, {str(wanted.get(first))[:60]} now)",
            hint="Choose another out_dir, or pass resume=False to start anew.",
        )
    return dict(found)


def write_history(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    """Write ``test.json``: one JSON object a line, one line an evaluation."""
    lines = [json.dumps(line, allow_nan=False) for line in history]
    write_text(folder / TEST_FILE, "".join(line + "\n" for line in lines))


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read ``test.json``."""
    text = (folder / TEST_FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
