"""Every cue that was claimed in one model, tested on all of them; finished work is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int64
from PIL import Image as Pillow
from torch import Tensor

from sundog.audit.shortcut_run import load_sample, sample_images
from sundog.audit.subject import Subject
from sundog.bias.pair_cues import draw_cross_pairs, effect_table
from sundog.bias.shortcut_candidate import Candidate
from sundog.bias.shortcut_effect import measure_effect
from sundog.core.audit.cues import CueRecord
from sundog.core.errors import RunFolderError, first_line
from sundog.core.progress import track
from sundog.core.run_folder import RunFolder
from sundog.core.shapes import Images
from sundog.data.components.component import make_component
from sundog.data.components.stamp import stamp_masks

MASKED = "masked"
"""Family of a part that lies elsewhere in every image: the masks of the claim say where."""


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
    names = next(iter(subjects.values())).class_names
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for cue in track(cues, description="crossing cues", visible=progress):
        candidate = as_candidate(cue, held)
        good = np.any([right[run] for run in cue.claimed_in], axis=0)
        pairs = draw_cross_pairs(
            held.labels,
            [names.index(name) for name in cue.record.classes],
            good=good,
            give=candidate.can_give(len(held.ids)).numpy(),
            seed=seed,
            key=cue.key,
        )
        if not len(pairs):
            continue
        for run, subject in subjects.items():
            part = f"{cue.key} {run}"
            table = folder.part("crossed", part)
            if table is None:
                effect = measure_effect(
                    subject.classifier,
                    held.images,
                    torch.from_numpy(held.labels),
                    candidate.move,
                    pairs,
                    batch_size=max(subject.batch_size, 16),
                )
                table = effect_table(effect, pairs, held.labels, held.ids)
                folder.append("crossed", part, table)
            found.setdefault(cue.key, {})[run] = table
    return found


def as_candidate(cue: ClaimedCue, held: HeldImages) -> Candidate:
    """Return what a claim moved, from its record and its masks alone."""
    record = cue.record
    component = dict(record.component)
    also = component.pop("also", None)
    if component.get("family") == MASKED:
        return Candidate(
            name=record.name, margin=cue.margin, masks=read_masks(cue, held), family=record.family
        )
    made = make_component(component)
    return Candidate(
        name=record.name,
        margin=cue.margin,
        component=made,
        # Only an image that carries a stamp can give one.
        masks=stamp_masks(held.images, **made.parameters) if made.family == "stamp" else None,
        also=None if also is None else make_component(also),
        family=record.family,
    )


def read_masks(cue: ClaimedCue, held: HeldImages) -> Bool[Tensor, "images height width"]:
    """Return where a claimed part is in each held image, from the folder of its search.

    Raises:
        RunFolderError: the masks are not there, or are not of the images' size.
    """
    height, width = held.images.shape[-2:]
    masks = torch.zeros(len(held.ids), height, width, dtype=torch.bool)
    name = cue.record.masks_table
    try:
        rows = pd.read_parquet(cue.folder / str(name)) if name is not None else pd.DataFrame()
        files = dict(zip(rows["id"], rows["mask_path"], strict=True))
        for place, image in enumerate(held.ids):
            if image in files:
                with Pillow.open(cue.folder / files[image]) as picture:
                    mask = np.asarray(picture.convert("L")) > 127
                masks[place] = torch.from_numpy(mask)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise RunFolderError(
            f"The masks of cue {cue.record.name!r} in {str(cue.folder)!r}",
            expected=f"one picture per image, {height} x {width} px",
            got=first_line(error),
        ) from error
    return masks


def _what(record: CueRecord) -> str:
    return json.dumps([record.component, sorted(record.classes)], sort_keys=True)
