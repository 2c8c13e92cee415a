"""Image sets by kind, path and split, in the order in which inspection tools name them."""

from __future__ import annotations

import os
from typing import Any

from sundog.core.errors import InputError, UnknownNameError
from sundog.data.embedded import EMBEDDED
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set

KINDS = ("imagefolder", "manifest", "hdf5")
"""Kinds that are read from a path; the kind is also checked by what lies there."""


def get_dataset(
    name: str,
    path: str | os.PathLike[str] | None = None,
    split: str | None = None,
    **parameters: Any,
) -> ImageSet:
    """Open an image set: ``get_dataset("imagefolder", "/path/to/images", "val")``.

    Args:
        name: ``imagefolder``, ``manifest`` or ``hdf5`` with a path; or a source without one, such
            as ``digits`` or ``torchvision:CIFAR10``.
        path: folder or file.
        split: train, val, test or a synonym.
        parameters: of :func:`sundog.data.load.load_image_set`.

    Raises:
        UnknownNameError: another kind; suggests the nearest.
        InputError: a kind that needs a path without one, or a path too many.
        DataError: nothing usable there.
    """
    if name in KINDS:
        if path is None:
            raise InputError(f"get_dataset({name!r})", expected="given a path", got="none")
        return load_image_set(path, split=split, **parameters)
    if name not in EMBEDDED and ":" not in name:
        raise UnknownNameError("kind of image set", name, (*KINDS, *EMBEDDED))
    if path is not None:
        parameters["root"] = path
    return load_image_set(name, split=split, **parameters)
