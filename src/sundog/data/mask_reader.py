"""Where a cue lies in each image of a set: one mask per position, read when needed and kept."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from sundog.core.errors import DataError, InputError
from sundog.core.shapes import Labels
from sundog.data.decode import decode_image
from sundog.data.image_files import read_file
from sundog.data.image_set import ImageSet
from sundog.data.transforms import Resize, check_size, resize_image

COLUMN = "mask_path"
"""Metadata column with the file of each mask, as ``sundog plant`` writes it."""
_BLOCK = 64


def read_mask(
    name: str, root: str | Path, *, size: tuple[int, int], resize: Resize
) -> Bool[np.ndarray, "height width"]:
    """Return the mask in a file, brought to size as the images are.

    Args:
        name: of the file; absolute, or relative to ``root``.
        root: folder that relative names start from.
        size: (height, width) in pixels.
        resize: as for the images; a pixel belongs to the mask if at least half of it does.

    Raises:
        DataError: missing, not a regular file, or not an image that can be decoded.
    """
    try:
        pixels = decode_image(read_file(Path(root) / name))
    except DataError as error:
        raise DataError(
            f"Mask {name[:200]!r}",
            expected="a readable image",
            got=error.message,
            hint=f"Correct column {COLUMN!r}, or leave it empty for an image without a cue.",
        ) from error
    found: Bool[np.ndarray, "height width"] = (
        resize_image(pixels, size, resize=resize)[0].numpy() >= 0.5
    )
    return found


class MaskReader(Protocol):
    """Answers where the cue lies, for positions of one image set.

    Attributes:
        image_size: (height, width) of every mask, in pixels.
    """

    image_size: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of images of the set."""
        ...

    def __call__(
        self, indices: Labels | np.ndarray | Sequence[int]
    ) -> Bool[Tensor, "batch height width"]:
        """Return the masks of the images at these positions, True on the cue; on the CPU.

        An image without a cue has a mask that is False everywhere.
        """
        ...


class KeptMasks(ABC):
    """A reader that makes each mask once and keeps it with one bit per pixel.

    Args:
        count: images of the set.
        size: (height, width) or side, in pixels.
    """

    def __init__(self, count: int, size: int | tuple[int, int]) -> None:
        self.image_size = check_size(size)
        height, width = self.image_size
        self._bits = np.zeros((count, -(-height * width // 8)), dtype=np.uint8)
        self._known = np.zeros(count, dtype=bool)

    @abstractmethod
    def _read(self, index: int) -> Bool[np.ndarray, "height width"]:
        """Make the mask of one image."""

    def __len__(self) -> int:
        return len(self._known)

    def __call__(
        self, indices: Labels | np.ndarray | Sequence[int]
    ) -> Bool[Tensor, "batch height width"]:
        """Return the masks at positions, ``bool[batch, height, width]``.

        Raises:
            InputError: a position outside the set.
            DataError: a mask that cannot be read.
        """
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise InputError(
                "indices",
                expected=f"positions in 0..{len(self) - 1}",
                got=f"{chosen.min()}..{chosen.max()}",
                hint="Make the masks from the image set whose positions these are.",
            )
        for index in chosen[~self._known[chosen]].tolist():
            self._bits[index] = np.packbits(self._read(index))
            self._known[index] = True
        height, width = self.image_size
        flat = np.unpackbits(self._bits[chosen], axis=1, count=height * width)
        return torch.from_numpy(flat.reshape(len(chosen), height, width).astype(bool))


class ManifestMasks(KeptMasks):
    """Masks from the files that a manifest names; no name means no cue.

    Args:
        image_set: with a metadata column ``mask_path``.
        root: folder from which relative paths start (the manifest's).
        size: (height, width) or side, as for the images.
        resize: as for the images; a pixel belongs to the mask if at least half of it does.

    Raises:
        DataError: no such column.
    """

    def __init__(
        self,
        image_set: ImageSet,
        root: str | Path,
        *,
        size: int | tuple[int, int],
        resize: Resize = "pad",
    ) -> None:
        if COLUMN not in image_set.metadata.columns:
            raise DataError(
                f"Image set {image_set.name!r}",
                expected=f"with a column {COLUMN!r}",
                got=f"the columns {sorted(map(str, image_set.metadata.columns))}"[:200],
                hint="`sundog plant` writes one; or give the masks as an array (ArrayMasks).",
            )
        super().__init__(len(image_set), size)
        self._root = Path(root)
        self._names = image_set.metadata[COLUMN].tolist()
        self._resize = resize

    def _read(self, index: int) -> Bool[np.ndarray, "height width"]:
        name = self._names[index]
        if not isinstance(name, str) or not name:
            return np.zeros(self.image_size, dtype=bool)
        return read_mask(name, self._root, size=self.image_size, resize=self._resize)


class ArrayMasks(KeptMasks):
    """Masks that are in memory, say from a localised cue.

    Args:
        masks: ``bool[images, height, width]``, one per image of the set.

    Raises:
        InputError: another shape or type.
    """

    def __init__(self, masks: Bool[np.ndarray, "images height width"] | Tensor) -> None:
        array = masks.detach().cpu().numpy() if isinstance(masks, Tensor) else np.asarray(masks)
        if array.ndim != 3 or array.dtype != np.bool_ or 0 in array.shape[1:]:
            raise InputError(
                "masks",
                expected="bool[images, height, width], no side empty",
                got=f"{array.dtype} of shape {array.shape}",
            )
        height, width = (int(side) for side in array.shape[1:])
        super().__init__(len(array), (height, width))
        if len(array):
            self._bits = np.packbits(array.reshape(len(array), -1), axis=1)
        self._known[:] = True

    def _read(self, index: int) -> Bool[np.ndarray, "height width"]:
        return np.zeros(self.image_size, dtype=bool)  # never asked: all are known


def mask_areas(masks: MaskReader) -> np.ndarray:
    """Return ``int64[images]``, the number of cue pixels of each image."""
    parts = [
        masks(np.arange(start, min(start + _BLOCK, len(masks)))).sum(dim=(1, 2)).numpy()
        for start in range(0, len(masks), _BLOCK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def mask_digest(masks: MaskReader) -> str:
    """Return a hash of all masks and their size, for the identity of a run."""
    digest = hashlib.blake2b(repr((len(masks), *masks.image_size)).encode(), digest_size=16)
    for start in range(0, len(masks), _BLOCK):
        part = masks(np.arange(start, min(start + _BLOCK, len(masks)))).numpy()
        digest.update(np.packbits(part.reshape(len(part), -1), axis=1).tobytes())
    return digest.hexdigest()
