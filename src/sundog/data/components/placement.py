"""The placement: where the content lies inside a uniform margin."""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.shapes import Images

_SAME = 0.03
"""A row or column belongs to the margin if it differs from the corner by less than this."""


def transfer_placement(images: Images, donors: Images) -> Images:
    """Shift each image so that its content is centred where its donor's is.

    The content is what is left without the rows and columns that have the colour of a corner;
    what the shift uncovers takes the colour of the margin. Images without a margin stay. Carries
    the place of an object on a plain ground, or of a picture on a page.

    Args:
        images: ``float[batch, 3, height, width]`` in [0, 1].
        donors: of the same shape.
    """
    own, margin = _content(images)
    theirs, _ = _content(donors)
    steps = torch.round((theirs - own) / 2).to(torch.int64).tolist()
    found = images.clone()
    height, width = images.shape[-2:]
    for row, (down, right) in enumerate(steps):
        if down == 0 and right == 0:
            continue
        moved = margin[row, :, None, None].expand(3, height, width).clone()
        top, bottom = max(0, down), min(height, height + down)
        left, end = max(0, right), min(width, width + right)
        if top < bottom and left < end:
            moved[:, top:bottom, left:end] = images[
                row, :, top - down : bottom - down, left - right : end - right
            ]
        found[row] = moved
    return found


def _content(images: Images) -> tuple[Tensor, Tensor]:
    """Return first + last row and column of the content, and the colour of the margin.

    Images without a margin count as filled: their content is the whole image.
    """
    batch, _, height, width = images.shape
    corners = torch.stack([images[:, :, y, x] for y in (0, -1) for x in (0, -1)], dim=1)
    best = torch.zeros(batch, 2, device=images.device)
    best[:] = torch.tensor([height - 1.0, width - 1.0], device=images.device)
    colour = corners[:, 0].clone()
    least = torch.full((batch,), float(height * width), device=images.device)
    for corner in corners.unbind(1):
        far = (images - corner[:, :, None, None]).abs().amax(dim=1) > _SAME
        rows, columns = far.any(dim=2), far.any(dim=1)
        first_row, last_row = _ends(rows)
        first_column, last_column = _ends(columns)
        area = (last_row - first_row + 1) * (last_column - first_column + 1)
        better = (area < least) & rows.any(dim=1)
        least = torch.where(better, area, least)
        sums = torch.stack([first_row + last_row, first_column + last_column], dim=1)
        best = torch.where(better[:, None], sums, best)
        colour = torch.where(better[:, None], corner, colour)
    return best, colour


def _ends(lines: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and last true position of each row of ``bool[batch, length]``."""
    length = lines.shape[1]
    found = lines.to(torch.int8)
    return found.argmax(dim=1).float(), length - 1 - found.flip(1).argmax(dim=1).float()
