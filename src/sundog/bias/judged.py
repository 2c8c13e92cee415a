"""Predictions with and without a cue, checked and lined up over the same images.

A table of one run has a row per image and condition. The conditions follow from two columns:

- ``off``: ``cue_on`` is False, the image without the cue
- ``aligned``: the cue is on and stands for the image's own class
- ``conflicting``: the cue is on and stands for another class
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sundog.core.errors import InputError

Condition = Literal["off", "aligned", "conflicting"]
CONDITIONS: tuple[Condition, ...] = ("off", "aligned", "conflicting")
COLUMNS = ("id", "label", "cue_class", "cue_on", "prediction", "probability")
Tables = Mapping[str, pd.DataFrame] | Iterable[tuple[str, pd.DataFrame]]


@dataclass(frozen=True)
class Judged:
    """All runs over the same images.

    Attributes:
        runs: run id → condition → frame indexed by image id (sorted, the same for every run) with
            the columns label, cue_class, prediction, probability, correct (bool), follows (bool:
            predicts the class of the cue) and, if given, loss.
        notes: what was left out, in plain words.
    """

    runs: dict[str, dict[Condition, pd.DataFrame]]
    notes: tuple[str, ...]


def judge(tables: Tables) -> Judged:
    """Check the tables of all runs and line them up.

    Args:
        tables: run id → frame (or pairs of both) with the columns ``id``, ``label``, ``cue_class``,
            ``cue_on`` (bool), ``prediction``, ``probability`` (of the predicted class) and
            optionally ``loss`` (cross-entropy of the label) and ``run_id``. ``cue_class`` is
            not read where the cue is off.

    Returns:
        The runs over the images that all of them have.

    Raises:
        InputError: fewer than two runs, a run id twice, missing columns or values, the same image
            twice with different content, runs that disagree on labels or cues, no image without
            the cue, or no image in common.
    """
    pairs = list(tables.items()) if isinstance(tables, Mapping) else list(tables)
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            "run ids",
            expected="different",
            got=f"{twice} more than once",
            hint="Two models under one id would be averaged. Name each run after its checkpoint.",
        )
    if len(pairs) < 2:
        raise InputError("tables", expected="of at least two runs", got=str(len(pairs)))
    notes: list[str] = []
    split = {name: _split(name, frame, notes) for name, frame in pairs}
    return Judged(runs=_line_up(split, notes), notes=tuple(notes))


def _split(run: str, table: pd.DataFrame, notes: list[str]) -> dict[Condition, pd.DataFrame]:
    """Return one checked frame per condition of one run."""
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"table of {run!r}", expected=f"columns {COLUMNS}", got=f"no {missing}")
    if "run_id" in table and set(table["run_id"]) - {run}:
        raise InputError(
            f"table of {run!r}",
            expected="rows of that run alone",
            got=f"rows of {sorted(set(map(str, table['run_id'])))}",
            hint="Split the table by run_id first.",
        )
    frame = table.reset_index(drop=True)
    if not pd.api.types.is_bool_dtype(frame["cue_on"]) or frame["cue_on"].isna().any():
        raise InputError(
            f"cue_on of {run!r}",
            expected="True or False in every row",
            got=f"dtype {frame['cue_on'].dtype}, {int(frame['cue_on'].isna().sum())} missing",
        )
    on = frame["cue_on"].to_numpy(bool)
    always = frame[["id", "label", "prediction", "probability"]].isna().any(axis=1).to_numpy()
    needed = always | (on & frame["cue_class"].isna().to_numpy())
    if needed.any():
        raise InputError(
            f"table of {run!r}", expected="without missing values", got=f"{needed.sum()} such rows"
        )
    unlabelled = (frame["label"] == -1).to_numpy()
    if unlabelled.any():
        notes.append(f"{run}: {int(unlabelled.sum())} rows without a label were left out.")
        frame, on = frame[~unlabelled].reset_index(drop=True), on[~unlabelled]
    probability = frame["probability"].to_numpy(float)
    if not ((probability >= 0) & (probability <= 1 + 1e-6)).all():
        raise InputError(
            f"probability of {run!r}",
            expected="in [0, 1]",
            got="values outside",
            hint="Pass probabilities, not logits.",
        )
    label, prediction = _classes(run, "label", frame), _classes(run, "prediction", frame)
    cue = _classes(run, "cue_class", frame.assign(cue_class=frame["cue_class"].where(on, -1)))
    clean = pd.DataFrame(
        {
            "id": frame["id"].astype(str),
            "label": label,
            "cue_class": cue,
            "prediction": prediction,
            "probability": probability,
            "correct": prediction == label,
            "follows": on & (prediction == cue),
        }
    )
    if "loss" in frame:
        clean["loss"] = frame["loss"].to_numpy(float)
        if not np.isfinite(clean["loss"]).all():
            raise InputError(f"loss of {run!r}", expected="finite", got="NaN or infinite values")
    which = np.where(~on, "off", np.where(cue == label, "aligned", "conflicting"))
    parts = {name: _unique(run, name, clean[which == name], notes) for name in CONDITIONS}
    if not len(parts["off"]):
        raise InputError(
            f"table of {run!r}",
            expected="rows without the cue (cue_on False)",
            got="none",
            hint="Reliance is the difference that the cue makes; predict the clean images too.",
        )
    return parts


def _classes(run: str, column: str, frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return a column of class indices; a fraction would be cut off to another class."""
    try:
        values = frame[column].to_numpy(float)
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if not (np.isfinite(values) & (values == np.floor(values))).all():
        raise InputError(
            f"{column} of {run!r}",
            expected="class indices, integers",
            got=f"dtype {frame[column].dtype} with other values",
        )
    return values.astype(np.int64)


