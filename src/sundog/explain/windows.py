"""Rectangles that cover an image: the cells of a grid, or a window that slides over it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Labels

Pair = int | tuple[int, int]
"""One number for both axes, or (vertical, horizontal)."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Rectangles ``[top, bottom) x [left, right)`` in an image of a known size.

    Attributes:
        size: (height, width) of the image in pixels.
        top: ``int64[windows]`` first row of each window; the same for the three below.
        bottom: one past the last row.
        left: first column.
        right: one past the last column.
        shape: (windows down, windows across); window ``i * across + j`` is at (i, j).
    """

    size: tuple[int, int]
    top: Labels
    bottom: Labels
    left: Labels
    right: Labels
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.top)

    def masks(self, index: Labels) -> Tensor:
        """Return ``bool[len(index), height, width]``, True inside the windows ``index``."""
        rows = torch.arange(self.size[0], device=index.device)
        columns = torch.arange(self.size[1], device=index.device)
        down = (rows >= self.top[index, None]) & (rows < self.bottom[index, None])
        across = (columns >= self.left[index, None]) & (columns < self.right[index, None])
        return down[:, :, None] & across[:, None, :]


def pair(value: Pair, subject: str) -> tuple[int, int]:
    """Return (vertical, horizontal), both at least 1.

    Raises:
        InputError: not one or two integers >= 1.
    """
    both = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2 or not all(type(n) is int and n >= 1 for n in both):
        raise InputError(
            subject, expected="one integer >= 1, or two (vertical, horizontal)", got=repr(value)
        )
    return both


def grid_windows(size: tuple[int, int], grid: Pair, *, device: torch.device) -> Windows:
    """Return the cells of a grid: rows ``int(i H / S) ... int((i + 1) H / S) - 1``, no overlap.

    Raises:
        InputError: a grid that is not >= 1, or an image smaller than the grid.
    """
    shape = pair(grid, "grid")
    if size[0] < shape[0] or size[1] < shape[1]:
        raise InputError(
            "The grid",
            expected=f"at most as fine as the image, {size[0]} x {size[1]} pixels",
            got=f"{shape[0]} x {shape[1]} cells: the image is smaller than the grid",
            hint="Use a coarser grid or a larger image.",
        )
    edges = [[k * size[axis] // shape[axis] for k in range(shape[axis] + 1)] for axis in (0, 1)]
    return _cross(size, edges[0][:-1], edges[0][1:], edges[1][:-1], edges[1][1:], device)


def sliding_windows(
    size: tuple[int, int], window: Pair, stride: Pair | None, *, device: torch.device
) -> Windows:
    """Return windows at every ``stride`` pixels, the last ones cut off at the border.

    Raises:
        InputError: a window larger than the image, or a stride larger than the window (which
            would leave pixels that no window covers).
    """
    extent = pair(window, "window")
    step = extent if stride is None else pair(stride, "stride")
    if extent[0] > size[0] or extent[1] > size[1]:
        raise InputError(
            "window",
            expected=f"at most the image, {size[0]} x {size[1]} pixels",
            got=f"{extent[0]} x {extent[1]}: the image is smaller than the window",
        )
    if step[0] > extent[0] or step[1] > extent[1]:
        raise InputError(
            "stride",
            expected=f"at most the window, {extent[0]} x {extent[1]} pixels",
            got=f"{step[0]} x {step[1]}",
            hint="A larger stride leaves pixels that are never occluded.",
        )
    starts, ends = [], []
    for axis in (0, 1):
        count = -(-(size[axis] - extent[axis]) // step[axis]) + 1
        first = [k * step[axis] for k in range(count)]
        starts.append(first)
        ends.append([min(s + extent[axis], size[axis]) for s in first])
    return _cross(size, starts[0], ends[0], starts[1], ends[1], device)


def _cross(
    size: tuple[int, int],
    top: list[int],
    bottom: list[int],
    left: list[int],
    right: list[int],
    device: torch.device,
) -> Windows:
    down, across = len(top), len(left)

    def vertical(values: list[int]) -> Labels:
        return torch.tensor(values, device=device).repeat_interleave(across)

    def horizontal(values: list[int]) -> Labels:
        return torch.tensor(values, device=device).repeat(down)

    return Windows(
        size=size,
        top=vertical(top),
        bottom=vertical(bottom),
        left=horizontal(left),
        right=horizontal(right),
        shape=(down, across),
    )
