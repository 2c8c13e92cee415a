"""Reading what an audit wrote: its summary, its predictions, and paired changes between two."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import AUDIT_FILE, AuditSummary, Change
from sundog.core.errors import RunFolderError, first_line
from sundog.core.statistics import Estimate, paired_proportions, wilson_interval

PREDICTIONS = (
    "tables/predictions.parquet",
    "performance/tables/predictions.parquet",
    "inspect/tables/predictions.parquet",
)
"""Where an audit keeps a row per image: id, label, prediction; the first that is there counts."""
SLICES = ("tables/slices.parquet", "inspect/tables/slices.parquet")
"""Where an audit or an inspection keeps which images each finding compares."""
FEWEST = 30
"""Common images from which on a paired change is worth a number."""


def open_audit(path: str | os.PathLike[str]) -> tuple[Path, AuditSummary]:
    """Return the folder of an audit and its summary; no model, no images.

    Args:
        path: the run folder, or the ``audit.json`` in it.

    Raises:
        RunFolderError: nothing there, no audit, or a file that cannot be read.
    """
    given = Path(path)
    folder = given.parent if given.is_file() else given
    file = given if given.is_file() else given / AUDIT_FILE
    if not file.is_file():
        raise RunFolderError(
            f"{str(given)!r}",
            expected="the folder of an audit",
            got=f"no {AUDIT_FILE}" if folder.is_dir() else "nothing there",
            hint="'sundog audit' writes one.",
        )
    return folder, AuditSummary.read(file)


def is_audit(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the folder of an audit."""
    return (Path(path) / AUDIT_FILE).is_file()


def read_predictions(folder: Path) -> pd.DataFrame | None:
    """Return one row per image (id, label, prediction), or None if the audit kept none.

    Raises:
        RunFolderError: a table that cannot be read.
    """
    for name in PREDICTIONS:
        file = folder / name
        if file.is_file():
            try:
                frame = pd.read_parquet(file, columns=["id", "label", "prediction"])
            except (OSError, ValueError) as error:
                raise RunFolderError(
                    f"{str(file)!r}",
                    expected="a table with id, label and prediction",
                    got=first_line(error),
                ) from error
            return frame[frame["label"] >= 0].drop_duplicates("id").reset_index(drop=True)
    return None


def read_slice_sides(folder: Path) -> pd.DataFrame | None:
    """Return a row per finding and image (finding, image, present), or None if none were kept.

    Raises:
        RunFolderError: a table that cannot be read.
    """
    for name in SLICES:
        file = folder / name
        if file.is_file():
            try:
                return pd.read_parquet(file, columns=["finding", "image", "present"])
            except (OSError, ValueError) as error:
                raise RunFolderError(
                    f"{str(file)!r}",
                    expected="a table with finding, image and present",
                    got=first_line(error),
                ) from error
    return None


def read_slices(folder: Path) -> dict[str, frozenset[str]]:
    """Return finding id -> ids of the images that have its concept; empty if none were kept.

    Raises:
        RunFolderError: a table that cannot be read.
    """
    frame = read_slice_sides(folder)
    if frame is None:
        return {}
    inside = frame[frame["present"].astype(bool)]
    return {str(key): frozenset(rows["image"]) for key, rows in inside.groupby("finding")}


def paired_changes(before: Path, after: Path, *, class_names: tuple[str, ...]) -> list[Change]:
    """Return how the accuracy changed on the images that both audits saw with the same label.

    Overall and by class; the differences are paired (Newcombe), each interval at 95 % divided over
    all of them (Bonferroni), so that they hold together. A class with fewer than 30 common images
    is left out.

    Args:
        before: folder of the first audit.
        after: folder of the second.
        class_names: of the labels.

    Returns:
        Empty if one audit kept no predictions, or fewer than 30 images are common.
    """
    first, second = read_predictions(before), read_predictions(after)
    if first is None or second is None:
        return []
    both = first.merge(second, on=["id", "label"], suffixes=("_before", "_after"))
    groups = {"accuracy": np.ones(len(both), dtype=bool)}
    for label in sorted(set(both["label"])):
        name = class_names[label] if label < len(class_names) else str(label)
        groups[f"accuracy of class {name}"] = (both["label"] == label).to_numpy()
    groups = {name: rows for name, rows in groups.items() if int(rows.sum()) >= FEWEST}
    level = 1 - 0.05 / max(len(groups), 1)
    right = {
        when: (both[f"prediction_{when}"] == both["label"]).to_numpy()
        for when in ("before", "after")
    }
    changes = []
    for name, rows in groups.items():
        old, new = right["before"][rows], right["after"][rows]
        changes.append(
            Change(
                what=name,
                kind="overall" if name == "accuracy" else "group",
                before=Measured.of(_share(old, level)),
                after=Measured.of(_share(new, level)),
                difference=Measured.of(paired_proportions(new, old, level=level).difference),
            )
        )
    return changes


def _share(hits: np.ndarray, level: float) -> Estimate:
    return wilson_interval(int(hits.sum()), len(hits), level=level)
