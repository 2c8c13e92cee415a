"""Pairs of images between which a cue is moved: drawn once, measured under any classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool

from sundog.audit.align import plain_name
from sundog.audit.cue_moves import (
    component_move,
    cue_components,
    is_masked,
    mask_files,
    masked_move,
    read_masks_of,
)
from sundog.audit.frozen_files import OUTCOMES
from sundog.audit.subject import Subject
from sundog.bias.shortcut_effect import Effect, measure_effect
from sundog.bias.shortcut_pairs import Pairs, draw_pairs
from sundog.core.audit.cues import CueRecord
from sundog.core.seeds import derive_seed


def draw_cue_pairs(
    cue: CueRecord,
    subject: Subject,
    right: Bool[np.ndarray, "images"],
    *,
    folder: Path | None = None,
    most: int,
    seed: int,
) -> pd.DataFrame:
    """Return pairs of a cue as positions in the image set: image, other, same.

    Targets are images of other classes than the donor's; donors are of the classes that the cue
    speaks for, each with its share of the pairs, and rightly classified where there are such.

    Args:
        cue: claimed.
        subject: images and classifier.
        right: which images are classified rightly.
        folder: of the search, for a cue that masks describe: donors have one.
        most: pairs.
        seed: of the draws.
    """
    classes = class_indices(cue.classes, subject.class_names)
    each = -(-most // max(len(classes), 1))
    everywhere = np.ones(len(subject.labels), dtype=bool)
    give = everywhere
    if is_masked(cue):
        files = mask_files(cue, folder)
        give = np.array([image in files for image in subject.image_set.ids], dtype=bool)
    parts = [
        draw_pairs(
            subject.labels,
            right,
            among=everywhere,
            give=give,
            most=each,
            seed=derive_seed(seed, "frozen", cue.id, index),
            class_index=index,
        )
        for index in classes
    ]
    return pd.DataFrame(
        {
            "image": _joined([part.targets for part in parts]),
            "other": _joined([part.others for part in parts]),
            "same": _joined([part.same for part in parts]),
        }
    )


def measure_pairs(
    cue: CueRecord, subject: Subject, drawn: pd.DataFrame, *, folder: Path | None = None
) -> pd.DataFrame:
    """Return the pairs by image ids, with class names and what comes of each.

    Args:
        cue: whose component is moved.
        subject: images and classifier.
        drawn: positions ``image``, ``other``, ``same``; rows with an image that cannot be decoded
            are left out.
        folder: of the search, for a cue that masks describe.
    """
    pixels = read_pixels(subject, sorted(set(drawn.to_numpy().ravel().tolist())))
    usable = drawn[drawn.isin(pixels.keys()).all(axis=1)].reset_index(drop=True)
    effect = _effect(cue, subject, usable, pixels, folder)
    ids, names = subject.image_set.ids, subject.class_names
    found = pd.DataFrame(
        {
            "cue": cue.id,
            **{part: [ids[i] for i in usable[part]] for part in ("image", "other", "same")},
            "label": [names[subject.labels[i]] for i in usable["image"]],
            "goal": [names[c] for c in effect.donor_class],
        }
    )
    found = found.assign(**{name: getattr(effect, name) for name in OUTCOMES})
    return found.drop_duplicates(["image", "other", "same"], ignore_index=True)


def measure_again(
    cue: CueRecord, subject: Subject, frozen: pd.DataFrame, *, folder: Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what came of the pairs before, and what comes of them now, row by row.

    Pairs are found by the ids of their images; those of which one is missing, cannot be decoded or
    has another label now are left out of both.

    Args:
        cue: of the earlier audit.
        subject: the images of this audit and its classifier.
        frozen: rows of ``frozen_pairs.parquet`` of this cue.
        folder: of the search, for a cue that masks describe.
    """
    place = {image: i for i, image in reversed(list(enumerate(subject.image_set.ids)))}
    labels = {image: plain_name(subject.class_names[subject.labels[i]])
              for image, i in place.items() if subject.labels[i] >= 0}  # fmt: skip
    parts = ("image", "other", "same")
    there = frozen[frozen[list(parts)].isin(place.keys()).all(axis=1)]
    agree = np.ones(len(there), dtype=bool)
    for part, named in (("image", "label"), ("other", "goal"), ("same", "label")):
        wanted = there[named].astype(str).map(plain_name)
        agree &= (there[part].map(labels) == wanted).to_numpy(dtype=bool)
    there = there[agree]
    positions = pd.DataFrame({part: [place[i] for i in there[part]] for part in parts}, dtype=int)
    if positions.empty:
        return there, there
    now = measure_pairs(cue, subject, positions, folder=folder)
    both = there.merge(now, on=list(parts), suffixes=("_then", "_now"))
    return (
        pd.DataFrame({name: both[f"{name}_then"] for name in OUTCOMES}),
        pd.DataFrame({name: both[f"{name}_now"] for name in OUTCOMES}),
    )


def class_indices(names: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """Return the classes among ``class_names`` that are named; unknown ones are left out."""
    table = {plain_name(name): index for index, name in enumerate(class_names)}
    return [table[plain_name(name)] for name in names if plain_name(name) in table]


def read_pixels(subject: Subject, positions: Sequence[int]) -> dict[int, torch.Tensor]:
    """Return position -> ``float32[3, height, width]``; images that cannot be decoded are absent.

    Args:
        subject: its images, brought to its size.
        positions: in the image set.
    """
    part = subject.image_set.subset(list(positions))
    found: dict[int, torch.Tensor] = {}
    for batch in part.batches(
        size=subject.size, resize=subject.resize, batch_size=subject.batch_size, workers=2
    ):
        for place, image in zip(batch.indices.tolist(), batch.images, strict=True):
            found[positions[place]] = image
    return found


def _effect(
    cue: CueRecord,
    subject: Subject,
    usable: pd.DataFrame,
    pixels: dict[int, torch.Tensor],
    folder: Path | None,
) -> Effect:
    order = sorted(pixels)
    row = {position: number for number, position in enumerate(order)}
    move = component_move(cue_components(cue))
    if is_masked(cue) and folder is not None:
        ids = [subject.image_set.ids[position] for position in order]
        files = mask_files(cue, folder)
        move = masked_move(
            read_masks_of(ids, files, folder, size=subject.size, resize=subject.resize)
        )

    def rows(part: str) -> torch.Tensor:
        return torch.tensor([row[i] for i in usable[part]], dtype=torch.int64)

    return measure_effect(
        subject.classifier,
        torch.stack([pixels[position] for position in order]),
        torch.from_numpy(subject.labels[np.array(order, dtype=np.int64)]),
        move,
        Pairs(targets=rows("image"), others=rows("other"), same=rows("same")),
        batch_size=subject.batch_size,
    )


def _joined(parts: Sequence[torch.Tensor]) -> np.ndarray:
    return torch.cat(list(parts)).numpy() if parts else np.zeros(0, dtype=np.int64)
