"""Another background: a texture that differs by class, outside a centred ellipse.

The object's own mask is not known, so the middle of the image is taken for the object.
"""

from __future__ import annotations

import torch

from sundog.data.cues.colours import class_colour
from sundog.data.cues.pixel import Mask
from sundog.data.cues.placement import check_share
from sundog.data.transforms import Image

PATTERNS = ("rows", "columns", "diagonals", "squares", "rings")


def plant_background(
    image: Image,
    code: int,
    count: int,
    draw: torch.Generator,
    *,
    keep: float = 0.85,
    period: float = 0.08,
) -> tuple[Image, Mask]:
    """Replace what lies outside the ellipse by the class's texture.

    The texture has two shades of the class's colour (full and 40 %) in one of five patterns
    (``class % 5``: rows, columns, diagonals, squares, rings).

    Args:
        image: ``float[3, height, width]`` in [0, 1].
        code: the class whose texture is shown.
        count: not used.
        draw: not used.
        keep: axes of the kept ellipse as a share of the image's height and width, in (0, 1].
        period: of the pattern as a share of the shorter side, at least two pixels.

    Returns:
        The image with the new background, and ``bool[height, width]``: the background.

    Raises:
        InputError: keep or period outside (0, 1].
    """
    check_share("keep", keep)
    check_share("period", period)
    height, width = image.shape[1:]
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - height / 2)[:, None]
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2)[None, :]
    mask = (2 * y / (keep * height)) ** 2 + (2 * x / (keep * width)) ** 2 > 1
    half = max(1.0, period * min(height, width) / 2)
    row, column = torch.floor(y / half), torch.floor(x / half)
    zero = torch.zeros(height, width, dtype=torch.float64)
    phase = {
        "rows": row + zero,
        "columns": column + zero,
        "diagonals": torch.floor((x + y) / half),
        "squares": row + column,
        "rings": torch.floor(torch.sqrt(x**2 + y**2) / half),
    }[PATTERNS[code % len(PATTERNS)]]
    shade = torch.where(phase % 2 == 0, 1.0, 0.4).to(image.dtype)
    colour = torch.tensor(class_colour(code), dtype=image.dtype)[:, None, None]
    return torch.where(mask, colour * shade, image), mask
