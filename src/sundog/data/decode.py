"""From the bytes of an image file to uint8 RGB, whatever the file's mode.

| in the file | becomes |
|---|---|
| EXIF orientation | applied: the image stands as a viewer shows it |
| grey (1, 8 bit) | repeated to three channels |
| grey, 16 bit | ``round(value / 257)``, so 65535 becomes 255 (Pillow alone would clip at 255) |
| grey, float | ``round(255 * value)``; values must be finite and in [0, 1] |
| CMYK, YCbCr, HSV, palette | RGB by Pillow's conversion, without colour management |
| transparency | composited on white, as a browser shows it |
| several frames | the first |
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sundog.core.errors import DataError
from sundog.data.content import Pixels

MAX_PIXELS = 89_478_485
"""Larger images are refused as decompression bombs (Pillow's own limit for a warning)."""
IMAGE_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("jpg", "jpeg", "jfif", "png", "bmp", "gif", "webp"),
        *("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "avif"),
    )
)


def check_header(data: bytes) -> tuple[int, int]:
    """Return (height, width) from the header alone, without decoding.

    Raises:
        DataError: empty, not an image, or too many pixels.
    """
    with _opened(data) as image:
        return image.height, image.width


def decode_image(data: bytes) -> Pixels:
    """Decode an image file to RGB by the table above.

    Args:
        data: the whole file.

    Returns:
        ``uint8[height, width, 3]``.

    Raises:
        DataError: empty, not an image, truncated, broken, or too many pixels.
    """
    with _opened(data) as image:
        try:
            upright = ImageOps.exif_transpose(image)
            return _to_rgb(upright)
        except DataError:
            raise
        except Exception as error:  # Pillow's plug-ins raise about ten kinds
            raise DataError(_reason("the image cannot be decoded", error)) from error


def to_rgb_pixels(image: Image.Image) -> Pixels:
    """Convert an already opened Pillow image by the same table.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        _check_pixels(image)
        return _to_rgb(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except Exception as error:  # as above
        raise DataError(_reason("the image cannot be decoded", error)) from error


def _opened(data: bytes) -> Image.Image:
    if not data:
        raise DataError("the file is empty")
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise DataError("the file is not an image that Pillow can read") from error
    except Exception as error:  # decompression bombs, broken headers, ...
        raise DataError(_reason("the image's header cannot be read", error)) from error
    _check_pixels(image)
    return image


def _check_pixels(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise DataError(f"the image has {pixels} pixels; more than {MAX_PIXELS} are refused")


def _reason(what: str, error: Exception) -> str:
    return f"{what}: {type(error).__name__}: {str(error)[:160]}"


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError("integer grey values outside 0..65535 cannot be scaled")
        return _repeat(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "F":
        real = np.asarray(image)
        if not (np.isfinite(real).all() and real.min() >= 0 and real.max() <= 1):
            raise DataError("float grey values must be finite and in [0, 1]")
        return _repeat(np.rint(real * 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return np.array(image.convert("RGB"))


def _repeat(grey: np.ndarray) -> Pixels:
    return np.repeat(grey[:, :, None], 3, axis=2)
