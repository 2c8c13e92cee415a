"""One shape for what layers return: convolutional maps, channels-last maps and ViT tokens."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sundog.core.errors import LayerError

MAX_PREFIX_TOKENS = 16
"""Class token, distillation token and registers together."""


def to_feature_map(
    activation: Tensor, image_size: tuple[int, int], *, prefix_tokens: int | None = None
) -> Float[Tensor, "batch channels rows columns"]:
    """Return a layer's output as a map ``[batch, channels, rows, columns]``.

    ``[b, c, h, w]`` passes through; channels-last ``[b, h, w, c]`` is recognised by the shape of
    the image and moved; tokens ``[b, n, c]`` lose their prefix tokens (class, distillation,
    registers) and become the grid that has the image's shape. The result is a view: gradients
    flow through it, and a gradient of the same shape can be reshaped in the same way.

    Args:
        activation: what the layer returned (or its gradient).
        image_size: (height, width) of the images in pixels.
        prefix_tokens: number of tokens before the patches; ``None`` finds it.

    Raises:
        LayerError: the output is no map of the image.
    """
    got = f"shape {tuple(activation.shape)} for {image_size[0]} x {image_size[1]} images"
    hint = "Name a convolutional block, or the norm before the last attention of a transformer."
    if activation.ndim == 4:
        if is_channels_last(activation.shape, image_size):
            return activation.permute(0, 3, 1, 2)
        return activation
    if activation.ndim != 3:
        raise LayerError(
            "The layer's output", expected="a map or a row of tokens", got=got, hint=hint
        )
    tokens = activation.shape[1]
    grid = token_grid(tokens, image_size, prefix_tokens=prefix_tokens)
    if grid is None:
        raise LayerError(
            "The layer's output",
            expected="tokens whose number makes a grid of the image's shape",
            got=got,
            hint=hint,
        )
    prefix, rows, columns = grid
    patches = activation[:, prefix:].transpose(1, 2)
    return patches.reshape(*patches.shape[:2], rows, columns)


def is_channels_last(shape: torch.Size | tuple[int, ...], image_size: tuple[int, int]) -> bool:
    """Return whether a 4D shape is ``[b, h, w, c]``: its aspect then fits the image, else not."""
    image = math.log(image_size[1] / image_size[0])
    first = abs(math.log(shape[3] / shape[2]) - image) if min(shape) > 0 else 0.0
    last = abs(math.log(shape[2] / shape[1]) - image) if min(shape) > 0 else 0.0
    return last + 1e-6 < first


def token_grid(
    tokens: int, image_size: tuple[int, int], *, prefix_tokens: int | None = None
) -> tuple[int, int, int] | None:
    """Return (prefix tokens, rows, columns), or ``None`` if no grid has the image's shape.

    A grid fits if one whole patch size gives its rows and columns, rounded down (patches cut off
    at the border) or up (padded). The fewest prefix tokens win; two or more are believed only
    with at least three patches each, because with enough of them any number makes a square.
    """
    prefixes = range(MAX_PREFIX_TOKENS + 1) if prefix_tokens is None else (prefix_tokens,)
    for prefix in prefixes:
        patches = tokens - prefix
        if prefix_tokens is None and prefix > 1 and patches < 3 * prefix:
            break
        for rows in _divisors(patches):
            columns = patches // rows
            if _one_patch_size(rows, columns, image_size):
                return prefix, rows, columns
    return None


def _divisors(number: int) -> list[int]:
    if number < 1:
        return []
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def _one_patch_size(rows: int, columns: int, image_size: tuple[int, int]) -> bool:
    """Return whether a whole patch size p has floor or ceil of (height/p, width/p) equal."""
    height, width = image_size
    if rows > height or columns > width:
        return False
    # floor(side / p) == count  <=>  side // (count + 1) < p <= side // count
    low = max(height // (rows + 1), width // (columns + 1)) + 1
    high = min(height // rows, width // columns)
    if low <= high:
        return True

    # ceil(side / p) == count  <=>  side / count <= p < side / (count - 1)
    def least(side: int, count: int) -> int:
        return -(-side // count)

    def most(side: int, count: int) -> int:
        return side if count == 1 else -(-side // (count - 1)) - 1

    low = max(least(height, rows), least(width, columns))
    high = min(most(height, rows), most(width, columns))
    return low <= high
