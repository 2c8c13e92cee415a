"""From a decoded image of any size to ``float32[3, height, width]`` in [0, 1].

Bilinear interpolation with half-pixel centres. Antialiased (the default): the triangle filter is
widened by the reduction factor, so that every source pixel counts. Not antialiased: the operator
of TensorFlow 2's ``tf.image.resize``, which skips source pixels when it reduces.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sundog.core.errors import InputError
from sundog.data.content import Pixels

Resize = Literal["pad", "crop", "stretch"]
Image = Float[Tensor, "3 height width"]


def check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width); one number means a square.

    Raises:
        InputError: not one or two positive whole numbers.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(s, int) and s > 0 for s in pair):
        raise InputError("size", expected="pixels > 0, or (height, width)", got=repr(size))
    return pair


def to_tensor(pixels: Pixels) -> Image:
    """Return ``pixels / 255`` as ``float32[3, height, width]``."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255


def resize_image(
    pixels: Pixels,
    size: tuple[int, int],
    *,
    resize: Resize = "pad",
    antialias: bool = True,
    crop_fraction: float = 0.875,
) -> Image:
    """Resize one image to ``size`` by one of the three ways.

    Args:
        pixels: ``uint8[height, width, 3]``.
        size: (height, width) of the result, in pixels.
        resize: ``pad`` (:func:`resize_with_pad`), ``crop`` (:func:`resize_and_crop`) or
            ``stretch`` (both axes on their own, the aspect is lost).
        antialias: see the module.
        crop_fraction: for ``crop``.

    Raises:
        InputError: unknown way, or a crop fraction outside (0, 1].
    """
    if resize == "pad":
        return resize_with_pad(pixels, size, antialias=antialias)
    if resize == "crop":
        return resize_and_crop(pixels, size, antialias=antialias, crop_fraction=crop_fraction)
    if resize == "stretch":
        return _interpolate(pixels, size, antialias=antialias)
    raise InputError("resize", expected=f"one of {get_args(Resize)}", got=repr(resize))


def resize_with_pad(pixels: Pixels, size: tuple[int, int], *, antialias: bool = True) -> Image:
    """Resize into ``size`` with the aspect kept, and pad with zeros (black).

    ``ratio = max(width / W, height / H)``; new size ``floor(side / ratio)``; top and left padding
    ``max(0, floor((SIDE - side / ratio) / 2))`` with the un-floored side, the rest at the bottom
    and right. With ``antialias`` the rule is evaluated exactly. Without, in float32 as TensorFlow
    2 does, whose rounding makes some images one pixel smaller (128 x 128 to 224 gives 223 x 223):
    ``antialias=False`` is ``tf.image.resize_with_pad`` bit for bit in its geometry.

    Args:
        pixels: ``uint8[height, width, 3]``.
        size: (H, W) of the result, in pixels.
        antialias: see the module.

    Returns:
        ``float32[3, H, W]`` in [0, 1]. A side never shrinks below one pixel.
    """
    geometry = _exact_geometry if antialias else _float32_geometry
    (new_h, top), (new_w, left) = geometry(pixels.shape[0], pixels.shape[1], *size)
    inner = _interpolate(pixels, (new_h, new_w), antialias=antialias)
    if (new_h, new_w) == tuple(size):
        return inner
    return F.pad(inner, (left, size[1] - new_w - left, top, size[0] - new_h - top))


def resize_and_crop(
    pixels: Pixels,
    size: tuple[int, int],
    *,
    antialias: bool = True,
    crop_fraction: float = 0.875,
) -> Image:
    """Resize with the aspect kept so that ``size / crop_fraction`` is covered; crop the centre.

    The usual ImageNet evaluation: 224 pixels and 0.875 resize the shorter side to 256.

    Args:
        pixels: ``uint8[height, width, 3]``.
        size: (H, W) of the result, in pixels.
        antialias: see the module.
        crop_fraction: share of the covering rectangle's side that is kept, in (0, 1].

    Returns:
        ``float32[3, H, W]`` in [0, 1].

    Raises:
        InputError: a crop fraction outside (0, 1].
    """
    if not 0 < crop_fraction <= 1:
        raise InputError("crop_fraction", expected="in (0, 1]", got=repr(crop_fraction))
    height, width = pixels.shape[:2]
    cover_h, cover_w = (round(side / crop_fraction) for side in size)
    scale = max(cover_h / height, cover_w / width)
    new_h, new_w = max(size[0], round(height * scale)), max(size[1], round(width * scale))
    inner = _interpolate(pixels, (new_h, new_w), antialias=antialias)
    top, left = (new_h - size[0]) // 2, (new_w - size[1]) // 2
    return inner[:, top : top + size[0], left : left + size[1]].contiguous()


def _interpolate(pixels: Pixels, size: tuple[int, int], *, antialias: bool) -> Image:
    image = to_tensor(pixels)
    if tuple(image.shape[1:]) == tuple(size):
        return image
    grown = F.interpolate(
        image[None], size=size, mode="bilinear", align_corners=False, antialias=antialias
    )
    return grown[0].clamp_(0, 1)


def _exact_geometry(
    height: int, width: int, to_height: int, to_width: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((new height, top), (new width, left)) in whole-number arithmetic."""
    if width * to_height >= height * to_width:  # the width decides
        numerator, denominator = to_width, width
    else:
        numerator, denominator = to_height, height
    new, start = [], []
    for side, goal in ((height, to_height), (width, to_width)):
        new.append(max(1, side * numerator // denominator))
        start.append(max(0, (goal * denominator - side * numerator) // (2 * denominator)))
    return (new[0], min(start[0], to_height - new[0])), (new[1], min(start[1], to_width - new[1]))


def _float32_geometry(
    height: int, width: int, to_height: int, to_width: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((new height, top), (new width, left)) with TensorFlow 2's float32 rounding."""
    h, w = np.float32(height), np.float32(width)
    goal_h, goal_w = np.float32(to_height), np.float32(to_width)
    ratio = max(w / goal_w, h / goal_h)
    real_h, real_w = h / ratio, w / ratio
    new_h, new_w = max(1, int(np.floor(real_h))), max(1, int(np.floor(real_w)))
    top = max(0, int(np.floor((goal_h - real_h) / np.float32(2))))
    left = max(0, int(np.floor((goal_w - real_w) / np.float32(2))))
    return (new_h, min(top, to_height - new_h)), (new_w, min(left, to_width - new_w))
