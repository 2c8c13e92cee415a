"""``sundog train``: from names to a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sundog.audit.requests import parse_cue
from sundog.core.errors import DataError, InputError
from sundog.core.seeds import derive_seed
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set
from sundog.models.train import TrainedRun, train_classifier

HELD_OUT = 5
"""One image in five is held out where the source has no validation split."""


@dataclass(frozen=True, eq=False)
class NamedRun:
    """A training run, how its images were split, and the split it was evaluated on, if any."""

    run: TrainedRun
    split: str
    held_split: str | None = None

    def last_lines(self) -> list[str]:
        """Return the split and the last evaluation, a line per cue state."""
        history = self.run.history
        last = history[history["epoch"] == history["epoch"].max()]
        lines = [self.split]
        for row in last.to_dict("records"):
            state = "on " if row["cue_on"] else "off"
            lines.append(
                f"cue {state}: accuracy {row['accuracy']:.1%} "
                f"[{row['accuracy_low']:.1%}, {row['accuracy_high']:.1%}], "
                f"loss {row['loss']:.3f}, n = {row['n']}"
            )
        return lines


def open_train_validation(
    source: str,
    validation: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    download: bool = False,
    path_column: str | None = None,
    label_column: str | None = None,
) -> tuple[ImageSet, ImageSet, str]:
    """Open training and validation images, and say how they were split.

    The source's own splits if it has them; otherwise one image in five is held out, drawn from the
    seed and the image's content, so that copies of an image stay on one side.

    Raises:
        DataError: nothing usable there.
    """
    options: dict[str, Any] = {
        "limit": limit,
        "seed": seed,
        "download": download,
        "path_column": path_column,
        "label_column": label_column,
    }
    if validation is not None:
        train = _one_split(source, "train", options)
        held = _one_split(validation, "validation", options)
        return train, held, f"trained on {len(train)} images, evaluated on {len(held)} others"
    try:
        train = load_image_set(source, split="train", **options)
        held = load_image_set(source, split="validation", **options)
    except (DataError, InputError) as missing:
        whole = _whole(source, options, missing)
        out = np.array([derive_seed(seed, "held out", i) % HELD_OUT == 0 for i in whole.ids])
        train, held = whole.subset(np.flatnonzero(~out)), whole.subset(np.flatnonzero(out))
        return (
            train,
            held,
            (f"no validation split: trained on {len(train)} images, {len(held)} held out"),
        )
    return train, held, f"trained on {len(train)} images, evaluated on {len(held)} (validation)"


def _one_split(source: str, split: str, options: Mapping[str, Any]) -> ImageSet:
    """Open the named split of a source, or all of a source without splits."""
    try:
        return load_image_set(source, split=split, **options)
    except (DataError, InputError) as missing:
        return _whole(source, options, missing)


def _whole(source: str, options: Mapping[str, Any], missing: InputError) -> ImageSet:
    """Open a source without splits; if it has some, what was wrong with them is the error."""
    try:
        return load_image_set(source, **options)
    except (DataError, InputError) as error:
        raise missing from error


def open_whole_or_split(source: str, split: str, **options: Any) -> ImageSet:
    """Open the named split of a source, or all of a source without splits.

    Raises:
        DataError: nothing usable there.
    """
    return _one_split(source, split, options)


def train_from_names(
    source: str,
    out_dir: str | Path,
    *,
    network: str,
    validation: str | None = None,
    train_cue: str | None = None,
    eval_cue: str | None = None,
    strength: float = 1.0,
    limit: int | None = None,
    seed: int = 5807,
    download: bool = False,
    path_column: str | None = None,
    label_column: str | None = None,
    **options: Any,
) -> NamedRun:
    """Open images and cues by name and train; ``options`` are those of :func:`train_classifier`.

    The training cue agrees with the label with probability ``strength``; the evaluation cue always
    does, so that "cue on" means the same for every run.

    Raises:
        SundogError: bad input, in plain words.
    """
    train, held, split = open_train_validation(
        source,
        validation,
        limit=limit,
        seed=seed,
        download=download,
        path_column=path_column,
        label_column=label_column,
    )
    count = len(train.class_names)
    biased = (
        parse_cue(train_cue, class_count=count, strength=strength, seed=0) if train_cue else None
    )
    shown = eval_cue or train_cue
    run = train_classifier(
        network,
        train,
        validation_set=held,
        train_cue=biased,
        eval_cue=parse_cue(shown, class_count=count, strength=1.0, seed=0) if shown else None,
        seed=seed,
        out_dir=out_dir,
        workers=2,
        **options,
    )
    held_split = "validation" if split.endswith("(validation)") else None
    return NamedRun(run=run, split=split, held_split=held_split)
