"""Images with the cue of another class: what a repair is judged by where no groups are known."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch
from jaxtyping import Bool

from sundog.core.errors import DataError
from sundog.core.seeds import derive_seed
from sundog.data.content import Pixels
from sundog.data.image_set import ImageSet
from sundog.debias.cue_editor import AgainstEditor
from sundog.models.prepared import PreparedImages

KINDS = ("own cue", "another's cue")
"""What an image of a judged part shows."""


def half_of(image_set: ImageSet, *, seed: int) -> Bool[np.ndarray, "images"]:
    """Return a random half of the images; it depends on their ids alone."""
    return np.array([derive_seed(seed, "another's cue", i) % 2 == 0 for i in image_set.ids])


def conflicting_view(
    images: PreparedImages, editor: AgainstEditor, chosen: Bool[np.ndarray, "images"], *, seed: int
) -> ImageSet:
    """Return the same images, the chosen ones with the cue of another class in place of their own.

    Labels, class names, order and metadata stay. The id of a chosen image is a hash of its own and
    of the edit; the others keep theirs.

    Args:
        images: at one size.
        editor: of these images.
        chosen: which of them are edited.
        seed: of the donors.
    """
    source = images.image_set
    made = json.dumps([editor.describe(), seed], sort_keys=True)
    labels = torch.from_numpy(source.labels)

    def read(row: int) -> Pixels:
        place = torch.tensor([row])
        batch = next(images.batches(place, batch_size=1), None)
        if batch is None:
            raise DataError(source.sources[row], expected="an image", got="one not decodable")
        shown = batch.images
        if chosen[row]:
            shown = editor.swapped(shown, place, seed=seed, avoid=labels[place])
        rounded = (shown[0] * 255).round().to(torch.uint8)
        return np.ascontiguousarray(rounded.permute(1, 2, 0).numpy())

    return ImageSet(
        name=source.name,
        class_names=source.class_names,
        labels=source.labels,
        ids=[
            _id(image, made) if edited else image
            for image, edited in zip(source.ids, chosen.tolist(), strict=True)
        ],
        sources=source.sources,
        read=read,
        metadata=source.metadata,
        skipped=[s for s in source.skipped if s.source not in set(source.sources)],
    )


def _id(image: str, made: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in (image, made):
        digest.update(len(part).to_bytes(8, "little") + part.encode())
    return digest.hexdigest()
