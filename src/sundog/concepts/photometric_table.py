"""The table of photometric tags: which measure, which direction, which threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sundog.concepts.photometric_border import measure_border
from sundog.concepts.photometric_colours import COLOUR_NAMES, colour_shares
from sundog.concepts.photometric_measures import (
    blockiness,
    blur_length,
    edge_share,
    stroke_density,
)
from sundog.concepts.photometric_view import view_image
from sundog.data.content import Pixels

MEASURES: dict[str, str] = {
    "lightness": "mean of L* / 100, in [0, 1]",
    "contrast": "standard deviation of L* / 100, in [0, 0.5]",
    "chroma": "mean of C* / 100",
    "red-green cast": "mean of a* / 100, > 0 towards red",
    "yellow-blue cast": "mean of b* / 100, > 0 towards yellow",
    "blur": "sqrt(mean |grad L*|^2 / mean |laplace L*|^2), % of the shorter side",
    "edges": "share of pixels with a lightness step over 10 to a neighbour",
    "strokes": "largest local share of thin bright lines beside thin dark ones",
    "blocks": "excess of luma steps on an 8-pixel grid over those off it",
    "shadows": "share of pixels with L* < 25",
    "highlights": "share of pixels with L* > 80",
    "strongest colour": "99th percentile of C* / 100",
    "plain border": "share of the outer ring that has one colour",
    "frame": "strip of one colour with an edge behind it, the weakest of the four sides",
    "bars": "the same at two opposite sides and not at the others",
    "size": "sqrt(height x width) of the image itself, pixels",
    "width / height": "of the image itself",
    "height / width": "of the image itself",
    "squareness": "shorter side / longer side",
    **{f"share of {name}": f"share of the pixels that are {name}" for name in COLOUR_NAMES},
}
"""Name -> formula of everything that is measured; L*, a*, b*, C* are CIELAB of the image reduced to
256 pixels at its longer side."""


@dataclass(frozen=True)
class PhotometricTag:
    """One row of the table; the score is ``offset + sign * measure``.

    Attributes:
        name: the tag.
        measure: key of :data:`MEASURES`.
        fixed: a threshold that needs no set; of relative tags about the upper fifth of 500
            photographs (Imagenette, 128 pixels).
        sign: 1 or -1.
        offset: added, so that scores in [0, 1] stay there.
        relative: whether the default threshold is the upper fifth of the set.
        low: a relative threshold is at least this ...
        high: ... and at most this, unless half of the set lies above.
    """

    name: str
    measure: str
    fixed: float
    sign: int = 1
    offset: float = 0.0
    relative: bool = False
    low: float = -np.inf
    high: float = np.inf

    @property
    def formula(self) -> str:
        """The score in words."""
        start = "" if self.offset == 0 else f"{self.offset:g} "
        sign = "- " if self.sign < 0 else ""
        return f"{start}{sign}{self.measure}: {MEASURES[self.measure]}"


def _both_tails(
    measure: str, lower: tuple[str, float], upper: tuple[str, float], *, offset: float = 0.0
) -> tuple[PhotometricTag, PhotometricTag]:
    """Return the tag of the lower and that of the upper fifth; fixed limits are of the measure."""
    (low_name, low), (high_name, high) = lower, upper
    return (
        PhotometricTag(low_name, measure, offset - low, sign=-1, offset=offset, relative=True),
        PhotometricTag(high_name, measure, high, relative=True),
    )


TAGS: dict[str, PhotometricTag] = {
    row.name: row
    for row in (
        *_both_tails("lightness", ("dark", 0.38), ("bright", 0.585), offset=1.0),
        *_both_tails("contrast", ("low contrast", 0.18), ("high contrast", 0.275), offset=1.0),
        *_both_tails("chroma", ("pale colours", 0.07), ("vivid colours", 0.21), offset=1.0),
        *_both_tails("blur", ("sharp", 0.465), ("blurry", 0.53)),
        *_both_tails("edges", ("plain", 0.13), ("busy", 0.33), offset=1.0),
        *_both_tails("red-green cast", ("greenish", -0.03), ("reddish", 0.045)),
        *_both_tails("yellow-blue cast", ("bluish", -0.02), ("yellowish", 0.12)),
        *_both_tails("size", ("small image", 64.0), ("large image", 1024.0)),
        *(
            PhotometricTag(
                f"much {name}", f"share of {name}", 0.25, relative=True, low=0.05, high=0.5
            )
            for name in COLOUR_NAMES
        ),
        PhotometricTag("low-key", "shadows", 0.5),
        PhotometricTag("high-key", "highlights", 0.5),
        PhotometricTag("greyscale", "strongest colour", 0.95, sign=-1, offset=1.0),
        PhotometricTag("plain border", "plain border", 0.95),
        PhotometricTag("frame", "frame", 0.7),
        PhotometricTag("bars at two sides", "bars", 0.7),
        PhotometricTag("text-like strokes", "strokes", 0.15),
        PhotometricTag("JPEG blocks", "blocks", 0.4),
        PhotometricTag("landscape", "width / height", 1.2),
        PhotometricTag("portrait", "height / width", 1.2),
        PhotometricTag("square", "squareness", 0.9),
    )
}


def measure_image(pixels: Pixels) -> dict[str, float]:
    """Return every measure of an image by the names of :data:`MEASURES`; NaN = not measurable.

    Args:
        pixels: ``uint8[height, width, 3]`` at its own size.
    """
    view = view_image(pixels)
    light, chroma = view.lightness, view.chroma
    border = measure_border(view.lab)
    height, width = pixels.shape[:2]
    return {
        "lightness": float(light.mean(dtype=np.float64)),
        "contrast": float(light.std(dtype=np.float64)),
        "chroma": float(chroma.mean(dtype=np.float64)) / 100,
        "red-green cast": float(view.lab[:, :, 1].mean(dtype=np.float64)) / 100,
        "yellow-blue cast": float(view.lab[:, :, 2].mean(dtype=np.float64)) / 100,
        "blur": blur_length(view),
        "edges": edge_share(view),
        "strokes": stroke_density(view),
        "blocks": blockiness(view),
        "shadows": float((light < 0.25).mean()),
        "highlights": float((light > 0.8).mean()),
        "strongest colour": float(np.percentile(chroma, 99)) / 100,
        "plain border": border.plain,
        "frame": border.frame,
        "bars": border.bars,
        "size": float(np.sqrt(height * width)),
        "width / height": width / height,
        "height / width": height / width,
        "squareness": min(height, width) / max(height, width),
        **{f"share of {name}": share for name, share in colour_shares(view.lab).items()},
    }