def _unique(run: str, condition: str, frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Index by image; copies of one image count once, two different rows of one id are an error."""
    repeated = frame.duplicated("id", keep="first")
    if repeated.any():
        same = ~frame.duplicated(["id", "label", "cue_class", "prediction"], keep="first")
        if (same & repeated).any():
            raise InputError(
                f"ids of {run!r} ({condition})",
                expected="one row per image",
                got=f"{int((same & repeated).sum())} ids with rows that differ",
            )
        notes.append(
            f"{run}: {int(repeated.sum())} copies of an image ({condition}) were counted once."
        )
    return frame[~repeated].set_index("id").sort_index()


def _line_up(
    split: Mapping[str, Mapping[Condition, pd.DataFrame]], notes: list[str]
) -> dict[str, dict[Condition, pd.DataFrame]]:
    """Keep the images that every run has, per condition, and check that they are the same."""
    runs: dict[str, dict[Condition, pd.DataFrame]] = {name: {} for name in split}
    first = next(iter(split))
    for condition in CONDITIONS:
        sets = [set(parts[condition].index) for parts in split.values()]
        common = sorted(set.intersection(*sets))
        lost = len(set.union(*sets)) - len(common)
        if lost:
            notes.append(f"{lost} images ({condition}) that not every run has were left out.")
        for name, parts in split.items():
            frame = parts[condition].loc[common]
            reference = split[first][condition].loc[common]
            for column, hint in (
                ("label", "Are the classes in the same order?"),
                ("cue_class", "Plant the cue with the same seed for every run."),
            ):
                differ = int((frame[column] != reference[column]).sum())
                if differ:
                    raise InputError(
                        f"{column} of {name!r} and {first!r}",
                        expected="the same for each image",
                        got=f"{differ} of {len(common)} images differ",
                        hint=hint,
                    )
            runs[name][condition] = frame
    off = set(runs[first]["off"].index)
    if not (off & set(runs[first]["aligned"].index) or off & set(runs[first]["conflicting"].index)):
        raise InputError(
            "tables",
            expected="to share images seen both with and without the cue",
            got="none",
            hint="Use the id of the clean image for its planted copies too.",
        )
    return runs
