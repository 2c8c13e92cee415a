"""What bringing an image to size costs: cut away, filled with black, or squeezed."""

from __future__ import annotations

from dataclasses import dataclass

from sundog.data.transforms import Resize


@dataclass(frozen=True)
class ResizeLoss:
    """What happens to one image.

    Attributes:
        lost: share of the image that is cut away (crop) or of the frame that stays black (pad),
            in [0, 1]; for stretch ``1 - 1 / squeeze``.
        squeeze: longer over shorter aspect, >= 1: how much wider or higher things become
            (stretch); 1 for the others.
        scale: pixels of the result per pixel of the image along a side; > 1 is enlarged.
    """

    lost: float
    squeeze: float
    scale: float


def resize_loss(
    height: int,
    width: int,
    size: tuple[int, int],
    *,
    resize: Resize,
    crop_fraction: float = 0.875,
) -> ResizeLoss:
    """Return what :func:`sundog.data.transforms.resize_image` does to an image of this size.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        size: (height, width) of the result.
        resize: pad, crop or stretch.
        crop_fraction: of crop. The margin that every image loses by it is not counted as lost.
    """
    down, across = size[0] / height, size[1] / width
    wide, narrow = max(down, across), min(down, across)
    if resize == "stretch":
        return ResizeLoss(1 - narrow / wide, wide / narrow, (down * across) ** 0.5)
    if resize == "crop":
        return ResizeLoss(1 - narrow / wide, 1.0, wide / crop_fraction)
    return ResizeLoss(1 - narrow / wide, 1.0, narrow)
