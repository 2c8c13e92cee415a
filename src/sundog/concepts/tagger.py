"""The contract of a tagger: images in, a score per image and tag out."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Int64

from sundog.concepts.tag_scores import Scores, Thresholds
from sundog.core.errors import InputError
from sundog.data.content import Pixels
from sundog.data.image_set import ImageSet

_NO_PREVIEWS: Mapping[str, Pixels] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Rows:
    """Some images of a set, with everything that is known about them.

    Attributes:
        images: decoded, each ``uint8[height, width, 3]`` at its own size; empty if the receiver
            does not need them.
        ids: content hash of each.
        indices: ``int64[batch]``, positions in the image set.
        sources: where each came from: often its path relative to the set's folder.
        labels: ``int64[batch]``, -1 = unlabelled.
        metadata: one row per image, index 0..batch-1.
    """

    images: Sequence[Pixels]
    ids: tuple[str, ...]
    indices: Int64[np.ndarray, "batch"]
    sources: tuple[str, ...]
    labels: Int64[np.ndarray, "batch"]
    metadata: pd.DataFrame

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: Int64[np.ndarray, "chosen"]) -> Rows:
        """Return the rows at these positions of the batch."""
        return Rows(
            images=tuple(self.images[i] for i in chosen) if self.images else (),
            ids=tuple(self.ids[i] for i in chosen),
            indices=self.indices[chosen],
            sources=tuple(self.sources[i] for i in chosen),
            labels=self.labels[chosen],
            metadata=self.metadata.iloc[chosen].reset_index(drop=True),
        )


def rows_of(
    image_set: ImageSet,
    indices: Sequence[int] | Int64[np.ndarray, "batch"],
    images: Sequence[Pixels] = (),
) -> Rows:
    """Return the rows at ``indices``, with their decoded images or none.

    Raises:
        InputError: some images, but not one per index.
    """
    chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
    if len(images) not in (0, len(chosen)):
        raise InputError("images", expected=f"none, or {len(chosen)}", got=str(len(images)))
    return Rows(
        images=tuple(images),
        ids=tuple(image_set.ids[i] for i in chosen),
        indices=chosen,
        sources=tuple(image_set.sources[i] for i in chosen),
        labels=image_set.labels[chosen],
        metadata=image_set.metadata.iloc[chosen].reset_index(drop=True),
    )


class Tagger(ABC):
    """Says how much of each of its tags an image shows.

    The score of an image depends on nothing but that image and :meth:`identity`: not on the other
    images of the batch, the batch size or the number of threads. So scores are kept on disk, and
    thresholds, which are no part of the identity, are applied later.

    Attributes:
        name: short, e.g. ``photometric``.
        tag_names: one per tag, distinct and readable; known once the tagger is fitted.
        thresholds: ``float32[tags]``: present where score >= threshold; see :meth:`calibrate`.
        version: raised whenever the scores of the same image change; part of the identity.
        needs_images: False: it is asked with ``rows.images`` empty, and anew in every run, since
            its scores may depend on more than the image's content.
        fitted: False: :meth:`fit` must come first; :func:`~sundog.concepts.tag_images.tag_images`
            then calls it.
        notes: what was left out or could not be used, in sentences.
        previews: small pictures of what a tag looks like, by its name.
    """

    name: str
    tag_names: tuple[str, ...]
    thresholds: Thresholds
    version: int = 1
    needs_images: bool = True
    fitted: bool = True
    notes: tuple[str, ...] = ()
    previews: Mapping[str, Pixels] = _NO_PREVIEWS

    def fit(self, image_set: ImageSet, *, seed: int = 0, progress: bool | None = None) -> Self:
        """Learn from the set what there is to learn, and return the fitted tagger.

        A tagger that learns nothing returns itself; one that does returns a new object and stays
        as it was.

        Args:
            image_set: what to learn from.
            seed: of all draws.
            progress: True or False; None: shown on a terminal.
        """
        return self

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return everything that the scores depend on, as JSON values, without thresholds.

        Weights and learned dictionaries enter as hashes. It holds ``name`` and ``version``.
        """

    @abstractmethod
    def score(self, rows: Rows) -> Scores:
        """Return ``float32[batch, tags]``, higher = more of the tag; NaN = not known.

        Args:
            rows: images and what is known about them.
        """

    def calibrate(self, scores: Scores) -> Thresholds:
        """Return the thresholds to use for a set with these scores: ``self.thresholds``.

        A tagger whose tags are relative to the set (``dark`` among its images) overrides this.

        Args:
            scores: of the whole set, NaN = not known.
        """
        return self.thresholds


def identity_hash(identity: Mapping[str, Any]) -> str:
    """Return 32 hex digits of an identity: BLAKE2b of its canonical JSON.

    Raises:
        InputError: values that JSON does not have.
    """
    try:
        text = json.dumps(identity, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InputError("The identity", expected="JSON values", got=str(error)[:120]) from error
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()
