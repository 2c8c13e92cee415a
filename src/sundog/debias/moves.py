"""Follow the augmentation: move a mask or a clean image exactly as the training image was moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images
from sundog.models.training_recipe import Step


@dataclass(frozen=True, eq=False)
class Moves:
    """How each image of a batch was mirrored and shifted.

    Attributes:
        flipped: ``bool[batch]``, left to right.
        shifts: ``int64[batch, 2]``, rows and columns of the window, after the flip: pixel (y, x)
            is now at ``(y - rows, x - columns)``; zeros came in at the border.
    """

    flipped: Bool[Tensor, "batch"]
    shifts: Int64[Tensor, "batch 2"]

    @staticmethod
    def none(count: int) -> Moves:
        """Return the moves of images that stay where they are."""
        return Moves(torch.zeros(count, dtype=torch.bool), torch.zeros(count, 2, dtype=torch.int64))

    @staticmethod
    def of(step: Step) -> Moves:
        """Return what the augmentation did to a training batch."""
        return Moves(flipped=step.flipped.cpu(), shifts=step.shifts.cpu())

    def __len__(self) -> int:
        return len(self.flipped)

    def images(self, images: Images) -> Images:
        """Return images moved in this way; zeros come in at the border.

        Args:
            images: ``float[batch, 3, height, width]``, not moved yet.
        """
        return self._move(images)

    def masks(
        self, masks: Bool[Tensor, "batch height width"]
    ) -> Bool[Tensor, "batch height width"]:
        """Return masks moved in this way; what comes in at the border is no cue.

        Args:
            masks: ``bool[batch, height, width]``, of images that were not moved.
        """
        return self._move(masks[:, None])[:, 0]

    def _move(self, values: Tensor) -> Tensor:
        if len(values) != len(self):
            raise InputError("Images", expected=f"one per move ({len(self)})", got=str(len(values)))
        moved = torch.where(
            self.flipped.to(values.device)[:, None, None, None], values.flip(3), values
        )
        if not bool(self.shifts.any()):
            return moved
        height, width = values.shape[2:]
        reach = int(self.shifts.abs().max())
        padded = F.pad(moved, (reach, reach, reach, reach))
        return torch.stack(
            [
                image[:, y + reach : y + reach + height, x + reach : x + reach + width]
                for image, (y, x) in zip(padded, self.shifts.tolist(), strict=True)
            ]
        )
