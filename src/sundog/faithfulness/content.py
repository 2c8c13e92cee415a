"""What was scored under an id: another picture or mask under the same id is never mixed in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sundog.core.errors import InputError, RunFolderError
from sundog.core.shapes import Images


class Contents:
    """The content that each id stands for, in this call and in the folder it continues."""

    def __init__(self) -> None:
        self._here: dict[str, str] = {}
        self._stored: dict[str, str] = {}

    def store(self, ids: Sequence[str], contents: Sequence[str]) -> None:
        """Note what the run folder holds."""
        self._stored.update(zip(ids, contents, strict=True))

    def check(self, ids: Sequence[str], contents: Sequence[str]) -> None:
        """Note the content of a batch.

        Raises:
            InputError: one id for two pictures.
            RunFolderError: the folder's scores belong to another picture or mask.
        """
        for one, content in zip(ids, contents, strict=True):
            if self._here.setdefault(one, content) != content:
                raise InputError(
                    "ids",
                    expected="one per picture",
                    got=f"{one!r} for two pictures that differ",
                    hint="Use content hashes, or numbers that run on from batch to batch.",
                )
            if self._stored.get(one, content) != content:
                raise RunFolderError(
                    "The run folder's scores",
                    expected="of the same pictures and masks",
                    got=f"another picture or mask for image {one!r} now",
                    hint="Choose another folder: the size, the resizing or the masks have changed.",
                )


def content_digests(images: Images, masks: Sequence[Tensor | None]) -> list[str]:
    """Return 16 hex digits per image from its pixels and its mask."""
    found = []
    for image, mask in zip(images.detach().cpu(), masks, strict=True):
        digest = hashlib.blake2b(digest_size=8)
        for tensor in (image, mask):
            if tensor is not None:
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
                raw = tensor.contiguous().flatten().view(torch.uint8)
                digest.update(raw.numpy().tobytes())
        found.append(digest.hexdigest())
    return found


def masks_of(
    ids: Sequence[str], masks: Mapping[str, ArrayLike | Tensor], size: tuple[int, int]
) -> list[Tensor | None]:
    """Return the mask of each image on the CPU, None where there is none.

    Raises:
        InputError: a mask of another size than the images.
    """
    found: list[Tensor | None] = []
    for one in ids:
        mask = masks.get(one)
        if mask is not None and not isinstance(mask, Tensor):
            mask = torch.from_numpy(np.array(mask))
        if mask is not None and tuple(mask.shape) != size:
            raise InputError(
                f"The mask of image {one!r}",
                expected=f"[height, width] = {size} like the image",
                got=str(tuple(mask.shape)),
            )
        found.append(None if mask is None else mask.detach().cpu())
    return found
