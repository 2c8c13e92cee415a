"""How a claimed cue is moved again: by its components, or by the masks that the audit kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sundog.bias.shortcut_describe import MASKED
from sundog.bias.shortcut_effect import Move
from sundog.core.audit.cues import CueRecord
from sundog.core.errors import InputError
from sundog.core.shapes import Images
from sundog.data.components.component import Component, make_component
from sundog.data.mask_reader import COLUMN, read_mask
from sundog.data.transforms import Resize

TOGETHER = "also"
"""Key of a second component that is moved together with the first."""


def is_masked(cue: CueRecord) -> bool:
    """Return whether a cue lies elsewhere in every image: masks, and no component, say where."""
    return cue.component.get("family") == MASKED


def cue_components(cue: CueRecord) -> tuple[Component, ...]:
    """Return what is moved, all from one donor; nothing for a cue that masks alone describe.

    Raises:
        InputError: a record without a component.
        UnknownNameError: a family of another version.
    """
    if not cue.component:
        raise InputError(
            f"Cue {cue.name!r}",
            expected="with the component that was moved",
            got="none",
            hint="Search for cues again with this version of Sundog.",
        )
    if is_masked(cue):
        return ()
    also = cue.component.get(TOGETHER)
    made = (make_component(cue.component),)
    return made if also is None else (*made, make_component(also))


def mask_files(cue: CueRecord, folder: Path | None) -> dict[str, str]:
    """Return image id -> mask file, relative to ``folder``; empty if none were kept.

    Args:
        cue: of a search for cues.
        folder: of that search.
    """
    if folder is None or cue.masks_table is None or not (folder / cue.masks_table).is_file():
        return {}
    table = pd.read_parquet(folder / cue.masks_table, columns=["id", COLUMN])
    return dict(zip(table["id"].astype(str), table[COLUMN].astype(str), strict=True))


def component_move(components: Sequence[Component]) -> Move:
    """Return what moves components, one after the other, from the same donor."""

    def move(
        images: Images, targets: Int64[Tensor, "pairs"], donors: Int64[Tensor, "pairs"]
    ) -> Images:
        moved, source = images[targets], images[donors]
        for component in components:
            moved = component.transfer(moved, source)
        return moved

    return move


def masked_move(masks: Bool[Tensor, "images height width"]) -> Move:
    """Return what pastes the masked pixels of a donor at their place."""

    def move(
        images: Images, targets: Int64[Tensor, "pairs"], donors: Int64[Tensor, "pairs"]
    ) -> Images:
        inside = masks[donors][:, None].to(images.device)
        return torch.where(inside, images[donors], images[targets])

    return move


def read_masks_of(
    ids: Sequence[str],
    files: dict[str, str],
    folder: Path,
    *,
    size: tuple[int, int],
    resize: Resize,
) -> Bool[Tensor, "images height width"]:
    """Return the masks of images by id, False everywhere where there is none.

    Raises:
        DataError: a mask that cannot be read.
    """
    masks = torch.zeros(len(ids), *size, dtype=torch.bool)
    for row, image in enumerate(ids):
        if image in files:
            masks[row] = torch.from_numpy(read_mask(files[image], folder, size=size, resize=resize))
    return masks
