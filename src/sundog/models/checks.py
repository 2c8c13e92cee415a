"""Checks of what a classifier is given: images in [0, 1], a class that exists."""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Labels, Logits


def check_images(images: Images) -> None:
    """Refuse images that are not ``float[batch, 3, height, width]`` in [0, 1] and finite."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        got = str(tuple(images.shape)) if isinstance(images, Tensor) else type(images).__name__
        raise InputError(
            "images",
            expected="a tensor [batch, 3, height, width]",
            got=got,
            hint="Add a batch axis with images[None]; grey images are repeated to 3 channels.",
        )
    if images.shape[0] == 0:
        raise InputError("images", expected="at least one image", got="an empty batch")
    if not images.is_floating_point():
        raise InputError(
            "images",
            expected="floating point in [0, 1]",
            got=str(images.dtype),
            hint="Divide by 255.",
        )
    low, high = float(images.detach().min()), float(images.detach().max())
    if not (low == low and high == high):
        bad = int(torch.isnan(images.detach()).flatten(1).any(dim=1).sum())
        raise InputError(
            "images",
            expected="finite",
            got=f"NaN in {bad} of {len(images)} images",
            hint="Drop or repair them before explaining.",
        )
    if low < -1e-4 or high > 1 + 1e-4:
        raise InputError(
            "images",
            expected="in [0, 1]",
            got=f"values from {low:.4g} to {high:.4g}",
            hint="Pass images before normalisation; the classifier normalises them itself.",
        )


def class_indices(target: object, *, device: torch.device | None = None) -> Labels:
    """Return a class, or one per image, as ``int64``; the shape is not checked.

    Raises:
        InputError: numbers that are no integers, which would be cut off to another class.
    """
    try:
        index = torch.as_tensor(target, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            "target", expected="a class or one class per image", got=type(target).__name__
        ) from error
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise InputError("target", expected="integers, class indices", got=str(index.dtype))
    return index.to(torch.int64)


def resolve_target(target: Labels | int | None, logits: Logits) -> Labels:
    """Return one class per image: the predicted one if ``target`` is None.

    Raises:
        InputError: a wrong number of classes, or a class out of range.
    """
    if target is None:
        return logits.argmax(dim=1)
    index = class_indices(target, device=logits.device)
    if index.ndim == 0:
        index = index.expand(len(logits)).contiguous()
    if index.shape != logits.shape[:1]:
        raise InputError(
            "target",
            expected=f"one class per image, shape ({len(logits)},)",
            got=str(tuple(index.shape)),
        )
    classes = logits.shape[1]
    if bool(((index < 0) | (index >= classes)).any()):
        raise InputError(
            "target",
            expected=f"a class in 0..{classes - 1}",
            got=f"classes from {int(index.min())} to {int(index.max())}",
        )
    return index
