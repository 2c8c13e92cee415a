"""The usual ImageNet preparation: shorter side, bicubic, antialiased, centre crop."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from sundog.core.errors import InputError
from sundog.data.content import Pixels
from sundog.data.transforms import Image, check_size, to_tensor


def centre_crop(
    pixels: Pixels, size: int | tuple[int, int] = 224, *, crop_fraction: float = 0.875
) -> Image:
    """Resize with Pillow's bicubic filter and crop the centre.

    The shorter side becomes ``floor(side / crop_fraction)`` pixels, the longer one
    ``floor(longer * shorter' / shorter)``; the crop starts at ``round((new - side) / 2)``. Equal
    bit for bit to the evaluation transform of timm and torchvision (``Resize``, ``CenterCrop``).

    Args:
        pixels: ``uint8[height, width, 3]``, RGB.
        size: (height, width) or side of the result in pixels; a rectangle is cut from an image
            whose shorter side covers its larger side.
        crop_fraction: in (0, 1]; 0.875 resizes to 256 for 224.

    Returns:
        ``float32[3, height, width]`` in [0, 1].

    Raises:
        InputError: no RGB bytes, or a crop fraction outside (0, 1].
    """
    if not 0 < crop_fraction <= 1:
        raise InputError("crop_fraction", expected="in (0, 1]", got=repr(crop_fraction))
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise InputError(
            "pixels",
            expected="uint8[height, width, 3]",
            got=f"{pixels.dtype}{list(pixels.shape)}",
        )
    height, width = check_size(size)
    short = int(max(height, width) / crop_fraction)
    old_height, old_width = pixels.shape[:2]
    if old_height <= old_width:
        new_height, new_width = short, max(short, int(short * old_width / old_height))
    else:
        new_height, new_width = max(short, int(short * old_height / old_width)), short
    picture = Pillow.fromarray(pixels)
    if (new_height, new_width) != (old_height, old_width):
        picture = picture.resize((new_width, new_height), Pillow.Resampling.BICUBIC)
    top, left = round((new_height - height) / 2), round((new_width - width) / 2)
    grown = np.asarray(picture)
    return to_tensor(grown[top : top + height, left : left + width])
