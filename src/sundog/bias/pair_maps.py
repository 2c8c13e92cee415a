"""Where the relevance of a map lies, one image at a time: how concentrated, and where.

The statistics need no mask and no idea of a cue. They are compared between models over the same
images (:mod:`sundog.bias.pair_evidence`); they propose, and never decide.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer

from sundog.core.errors import InputError

TOP_SHARE = 0.005
"""Share of the pixels whose relevance is the ``top_mass``."""
OVERLAP_SHARE = 0.05
"""Share of the pixels whose places are compared between two maps."""
COLUMNS = (
    "top_mass", "entropy", "centre_row", "centre_column", "peak_row", "peak_column",
)  # fmt: skip

MapArray = Float[np.ndarray, "batch height width"]


def map_statistics(maps: MapArray, *, top_share: float = TOP_SHARE) -> pd.DataFrame:
    """Describe each map by the share of relevance that each pixel holds, ``p = |m| / sum |m|``.

    - ``top_mass``: sum of p over the ``k`` largest, ``k = max(1, round(top_share * pixels))``;
      from ``k / pixels`` (flat) to 1.
    - ``entropy``: ``-sum p log p / log(pixels)``; 1 = flat, 0 = a single pixel.
    - ``centre_row``, ``centre_column``: mean place under p, as shares of height and width.
    - ``peak_row``, ``peak_column``: place of the largest p (the first of equals in reading order).

    Args:
        maps: ``float[batch, height, width]``, any scale and sign.
        top_share: in (0, 1].

    Returns:
        A row per map with the columns :data:`COLUMNS`, float64; NaN for a map that is zero
        everywhere or not finite.

    Raises:
        InputError: another shape, or ``top_share`` out of range.
    """
    values = check_maps(maps)
    if not 0 < top_share <= 1:
        raise InputError("top_share", expected="in (0, 1]", got=str(top_share))
    batch, height, width = values.shape
    share = _shares(values)
    flat = share.reshape(batch, -1)
    k = max(1, round(top_share * height * width))
    rows = (np.arange(height) + 0.5) / height
    columns = (np.arange(width) + 0.5) / width
    filled = np.where(np.isnan(flat), 0.0, flat)
    peak = filled.argmax(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(flat > 0, np.log(np.where(flat > 0, flat, 1.0)), 0.0)
    whole = math.log(height * width) if height * width > 1 else 1.0
    found = pd.DataFrame(
        {
            "top_mass": np.sort(filled, axis=1)[:, -k:].sum(axis=1),
            "entropy": -(filled * logs).sum(axis=1) / whole,
            "centre_row": np.where(np.isnan(share), 0.0, share).sum(axis=2) @ rows,
            "centre_column": np.where(np.isnan(share), 0.0, share).sum(axis=1) @ columns,
            "peak_row": rows[peak // width],
            "peak_column": columns[peak % width],
        },
        columns=list(COLUMNS),
    )
    found.loc[np.isnan(flat).any(axis=1), :] = math.nan
    return found


def top_overlap(
    a: MapArray, b: MapArray, *, share: float = OVERLAP_SHARE
) -> Float[np.ndarray, " batch"]:
    """Return how far the largest pixels of two maps of each image are the same ones.

    Intersection over union of the ``k`` pixels with the largest ``|m|`` of each map,
    ``k = max(1, round(share * pixels))``; of equal pixels the first in reading order counts.

    Args:
        a: ``float[batch, height, width]``.
        b: maps of the same images.
        share: in (0, 1].

    Returns:
        ``float64[batch]`` in [0, 1]; NaN if a map is zero everywhere or not finite.

    Raises:
        InputError: different shapes, or ``share`` out of range.
    """
    first, second = check_maps(a), check_maps(b)
    if first.shape != second.shape:
        raise InputError(
            "Maps of two models", expected="of one shape", got=f"{first.shape} and {second.shape}"
        )
    if not 0 < share <= 1:
        raise InputError("share", expected="in (0, 1]", got=str(share))
    k = max(1, round(share * first.shape[1] * first.shape[2]))
    sets = [_largest(np.abs(values).reshape(len(values), -1), k) for values in (first, second)]
    overlap = np.empty(len(first))
    for index, (x, y) in enumerate(zip(*sets, strict=True)):
        shared = np.intersect1d(x, y, assume_unique=True).size
        overlap[index] = shared / (2 * k - shared)
    empty = np.isnan(_shares(first)) | np.isnan(_shares(second))
    overlap[empty.any(axis=(1, 2))] = math.nan
    return overlap


def check_maps(maps: MapArray) -> Float[np.ndarray, "batch height width"]:
    """Return maps as float64.

    Raises:
        InputError: not ``[batch, height, width]``.
    """
    values = np.asarray(maps, dtype=np.float64)
    if values.ndim != 3 or 0 in values.shape[1:]:
        raise InputError("maps", expected="[batch, height, width]", got=f"shape {values.shape}")
    return values


def _shares(values: Float[np.ndarray, "batch height width"]) -> Float[np.ndarray, "b h w"]:
    """Return ``|m| / sum |m|``; NaN for a map that has none."""
    size = np.abs(values)
    # Divided by the largest first, so that a sum of huge values stays finite.
    largest = size.max(axis=(1, 2), keepdims=True)
    usable = np.isfinite(largest) & (largest > 0)
    scaled = np.where(usable, size, math.nan) / np.where(usable, largest, 1.0)
    return np.asarray(scaled / scaled.sum(axis=(1, 2), keepdims=True))


def _largest(sizes: Float[np.ndarray, "batch pixels"], k: int) -> Integer[np.ndarray, "batch k"]:
    return np.argsort(-sizes, axis=1, kind="stable")[:, :k]
