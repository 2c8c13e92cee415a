"""Arrays in memory as an image set: uint8, uint16 or float, channels last or first, or grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from torch import Tensor

from sundog.core.errors import DataError, InputError
from sundog.data.content import Pixels, pixel_id
from sundog.data.image_set import ImageSet, Skipped
from sundog.data.labels import resolve_labels
from sundog.data.sampling import balanced_sample

Layout = Literal["NHWC", "NCHW", "NHW"]


def from_arrays(
    images: Any,
    labels: Sequence[Any] | np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    *,
    layout: Layout | None = None,
    name: str = "arrays",
    metadata: pd.DataFrame | None = None,
    sources: Sequence[str] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Make an image set from an array of images of one size; they are not copied.

    uint8 is taken as is, uint16 as ``round(value / 257)``, float (in [0, 1]) as
    ``round(255 * value)``; one channel is repeated to three, a fourth (alpha) is composited on
    white. Ids are hashes of the resulting RGB pixels.

    Args:
        images: array or tensor ``[n, h, w, c]``, ``[n, c, h, w]`` (c = 1, 3 or 4) or ``[n, h, w]``.
        labels: one per image, names or class indices; None = unlabelled.
        class_names: in order; None: those that occur.
        layout: NHWC, NCHW or NHW; None if the shape leaves no doubt.
        name: shown in results.
        metadata: one row per image, or None.
        sources: what people see; None: ``name[i]``.
        limit: at most so many images, class-balanced.
        seed: of the draw of ``limit``.

    Returns:
        The set without images that hold NaN or infinity; those are in ``skipped``.

    Raises:
        DataError: wrong shape, type or range, an empty array, or lengths that differ.
    """
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    order = _layout(array, layout)
    count = len(array)
    if count == 0:
        raise DataError("images", expected="at least one image", got="an empty array")
    given = [None] * count if labels is None else _as_list(labels)
    if len(given) != count:
        raise DataError("labels", expected=f"one per image ({count})", got=str(len(given)))
    index, names = resolve_labels(given, class_names)
    texts = [f"{name}[{i}]" for i in range(count)] if sources is None else list(sources)
    chosen = balanced_sample(index, texts, limit=limit, seed=seed)

    def read(position: int) -> Pixels:
        return array_to_pixels(array[position], order)

    ids: list[str] = []
    keep: list[int] = []
    skipped: list[Skipped] = []
    for position in chosen.tolist():
        if array.dtype.kind == "f" and not np.isfinite(array[position]).all():
            skipped.append(Skipped(texts[position], "the image holds NaN or infinity"))
            continue
        ids.append(pixel_id(read(position)))
        keep.append(position)
    if not keep:
        raise DataError("images", expected="finite", got=f"NaN or infinity in all {len(chosen)}")
    return ImageSet(
        name=name,
        class_names=names,
        labels=index[keep],
        ids=ids,
        sources=[texts[i] for i in keep],
        read=lambda row: read(keep[row]),
        metadata=None if metadata is None else metadata.iloc[keep],
        skipped=skipped,
    )


def array_to_pixels(image: np.ndarray, layout: Layout) -> Pixels:
    """Convert one image of an array to uint8 RGB by the rules of :func:`from_arrays`.

    Args:
        image: ``[h, w, c]``, ``[c, h, w]`` or ``[h, w]``, as ``layout`` says without its N.
        layout: NHWC, NCHW or NHW.

    Raises:
        DataError: wrong type or range.
    """
    if layout == "NCHW":
        image = image.transpose(1, 2, 0)
    elif layout == "NHW":
        image = image[:, :, None]
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    elif image.dtype.kind == "f":
        low, high = float(image.min()), float(image.max())
        if not (low >= 0 and high <= 1):
            raise DataError(
                "float images",
                expected="finite and in [0, 1]",
                got=f"values from {low:.4g} to {high:.4g}",
                hint="Undo the normalisation, or divide by 255.",
            )
        image = np.rint(image * 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise DataError("images", expected="uint8, uint16 or float", got=str(image.dtype))
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] == 4:
        alpha = image[:, :, 3:].astype(np.uint32)
        colour = image[:, :, :3].astype(np.uint32) * alpha + 255 * (255 - alpha)
        return ((colour + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def _as_list(labels: Any) -> list[Any]:
    return labels.tolist() if hasattr(labels, "tolist") else list(labels)


def _layout(array: np.ndarray, layout: Layout | None) -> Layout:
    shape = array.shape
    if layout is not None and layout not in get_args(Layout):
        raise InputError("layout", expected=f"one of {get_args(Layout)}", got=repr(layout))
    found: list[Layout] = []
    if len(shape) == 3:
        found = ["NHW"]
    elif len(shape) == 4:
        if shape[3] in (1, 3, 4):
            found.append("NHWC")
        if shape[1] in (1, 3, 4):
            found.append("NCHW")
    if 0 in shape[1:] or not found or (layout is not None and layout not in found):
        raise DataError(
            "images",
            expected="[n, h, w, c], [n, c, h, w] (c = 1, 3 or 4) or [n, h, w], no side empty",
            got=f"shape {shape}" + (f" with layout {layout}" if layout else ""),
        )
    if layout is None and len(found) > 1:
        raise DataError(
            "layout",
            expected="given, because the shape allows two",
            got=f"shape {shape}",
            hint="Pass layout='NHWC' or layout='NCHW'.",
        )
    return layout or found[0]
