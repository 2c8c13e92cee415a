"""The contract of a sorter: the text of a concept in, how much of it each image shows out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from sundog.concepts.tagger import Rows
from sundog.core.errors import InputError

Embeddings = Float32[np.ndarray, "images features"]
Ranking = Float32[np.ndarray, "images"]


class Sorter(ABC):
    """Ranks images by how much of one concept they show.

    Two steps, so that an image is looked at once for all concepts: :meth:`embed` gives a vector
    per image, which is kept on disk under :meth:`identity`; :meth:`score` compares the vectors with
    a text. The vector of an image depends on nothing but that image and the identity; the score of
    an image on nothing but its vector, the concept and the class.

    Attributes:
        name: short, e.g. ``conse``.
        width: numbers in the vector of an image.
        version: raised whenever the vector of the same image changes; part of the identity.
        needs_images: False: :meth:`embed` is asked with ``rows.images`` empty.
        notes: what a reader of the ranking should know, in sentences.
    """

    name: str
    width: int
    version: int = 1
    needs_images: bool = True
    notes: tuple[str, ...] = ()

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return everything that the vectors depend on, as JSON values; weights as hashes."""

    @abstractmethod
    def embed(self, rows: Rows) -> Embeddings:
        """Return ``float32[batch, features]``, a vector per image.

        Args:
            rows: decoded images and what is known about them.
        """

    @abstractmethod
    def score(self, embeddings: Embeddings, concept: str, class_name: str | None) -> Ranking:
        """Return ``float32[images]``, higher = more of the concept; NaN = not known.

        Args:
            embeddings: of :meth:`embed`; rows of NaN are images that are not known.
            concept: a text in plain words, or one that the sorter itself proposed.
            class_name: the class in which the images are ranked: what makes them a member of the
                class is left out of the score (contrast). None: all classes together.

        Raises:
            InputError: a concept that is no text, or embeddings of another sorter.
        """

    def use_cache(self, cache: str | os.PathLike[str]) -> None:  # noqa: B027
        """Take a folder for what the sorter may keep beside image vectors; most keep nothing."""

    def score_identity(self) -> dict[str, Any]:
        """Return everything that the scores depend on: the vectors, the text side, parameters."""
        return self.identity()

    def propose(
        self,
        embeddings: Embeddings,
        labels: Int64[np.ndarray, "images"],
        class_names: Sequence[str],
    ) -> dict[str, tuple[str, ...]]:
        """Return concepts worth looking at, by class, most important first.

        A sorter that takes any text has none of its own: an empty table.

        Args:
            embeddings: of the images.
            labels: class of each image, -1 = unlabelled.
            class_names: one per class.
        """
        return {}


def check_concept(concept: object, *, what: str = "concept") -> str:
    """Return a concept or class name as plain words: underscores and repeated spaces become one.

    Raises:
        InputError: not a string, or one without a letter or digit.
    """
    if not isinstance(concept, str):
        raise InputError(what, expected="a text", got=type(concept).__name__)
    words = " ".join(concept.replace("_", " ").split())
    if not any(letter.isalnum() for letter in words):
        raise InputError(what, expected="a text with a letter or digit", got=repr(concept[:40]))
    return words


def check_embeddings(embeddings: Embeddings, width: int, *, sorter: str) -> Embeddings:
    """Refuse embeddings that are not ``[images, width]`` or hold infinity.

    Raises:
        InputError: says what came.
    """
    found = np.asarray(embeddings, dtype=np.float32)
    if found.ndim != 2 or found.shape[1] != width:
        raise InputError(
            f"The embeddings for sorter {sorter!r}",
            expected=f"of shape [images, {width}]",
            got=str(list(found.shape)),
            hint="They belong to another sorter or to another version of it.",
        )
    if np.isinf(found).any():
        raise InputError(f"The embeddings for sorter {sorter!r}", expected="finite or NaN")
    return found
