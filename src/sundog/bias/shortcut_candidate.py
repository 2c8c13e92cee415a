"""A candidate: a component that may drag the prediction, and how it is moved between images."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sundog.core.shapes import Images
from sundog.data.components.component import FAMILIES, Component
from sundog.data.components.paint_over import paint_over

SMALL = 1 / 48
"""A part of at most this share of the image is too small to hold an object."""

SMALL_MARK = 1 / 8
"""A pattern that a class repeats over a larger share of the image may be the object itself."""

MARGINS: dict[str, float] = {
    "part": 0.06,
    "printed": 0.12,
    "large": 0.25,
    "ground": 0.2,
    "stamp": 0.04,
    "mark": 0.05,
    "peak": 0.15,
    "colour": 0.16,
    "cast": 0.04,
    "illumination": 0.12,
    "detail": 0.16,
    "compression": 0.06,
    "encoded": 0.01,
    "placement": 0.14,
    "pair": 0.3,
    "conjunction": 0.06,
}
"""Pull that sound models show without any cue, with room to spare: measured on the control models
of the planted benchmark's tuning seeds (docs: results/planted.md). A claim must exceed it; that of
a part is counted beyond what parts of the same size pull elsewhere in the same images."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """What is moved, and how much pull it must show before it is called a cue.

    Attributes:
        name: in words.
        margin: pull that needs no cue.
        component: a part or property that any image has; None where ``masks`` say what moves.
        masks: ``bool[images, height, width]``: another part of each image, such as where its map
            peaks, or where a stamp (``component``) was recognised; images without one cannot be
            donors.
        give: ``bool[images]``: which images may be donors, by their pixels alone; None = all (that
            have a part).
        fill: whether the receiver's own masked part is painted over first, as a stamp's is.
        ordinary: how many times the pull of ordinary parts of its size it must exceed. A pattern
            that a class repeats may be the object itself, whose every part pulls.
        also: a second component moved together with the first.
        broken: of a conjunction, how much more of the label either component must cost alone than
            both together, donors of the own class; None = not asked.
        class_index: the class whose donors are tested; None = donors of all classes.
    """

    name: str
    margin: float
    component: Component | None = None
    masks: Bool[Tensor, "images height width"] | None = None
    give: Bool[Tensor, "images"] | None = None
    fill: bool = False
    ordinary: float = 1.0
    also: Component | None = None
    broken: float | None = None
    class_index: int | None = None
    family: str = ""
    area: float = 1.0
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        """Whether it occupies a part of the image."""
        if self.component is None:
            return True
        return FAMILIES[self.component.family].local

    def can_give(self, count: int) -> Bool[Tensor, "images"]:
        """Return which images can be donors."""
        if self.masks is None:
            return torch.ones(count, dtype=torch.bool) if self.give is None else self.give
        able = self.masks.flatten(1).any(dim=1)
        return able if self.give is None else able & self.give

    def move(
        self,
        images: Images,
        targets: Int64[Tensor, "pairs"],
        donors: Int64[Tensor, "pairs"],
        *,
        opacity: float = 1.0,
    ) -> Images:
        """Return the targets with the component of their donors.

        Args:
            images: all images.
            targets: positions.
            donors: positions.
            opacity: 1 = the whole component.
        """
        onto, source = images[targets], images[donors]
        if self.component is not None and self.masks is None:
            moved = self.component.transfer(onto, source, opacity=opacity)
            if self.also is not None:
                moved = self.also.transfer(moved, source, opacity=opacity)
            return moved
        if self.masks is None:
            return onto
        inside = self.masks[donors][:, None]
        base = paint_over(onto, self.masks[targets]) if self.fill else onto
        moved = torch.where(inside, source, base)
        return moved if opacity == 1 else torch.lerp(onto, moved, opacity)
