"""What image files say of themselves before they are decoded: size, kind of pixels, rotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image as Pillow

from sundog.data.streaming import ordered_map

PixelKind = Literal["colour", "grey", "alpha", "palette", "cmyk", "16 bit", "float", "other"]
_KINDS: dict[str, PixelKind] = {
    **{"RGB": "colour", "YCbCr": "colour", "L": "grey", "1": "grey", "F": "float"},
    **{"RGBA": "alpha", "LA": "alpha", "PA": "alpha", "La": "alpha", "RGBa": "alpha"},
    **{"P": "palette", "CMYK": "cmyk"},
}
_ORIENTATION = 0x0112
_THREADS = 8


@dataclass(frozen=True)
class Header:
    """The header of one image file.

    Attributes:
        height: in pixels, as stored (before EXIF's rotation).
        width: in pixels.
        kind: of the pixels; ``alpha`` also for a palette with transparency.
        orientation: EXIF's number, 1 (upright) to 8; 1 where there is none.
    """

    height: int
    width: int
    kind: PixelKind
    orientation: int

    @property
    def turned(self) -> bool:
        """Whether a viewer shows the image turned or mirrored."""
        return self.orientation != 1


def read_header(path: Path) -> Header | None:
    """Return a file's header, None for a file that is no readable image."""
    try:
        with Pillow.open(path) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            transparent = image.has_transparency_data
            kind = _KINDS.get(image.mode, "16 bit" if image.mode.startswith("I") else "other")
            return Header(
                height=image.height,
                width=image.width,
                kind="alpha" if transparent else kind,
                orientation=orientation if orientation in range(1, 9) else 1,
            )
    except Exception:  # as many kinds as Pillow has plug-ins; the set's reader reports broken files
        return None


def read_headers(paths: Sequence[Path]) -> list[Header | None]:
    """Return the header of each file, in order; nothing is decoded."""
    return list(ordered_map(read_header, paths, workers=_THREADS))
