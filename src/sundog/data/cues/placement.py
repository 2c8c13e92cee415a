"""Where a box lies in an image: a corner, or a place drawn for each image."""

from __future__ import annotations

import torch

from sundog.core.errors import InputError

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right", "random")


def place_box(
    image_size: tuple[int, int],
    box_size: tuple[int, int],
    corner: str,
    *,
    margin: int,
    draw: torch.Generator,
) -> tuple[int, int]:
    """Return (top, left) of a box inside an image, the margin shrunk where there is no room.

    Args:
        image_size: (height, width) in pixels.
        box_size: (height, width) in pixels, not larger than the image.
        corner: one of :data:`CORNERS`; ``random`` is uniform over all places within the margin.
        margin: pixels between the box and the image's edge.
        draw: of this image; used by ``random`` alone.

    Raises:
        InputError: unknown corner.
    """
    if corner not in CORNERS:
        raise InputError("corner", expected=f"one of {CORNERS}", got=repr(corner))
    place = []
    for axis, far in ((0, corner.startswith("bottom")), (1, corner.endswith("right"))):
        slack = image_size[axis] - box_size[axis]
        edge = min(margin, slack // 2)
        if corner == "random":
            room = slack - 2 * edge + 1
            place.append(edge + int(torch.randint(room, (1,), generator=draw)))
        else:
            place.append(slack - edge if far else edge)
    return place[0], place[1]


def check_share(name: str, value: float, *, low: float = 0.0, high: float = 1.0) -> None:
    """Refuse a number outside (low, high].

    Raises:
        InputError: outside, or NaN.
    """
    if not low < value <= high:
        raise InputError(name, expected=f"in ({low:g}, {high:g}]", got=repr(value))
