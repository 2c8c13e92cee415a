"""The files of frozen slices, and the predictions that they are about."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sundog.audit.audit_folder import PREDICTIONS
from sundog.core.errors import RunFolderError, first_line

SLICES_FILE = "frozen_slices.parquet"
PAIRS_FILE = "frozen_pairs.parquet"
OUTCOMES = ("flips", "control", "intact", "swapped")
"""What came of a pair, see :class:`sundog.bias.shortcut_effect.Effect`."""
SLICE_COLUMNS = ("finding", "image", "present", "label", "correct", "confidence")
PAIR_COLUMNS = ("cue", "image", "other", "same", "label", "goal", *OUTCOMES)


def read_frame(file: Path, columns: tuple[str, ...]) -> pd.DataFrame | None:
    """Return a table, or None if it is not there.

    Raises:
        RunFolderError: one that cannot be read, or lacks a column.
    """
    if not file.is_file():
        return None
    try:
        return pd.read_parquet(file, columns=list(columns))
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{str(file)!r}", expected=f"a table with {', '.join(columns)}", got=first_line(error)
        ) from error


def read_outcomes(folder: Path) -> pd.DataFrame | None:
    """Return id, label, prediction, correct and confidence of the labelled images, each once.

    Args:
        folder: of an audit or an inspection.

    Raises:
        RunFolderError: a table that cannot be read.
    """
    for name in PREDICTIONS:
        frame = read_frame(folder / name, ("id", "label", "prediction", "confidence"))
        if frame is not None:
            known = frame[frame["label"] >= 0].drop_duplicates("id").reset_index(drop=True)
            return known.assign(correct=known["label"] == known["prediction"])
    return None
