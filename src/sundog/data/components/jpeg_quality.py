"""At which JPEG quality an image was encoded, seen in its pixels: its ghost."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image as Pillow
from torch import Tensor

from sundog.core.shapes import Images

QUALITIES = tuple(range(4, 97, 2))
"""Tried; what lies between is told by its neighbour."""
WIDE = 5
"""Qualities over which the error is smoothed to see a dip in it."""
DIP = 0.12
"""Log error below the smoothed one from which on a dip is one."""
HARMONIC = 0.6
"""Tables that are multiples of the true one dip too; the lowest quality that dips so much (as a
share of the deepest dip) is taken."""
SIDE, GRID = 96, 16
"""Sides of the part in the middle that is looked at, and of the blocks that it may not cut."""
_MOST_KNOWN = 50_000
_KNOWN: OrderedDict[bytes, int] = OrderedDict()
UNKNOWN = 0


def jpeg_qualities(images: Images) -> list[int]:
    """Return the quality at which each image was last encoded as JPEG; 0 = none is seen.

    An image that was encoded at quality q changes little when it is encoded at q again: the mean
    absolute change over q has a dip there. Seen only in images whose pixels are as they were
    decoded, not in resized ones. What is known of an image is remembered by its content.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].

    Source: Farid, 2009, IEEE TIFS 4(1), "Exposing digital forgeries from JPEG ghosts".
    """
    pixels = (images.detach().cpu().permute(0, 2, 3, 1).double() * 255).round().to(torch.uint8)
    return [_quality(np.ascontiguousarray(_middle(image))) for image in pixels.numpy()]


def encode(pixels: UInt8[np.ndarray, "height width 3"], quality: int) -> np.ndarray:
    """Return the pixels after JPEG at a quality, ``uint8[height, width, 3]``."""
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, "JPEG", quality=quality)
    stream.seek(0)
    with Pillow.open(stream) as opened:
        return np.asarray(opened.convert("RGB"))


def encoded(image: Tensor, quality: int) -> Tensor:
    """Return one image after JPEG, ``float[3, height, width]`` in [0, 1]."""
    pixels = np.rint(image.permute(1, 2, 0).double().cpu().numpy() * 255).astype(np.uint8)
    made = encode(pixels, quality).astype(np.float32) / 255
    return torch.from_numpy(made).permute(2, 0, 1).to(image)


def _quality(pixels: UInt8[np.ndarray, "height width 3"]) -> int:
    key = hashlib.blake2b(pixels.tobytes(), digest_size=16, key=str(pixels.shape).encode()).digest()
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = _ghost(pixels)
        if len(_KNOWN) > _MOST_KNOWN:
            _KNOWN.popitem(last=False)
    return found


def _ghost(pixels: UInt8[np.ndarray, "height width 3"]) -> int:
    whole = pixels.astype(np.int16)
    errors = np.array(
        [np.abs(encode(pixels, q).astype(np.int16) - whole).mean() for q in QUALITIES]
    )
    depth = _depths(errors)
    deepest = float(depth.max())
    if deepest < DIP:
        return UNKNOWN
    first = int(np.argmax(depth >= max(DIP, HARMONIC * deepest)))
    return QUALITIES[first + WIDE // 2]


def _middle(pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "tall wide 3"]:
    top, left = (max(0, side - SIDE) // 2 // GRID * GRID for side in pixels.shape[:2])
    return pixels[top : top + SIDE, left : left + SIDE]


def _depths(errors: Float[np.ndarray, "qualities"]) -> Float[np.ndarray, "inner"]:
    """Return how far the log error lies below its mean over the neighbours."""
    log = np.log(errors + 0.02)
    smooth = np.convolve(log, np.ones(WIDE) / WIDE, mode="valid")
    return smooth - log[WIDE // 2 : -(WIDE // 2)]
