"""Edits of a cue of which only the place is known: fill it in, recolour it, or paste another's."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sundog.core.errors import DataError, InputError
from sundog.core.seeds import derive_seed, generator
from sundog.core.shapes import Images, Labels
from sundog.data.mask_reader import MaskReader, mask_areas, mask_digest
from sundog.debias.array_hash import array_hash
from sundog.debias.inpaint import inpaint
from sundog.debias.moves import Moves
from sundog.models.prepared import PreparedImages

Swap = Literal["paste", "recolour"]
Place = Literal["same", "random"]


class MaskEditor:
    """Removes and swaps a cue by its mask.

    ``removed`` fills the masked region from its surroundings
    (:func:`sundog.debias.inpaint.inpaint`). ``swapped``, with ``swap``:

    * ``paste``: the own cue is filled in, then the masked pixels of a donor are pasted: an image
      of a class drawn uniformly from all classes that have donors, so that what is pasted says
      nothing about the label even if every image of a class carries one value.
    * ``recolour``: the mean colour of the region is replaced by one drawn uniformly from all
      colours; its texture stays. Hides what the colour says, not what the shape or place says.
      An image without the cue stays as it is.

    Args:
        images: the set with the cue in its pixels.
        masks: where the cue is, for the same set at the same size.
        swap: ``paste`` or ``recolour``.
        values: ``int64[images]``, what the cue of each image says (its colour, its text), where
            that is known: donors are then drawn by value and not by class. -1 = unknown.
        place: where a pasted region goes: ``same``, the donor's own place (moved as the receiver
            was), or ``random``, anywhere it fits.

    Raises:
        InputError: masks of another number or size than the images, unknown options, or not one
            mask with a pixel.
    """

    def __init__(
        self,
        images: PreparedImages,
        masks: MaskReader,
        *,
        swap: Swap = "paste",
        place: Place = "same",
        values: Int64[np.ndarray, "images"] | None = None,
    ) -> None:
        for name, value, known in (
            ("swap", swap, get_args(Swap)),
            ("place", place, get_args(Place)),
        ):
            if value not in known:
                raise InputError(name, expected=f"one of {known}", got=repr(value))
        self.image_size = images.image_size
        if len(masks) != len(images) or tuple(masks.image_size) != self.image_size:
            raise InputError(
                "masks",
                expected=f"{len(images)} of {self.image_size[0]} x {self.image_size[1]} pixels",
                got=f"{len(masks)} of {masks.image_size[0]} x {masks.image_size[1]}",
                hint="Make them from the same image set, with the same size and resize rule.",
            )
        self._images = images
        self._masks = masks
        self._swap = swap
        self._place = place
        self._values = values
        self.by_label = values is None
        areas = mask_areas(masks)
        keys = images.image_set.labels if values is None else np.asarray(values, dtype=np.int64)
        if keys.shape != areas.shape:
            raise InputError(
                "values", expected=f"one per image ({len(areas)})", got=str(keys.shape)
            )
        self._keyed_by = "labels" if values is None else array_hash(keys)
        self._donors = _donors(keys, areas)
        self.masked = int((areas > 0).sum())
        """Images of the set that have the cue."""
        self._digest = mask_digest(masks)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def about(self) -> str:
        """In words, how the cue is known."""
        return f"known by masks in {self.masked} of {len(self)} images"

    @property
    def masks(self) -> MaskReader:
        """Where the cue is."""
        return self._masks

    def with_edits(self, **edits: Any) -> MaskEditor:
        """Return an editor of the same images and masks with other ``swap`` or ``place``."""
        given = {"swap": self._swap, "place": self._place, **edits}
        return MaskEditor(self._images, self._masks, values=self._values, **given)

    def describe(self) -> dict[str, Any]:
        """Return the options and the identity of images and masks."""
        content = derive_seed(0, *self._images.image_set.ids)
        return {
            "name": "masks",
            "swap": self._swap,
            "place": self._place,
            "donors_by": self._keyed_by,
            "masks": self._digest,
            "images": f"{content:016x}",
        }

    def removed(self, images: Images, indices: Labels, *, moves: Moves | None = None) -> Images:
        """Return the images with the masked regions filled in."""
        return inpaint(images, _moved(self._masks(indices), moves))

    def swapped(
        self,
        images: Images,
        indices: Labels,
        *,
        seed: int,
        moves: Moves | None = None,
        avoid: Labels | None = None,
    ) -> Images:
        """Return the images with their region recoloured, or a donor's region pasted.

        Args:
            images: see :meth:`CueEditor.swapped`.
            indices: likewise.
            seed: likewise.
            moves: likewise.
            avoid: ``int64[batch]``, value (class, without values) whose donors an image does not
                get: to measure what a conflicting cue does. Where there are no others, any.
        """
        if self._swap == "recolour":
            return self._recoloured(images, indices, seed=seed, moves=moves)
        shunned = [None] * len(indices) if avoid is None else avoid.tolist()
        donors = torch.tensor(
            [self._draw_donor(seed, i, a) for i, a in zip(indices.tolist(), shunned, strict=True)]
        )
        clean = self.removed(images, indices, moves=moves)
        pixels, masks = self._regions(donors, images)
        if moves is not None:
            pixels, masks = moves.images(pixels), moves.masks(masks)
        if self._place == "random":
            rolled = [
                _elsewhere(p, m, generator(seed, "paste place", i))
                for p, m, i in zip(pixels, masks, indices.tolist(), strict=True)
            ]
            pixels = torch.stack([p for p, _ in rolled])
            masks = torch.stack([m for _, m in rolled])
        return torch.where(masks[:, None].to(images.device), pixels.to(images), clean)

    def _draw_donor(self, seed: int, index: int, avoid: int | None) -> int:
        draw = generator(seed, "donor", index)
        groups = [group for key, group in self._donors.items() if key != avoid]
        groups = groups or list(self._donors.values())
        group = groups[int(torch.randint(len(groups), (1,), generator=draw))]
        return int(group[int(torch.randint(len(group), (1,), generator=draw))])

    def _regions(
        self, donors: Labels, like: Images
    ) -> tuple[Images, Bool[Tensor, "batch height width"]]:
        """Return the donors' pixels and masks; a donor that cannot be decoded has no mask."""
        try:
            found = list(self._images.batches(donors, batch_size=max(1, len(donors))))
        except DataError:  # not one can be decoded; the set lists them as skipped
            found = []
        if sum(len(batch) for batch in found) == len(donors):
            return torch.cat([batch.images for batch in found]), self._masks(donors)
        if len(donors) == 1:
            return torch.zeros(like.shape), torch.zeros((1, *like.shape[2:]), dtype=torch.bool)
        parts = [self._regions(donors[i : i + 1], like[:1]) for i in range(len(donors))]
        return torch.cat([pixels for pixels, _ in parts]), torch.cat([m for _, m in parts])

    def _recoloured(
        self, images: Images, indices: Labels, *, seed: int, moves: Moves | None
    ) -> Images:
        masks = _moved(self._masks(indices), moves).to(images.device)[:, None]
        area = masks.sum(dim=(2, 3), keepdim=True).clamp_min(1)
        mean = (images * masks).sum(dim=(2, 3), keepdim=True) / area
        colours = torch.stack(
            [torch.rand(3, generator=generator(seed, "recolour", i)) for i in indices.tolist()]
        )
        shown = (images - mean + colours[:, :, None, None].to(images)).clamp(0, 1)
        return torch.where(masks, shown, images)


