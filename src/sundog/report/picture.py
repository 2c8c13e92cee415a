"""Pictures of a page: a figure or an array becomes WebP in a data URI, small enough to mail."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from sundog.core.errors import InputError
from sundog.report.arrays import as_pixels
from sundog.report.save import figure_pixels

LEVELS: tuple[tuple[float, int], ...] = (
    (1.0, 86),
    (1.0, 72),
    (0.8, 72),
    (0.65, 66),
    (0.5, 60),
    (0.35, 55),
    (0.25, 50),
)
"""(scale, quality) from fine to coarse; the first at which the whole page fits is taken."""


@dataclass(frozen=True)
class Picture:
    """A figure or a picture with the words that stand for it.

    Attributes:
        source: a matplotlib figure, or ``[height, width, 3]`` ``uint8`` or float in [0, 1].
        caption: what the reader should see in it.
        alt: what it shows, for readers who cannot see it; required.
        kind: ``photo`` is compressed with loss, ``chart`` (lines and text) without.
    """

    source: Figure | NDArray[Any]
    caption: str
    alt: str
    kind: Literal["photo", "chart"] = "photo"

    def __post_init__(self) -> None:
        """Refuse a picture without words.

        Raises:
            InputError: empty alt text, or an unknown kind.
        """
        if not self.alt.strip():
            raise InputError("alt text", expected="a sentence that says what it shows", got="none")
        if self.kind not in ("photo", "chart"):
            raise InputError("kind of picture", expected="'photo' or 'chart'", got=repr(self.kind))

    @cached_property
    def _image(self) -> Image.Image:
        if isinstance(self.source, Figure):
            return Image.fromarray(figure_pixels(self.source))
        return Image.fromarray(as_pixels(self.source))


@dataclass(frozen=True)
class Encoded:
    """A picture ready for a page: size on screen in CSS pixels, and its data URI."""

    uri: str
    width: int
    height: int


def encode(picture: Picture, *, scale: float, quality: int) -> Encoded:
    """Encode one picture as WebP.

    Args:
        picture: what to encode.
        scale: of the pixels, in (0, 1]; the size on screen stays.
        quality: of lossy WebP, 1 to 100; charts stay lossless.

    Returns:
        The data URI with the size on screen (figures: 150 dpi shown at 96).
    """
    image = picture._image
    width, height = image.size
    on_screen = 96 / 150 if isinstance(picture.source, Figure) else 1.0
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if picture.kind == "chart":
        image.save(stream, "WEBP", lossless=True, quality=80, method=4)
    else:
        image.save(stream, "WEBP", quality=quality, method=4)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return Encoded(
        uri=f"data:image/webp;base64,{data}",
        width=max(1, round(width * on_screen)),
        height=max(1, round(height * on_screen)),
    )
