"""A component by family and parameters, and moving it from donors into images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.core.errors import InputError, UnknownNameError
from sundog.core.shapes import Images
from sundog.data.components.cast import transfer_cast
from sundog.data.components.colour import transfer_colour
from sundog.data.components.compression import transfer_compression
from sundog.data.components.detail import transfer_detail
from sundog.data.components.frame import frame_mask, transfer_frame
from sundog.data.components.illumination import transfer_illumination
from sundog.data.components.mark import mark_masks, transfer_mark
from sundog.data.components.placement import transfer_placement
from sundog.data.components.stamp import stamp_masks, transfer_stamp
from sundog.data.components.surround import surround_mask, transfer_surround
from sundog.data.components.window import transfer_window, window_mask

Transfer = Callable[..., Images]
"""``transfer(images, donors, **parameters) -> images``, pairwise, in [0, 1]."""


@dataclass(frozen=True)
class Family:
    """One row of the table of families.

    Attributes:
        name: of the family.
        transfer: ``(images, donors, **parameters) -> images``.
        local: whether it occupies a part of the image.
        mask: ``(height, width, **parameters) -> bool[height, width]``, None for
            a property of the whole image and for parts that lie elsewhere in every image.
        summary: one line.
        locate: ``(images, **parameters) -> bool[batch, height, width]``, for parts that lie
            elsewhere in every image: where each was recognised.
    """

    name: str
    transfer: Transfer
    local: bool
    summary: str
    mask: Callable[..., Bool[Tensor, "height width"]] | None = None
    locate: Callable[..., Bool[Tensor, "batch height width"]] | None = None


FAMILIES: dict[str, Family] = {
    row.name: row
    for row in (
        Family(
            "window", transfer_window, True, "the pixels of a box at a fixed place", window_mask
        ),
        Family("frame", transfer_frame, True, "the outer ring of the image", frame_mask),
        Family(
            "surround",
            transfer_surround,
            True,
            "everything outside a centred ellipse",
            surround_mask,
        ),
        Family(
            "stamp",
            transfer_stamp,
            True,
            "pixels of given colours, wherever they are",
            locate=stamp_masks,
        ),
        Family(
            "mark",
            transfer_mark,
            True,
            "a pattern such as a watermark, wherever it is",
            locate=mark_masks,
        ),
        Family("colour", transfer_colour, False, "mean and spread of each colour channel"),
        Family(
            "cast", transfer_cast, False, "how the colour channels differ, brightness left alone"
        ),
        Family("illumination", transfer_illumination, False, "the plane of light across the image"),
        Family("detail", transfer_detail, False, "the strength of each spatial frequency"),
        Family("compression", transfer_compression, False, "JPEG as strong as the donor's"),
        Family("placement", transfer_placement, False, "where the content lies in its margin"),
    )
}


@dataclass(frozen=True)
class Component:
    """What is moved: a family and its parameters (JSON values)."""

    family: str
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)

    def transfer(self, images: Images, donors: Images, *, opacity: float = 1.0) -> Images:
        """Put the component of each donor into the image at the same position of the batch.

        Args:
            images: ``float[batch, 3, height, width]`` in [0, 1].
            donors: of the same shape.
            opacity: 1 = the whole component, 0 = nothing; mixed linearly.

        Raises:
            InputError: shapes that differ, or an opacity outside [0, 1].
        """
        if images.shape != donors.shape:
            raise InputError(
                "donors", expected=f"of shape {tuple(images.shape)}", got=str(tuple(donors.shape))
            )
        if not 0 <= opacity <= 1:
            raise InputError("opacity", expected="in [0, 1]", got=str(opacity))
        moved = FAMILIES[self.family].transfer(images, donors, **self.parameters)
        return moved if opacity == 1 else torch.lerp(images, moved, opacity)

    def mask(self, height: int, width: int) -> Bool[Tensor, "height width"] | None:
        """Return where the component lies, or None for a property of the whole image."""
        find = FAMILIES[self.family].mask
        return None if find is None else find(height, width, **self.parameters)

    def locate(self, images: Images) -> Bool[Tensor, "batch height width"] | None:
        """Return where a part that lies elsewhere in every image is; None for other components."""
        find = FAMILIES[self.family].locate
        return None if find is None else find(images, **self.parameters)

    def to_dict(self) -> dict[str, Any]:
        """Return family and parameters, ready for JSON."""
        return {"family": self.family, "parameters": dict(self.parameters)}


def make_component(given: Mapping[str, Any]) -> Component:
    """Build a component from :meth:`Component.to_dict`.

    Raises:
        UnknownNameError: no such family.
    """
    name = str(given.get("family", ""))
    if name not in FAMILIES:
        raise UnknownNameError("component", name, FAMILIES)
    return Component(name, dict(given.get("parameters", {})))