def _donors(
    keys: Int64[np.ndarray, "images"], areas: Int64[np.ndarray, "images"]
) -> dict[int, Int64[np.ndarray, "donors"]]:
    """Return the images with the cue by key; those without a key (-1) have one of their own."""
    carrying = areas > 0
    if not carrying.any():
        raise InputError(
            "masks",
            expected="with a masked pixel in at least one image",
            got=f"{len(areas)} empty masks",
            hint="Without a localised cue there is nothing to edit; check mask_path and its root.",
        )
    return {int(key): np.flatnonzero(carrying & (keys == key)) for key in np.unique(keys[carrying])}


def _elsewhere(
    pixels: Tensor, mask: Bool[Tensor, "height width"], draw: torch.Generator
) -> tuple[Tensor, Bool[Tensor, "height width"]]:
    """Move the masked region to a place drawn uniformly from those where it fits."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return pixels, mask
    moved = []
    for found, side in ((rows, mask.shape[0]), (columns, mask.shape[1])):
        first, last = int(found[0]), int(found[-1])
        start = int(torch.randint(side - (last - first), (1,), generator=draw))
        moved.append(start - first)
    return (
        torch.roll(pixels, (moved[0], moved[1]), dims=(1, 2)),
        torch.roll(mask, (moved[0], moved[1]), dims=(0, 1)),
    )


def _moved(
    masks: Bool[Tensor, "batch height width"], moves: Moves | None
) -> Bool[Tensor, "batch height width"]:
    return masks if moves is None else moves.masks(masks)
