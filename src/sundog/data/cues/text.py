"""A watermark: a short text that differs by class, white with a dark outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from sundog.core.errors import InputError
from sundog.data.cues.pixel import Mask
from sundog.data.cues.placement import check_share, place_box
from sundog.data.transforms import Image

SMALLEST_FONT = 6


def plant_text(
    image: Image,
    code: int,
    count: int,
    draw: torch.Generator,
    *,
    texts: Sequence[str] | None = None,
    size: float = 0.11,
    opacity: float = 0.8,
    corner: str = "bottom_left",
    margin: float = 0.03,
) -> tuple[Image, Mask]:
    """Plant a text watermark, drawn with Pillow's built-in font.

    ``image <- (1 - a) image + a ink`` with a = opacity times the glyphs' coverage. The font
    shrinks until the text fits the width.

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose text is shown.
        count: number of classes.
        draw: of this image, for ``corner="random"``.
        texts: one per class; None: ``"A0"``, ``"B1"``, ``"C2"``, ...
        size: font size as a share of the image's height, at least 6 pixels.
        opacity: in (0, 1].
        corner: top_left, top_right, bottom_left, bottom_right or random.
        margin: distance to the edge as a share of the shorter side.

    Returns:
        The image with the text, and ``bool[height, width]``: the pixels that the ink touches.

    Raises:
        InputError: fewer texts than classes, an image too small for the text, a bad number.
    """
    check_share("size", size)
    check_share("opacity", opacity)
    check_share("margin", margin, low=-1e-9, high=0.5)
    if texts is not None and (len(texts) < count or not all(t.strip() for t in texts)):
        raise InputError("texts", expected=f"{count} non-empty texts", got=f"{len(texts)}")
    text = f"{chr(ord('A') + code % 26)}{code}" if texts is None else texts[code]
    height, width = image.shape[1:]
    ink = _ink(text, (height, width), max(SMALLEST_FONT, round(size * height)))
    top, left = place_box(
        (height, width),
        (ink.shape[0], ink.shape[1]),
        corner,
        margin=round(margin * min(height, width)),
        draw=draw,
    )
    inked = torch.from_numpy(ink).to(image.dtype) / 255
    alpha = inked[:, :, 3] * opacity
    area = (slice(top, top + ink.shape[0]), slice(left, left + ink.shape[1]))
    planted = image.clone()
    planted[(slice(None), *area)] = (1 - alpha) * image[(slice(None), *area)] + alpha * inked[
        :, :, :3
    ].permute(2, 0, 1)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[area] = alpha > 0
    return torch.where(mask, planted, image), mask


def _ink(text: str, image_size: tuple[int, int], font_size: int) -> np.ndarray:
    """Return ``uint8[h, w, 4]``: the text, cut to its own box, as large as fits the image."""
    for pixels in range(font_size, SMALLEST_FONT - 1, -1):
        font = ImageFont.load_default(pixels)
        stroke = max(1, round(pixels / 14))
        left, top, right, bottom = font.getbbox(text, stroke_width=stroke)
        width, height = int(np.ceil(right - left)), int(np.ceil(bottom - top))
        if width <= image_size[1] and height <= image_size[0]:
            layer = Pillow.new("RGBA", (width, height), (0, 0, 0, 0))
            ImageDraw.Draw(layer).text(
                (-left, -top),
                text,
                font=font,
                fill=(255, 255, 255, 255),
                stroke_width=stroke,
                stroke_fill=(0, 0, 0, 255),
            )
            return np.array(layer)
    raise InputError(
        f"An image for the text {text!r}",
        expected="larger",
        got=f"{image_size[0]} x {image_size[1]}",
        hint="Use shorter texts or a larger size.",
    )
