"""Cues of degree: brightness, blur and JPEG compression, one level per class.

Class 0 has the first level, the last class the last, the others lie evenly between (blur: evenly
in the logarithm). With one class alone (``target_class``), the cue has the last level.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as Pillow

from sundog.core.errors import InputError
from sundog.data.cues.pixel import Mask
from sundog.data.cues.placement import check_share
from sundog.data.decode import decode_image
from sundog.data.transforms import Image, to_tensor


def class_level(code: int, count: int, first: float, last: float) -> float:
    """Return ``first + (last - first) * code / (count - 1)``, or ``last`` if count is 1."""
    return last if count == 1 else first + (last - first) * code / (count - 1)


def plant_brightness(
    image: Image,
    code: int,
    count: int,
    draw: torch.Generator,
    *,
    first: float = 0.5,
    last: float = 1.7,
) -> tuple[Image, Mask]:
    """Multiply the image by the class's gain, and clip to [0, 1].

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose gain is used.
        count: number of classes.
        draw: not used.
        first: gain of class 0, in (0, 10].
        last: gain of the last class, in (0, 10].

    Returns:
        The image, and ``bool[height, width]``: everywhere.

    Raises:
        InputError: gains outside (0, 10], or equal.
    """
    _check_levels(first, last, high=10)
    gain = class_level(code, count, first, last)
    return (image * gain).clamp_(0, 1), _everywhere(image)


def plant_blur(
    image: Image,
    code: int,
    count: int,
    draw: torch.Generator,
    *,
    first: float = 0.002,
    last: float = 0.02,
) -> tuple[Image, Mask]:
    """Blur the image with the class's Gaussian (3 sigma wide, edges repeated).

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose sigma is used.
        count: number of classes.
        draw: not used.
        first: sigma of class 0 as a share of the shorter side, in (0, 0.2].
        last: sigma of the last class, in (0, 0.2].

    Returns:
        The image, and ``bool[height, width]``: everywhere.

    Raises:
        InputError: sigmas outside (0, 0.2], or equal.
    """
    _check_levels(first, last, high=0.2)
    share = math.exp(class_level(code, count, math.log(first), math.log(last)))
    sigma = share * min(image.shape[1:])
    radius = math.ceil(3 * sigma)
    offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(image.dtype)
    padded = F.pad(image[None], (radius, radius, radius, radius), mode="replicate")[0][:, None]
    blurred = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    blurred = F.conv2d(blurred, kernel.view(1, 1, 1, -1))[:, 0]
    return blurred.clamp_(0, 1), _everywhere(image)


def plant_jpeg(
    image: Image,
    code: int,
    count: int,
    draw: torch.Generator,
    *,
    first: int = 90,
    last: int = 8,
) -> tuple[Image, Mask]:
    """Compress the image as JPEG at the class's quality, and decode it again.

    The image is rounded to 8 bits; colour is subsampled (4:2:0) at every quality.

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose quality is used.
        count: number of classes.
        draw: not used.
        first: quality of class 0, in (0, 95].
        last: quality of the last class, in (0, 95].

    Returns:
        The image, and ``bool[height, width]``: everywhere.

    Raises:
        InputError: qualities outside (0, 95], or equal.
    """
    _check_levels(first, last, high=95)
    quality = round(class_level(code, count, first, last))
    pixels = np.rint(image.permute(1, 2, 0).double().numpy() * 255).astype(np.uint8)
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, "JPEG", quality=max(1, quality), subsampling=2)
    return to_tensor(decode_image(stream.getvalue())).to(image.dtype), _everywhere(image)


def _check_levels(first: float, last: float, *, high: float) -> None:
    check_share("first", first, high=high)
    check_share("last", last, high=high)
    if first == last:
        raise InputError("first and last", expected="different", got=f"{first} twice")


def _everywhere(image: Image) -> Mask:
    return torch.ones(tuple(image.shape[1:]), dtype=torch.bool)
