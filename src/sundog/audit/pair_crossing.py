"""Every cue that was claimed in one model, tested on all of them; finished work is kept."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sundog.audit.cue_moves import (
    component_move,
    cue_components,
    is_masked,
    mask_files,
    masked_move,
    read_masks_of,
)
from sundog.audit.frozen_pairs import class_indices
from sundog.audit.shortcut_run import load_sample, sample_images
from sundog.audit.subject import Subject
from sundog.bias.pair_cues import draw_cross_pairs, effect_table, parts_elsewhere
from sundog.bias.shortcut_effect import Effect, Move, measure_effect
from sundog.bias.shortcut_pairs import Pairs
from sundog.core.audit.cues import CueRecord
from sundog.core.progress import track
from sundog.core.run_folder import RunFolder
from sundog.core.shapes import Images


@dataclass(frozen=True, eq=False)
class HeldImages:
    """Labelled images in memory.

    Attributes:
        images: ``float32[images, 3, height, width]`` in [0, 1].
        labels: ``int64[images]``, as the classifiers number them.
        ids: of the images.
    """

    images: Images
    labels: Int64[np.ndarray, " images"]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class ClaimedCue:
    """One component that is tested on every model.

    Attributes:
        record: of the strongest claim of it.
        claimed_in: runs in which it was claimed.
        margin: pull that sound models show without any cue, as the search took it.
        folder: of the search that claimed it; its masks lie there.
    """

    record: CueRecord
    claimed_in: tuple[str, ...]
    margin: float
    folder: Path = field(default=Path(), compare=False)

    @property
    def key(self) -> str:
        """Return 16 hex digits of the component and the classes that it speaks for."""
        return hashlib.blake2b(_what(self.record).encode(), digest_size=8).hexdigest()


def hold_images(subject: Subject, *, limit: int, seed: int) -> HeldImages:
    """Read the images that a search with this limit and seed looks at."""
    images, labels, positions = load_sample(subject, sample_images(subject, limit=limit, seed=seed))
    ids = tuple(subject.image_set.ids[i] for i in positions.tolist())
    return HeldImages(images, labels.numpy(), ids)


def claimed_cues(
    claimed: Mapping[str, Sequence[CueRecord]],
    *,
    margins: Mapping[str, Mapping[str, float]],
    folders: Mapping[str, Path],
    most: int,
) -> list[ClaimedCue]:
    """Return the components claimed in any model, each once, in an order of their own.

    Args:
        claimed: run -> its claimed cues, strongest first.
        margins: run -> id of a cue -> pull that needs no cue.
        folders: run -> folder of its search.
        most: of each run.
    """
    found: dict[str, ClaimedCue] = {}
    for run in sorted(claimed):
        for record in claimed[run][:most]:
            new = ClaimedCue(record, (run,), margins[run][record.id], folders[run])
            old = found.get(_what(record))
            if old is not None:
                stronger = max((old, new), key=lambda cue: cue.record.reliance.value or 0.0)
                new = ClaimedCue(
                    stronger.record,
                    tuple(dict.fromkeys((*old.claimed_in, run))),
                    max(old.margin, new.margin),
                    stronger.folder,
                )
            found[_what(record)] = new
    return sorted(found.values(), key=lambda cue: cue.key)


def cross_cues(
    folder: RunFolder,
    subjects: Mapping[str, Subject],
    cues: Sequence[ClaimedCue],
    held: HeldImages,
    *,
    right: Mapping[str, Bool[np.ndarray, " images"]],
    seed: int,
    progress: bool | None = None,
) -> dict[str, dict[str, pd.DataFrame]]:
    """Move every cue between the images, before the eyes of every model.

    Args:
        folder: open run folder.
        subjects: run id -> model.
        cues: that were claimed.
        held: images that give and take.
        right: run -> whether it is right for each held image, without any transplant.
        seed: of the donors; they depend on it, on the cue, and on the models it was claimed in.
        progress: None shows it on a terminal.

    Returns:
        cue -> run -> rows of :func:`~sundog.bias.pair_cues.effect_table`; cues that no image can
        take are left out.
    """
    first = next(iter(subjects.values()))
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for cue in track(cues, description="crossing cues", visible=progress):
        part = _part(cue, first, held, seed=seed)
        pairs = draw_cross_pairs(
            held.labels,
            class_indices(cue.record.classes, first.class_names),
            good=np.any([right[run] for run in cue.claimed_in], axis=0),
            give=part.give,
            seed=seed,
            key=cue.key,
        )
        if not len(pairs):
            continue
        for run, subject in subjects.items():
            key = f"{cue.key} {run}"
            table = folder.part("crossed", key)
            if table is None:
                control = part.elsewhere
                table = effect_table(
                    _measure(subject, held, part.move, pairs),
                    pairs,
                    held.labels,
                    held.ids,
                    elsewhere=None if control is None else _measure(subject, held, control, pairs),
                )
                folder.append("crossed", key, table)
            found.setdefault(cue.key, {})[run] = table
    return found


def _measure(subject: Subject, held: HeldImages, move: Move, pairs: Pairs) -> Effect:
    return measure_effect(
        subject.classifier,
        held.images,
        torch.from_numpy(held.labels),
        move,
        pairs,
        batch_size=max(subject.batch_size, 16),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """How a claim is moved, who can give it, and its control: a part of its size elsewhere."""

    move: Move
    give: Bool[np.ndarray, " images"]
    elsewhere: Move | None


def _part(cue: ClaimedCue, subject: Subject, held: HeldImages, *, seed: int) -> _Part:
    """Return what a claim moved, from its record and its masks alone."""
    record, count = cue.record, len(held.ids)
    height, width = subject.size
    masks: Bool[Tensor, "images height width"] | None = None
    if is_masked(record):
        files = mask_files(record, cue.folder)
        masks = read_masks_of(held.ids, files, cue.folder, size=subject.size, resize=subject.resize)
        move = masked_move(masks)
    else:
        components = cue_components(record)
        move = component_move(components)
        own = components[0].mask(height, width)
        masks = components[0].locate(held.images)
        if own is not None:
            masks = own.expand(count, height, width)
    give = np.ones(count, dtype=bool) if masks is None else masks.flatten(1).any(1).numpy()
    if masks is None or not give.any() or "also" in record.component:
        return _Part(move, give, None)
    if record.box is not None:
        part = (max(1, round(record.box[2] * height)), max(1, round(record.box[3] * width)))
    else:
        side = math.sqrt(float(masks[torch.from_numpy(give)].float().mean()))
        part = (max(1, round(side * height)), max(1, round(side * width)))
    control = parts_elsewhere(count, subject.size, part, seed=seed)
    return _Part(move, give, masked_move(control))


def _what(record: CueRecord) -> str:
    return json.dumps([record.component, sorted(record.classes)], sort_keys=True)
