"""One pass over the images for any number of scorers: each image is decoded once, scores are kept.

An image is decoded only if a scorer does not have its numbers yet; identical images (equal ids)
are scored once. What an image shows depends on nothing else, so batches may be of any size.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from sundog.concepts.score_cache import Matrix, ScoreCache
from sundog.concepts.tagger import Rows, rows_of
from sundog.core.errors import DataError, InputError
from sundog.core.progress import track
from sundog.data.content import Pixels
from sundog.data.image_set import ImageSet
from sundog.data.streaming import ordered_map

BATCH_BYTES = 256 * 2**20
"""A batch is closed early when its decoded images hold so many bytes."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """A function of images whose numbers are worth keeping.

    Attributes:
        name: for people.
        identity: everything that the numbers depend on, as JSON values.
        width: numbers per image.
        score: ``rows -> float32[batch, width]``, the same for an image in any batch.
    """

    name: str
    identity: Mapping[str, Any]
    width: int
    score: Callable[[Rows], Matrix]


@dataclass(frozen=True, eq=False)
class Scored:
    """The numbers of one scorer.

    Attributes:
        scores: ``float32[images, width]``; a row of NaN for an image that cannot be decoded.
        decoded: ``bool[images]``: whether the image has numbers.
        notes: damaged blocks of the cache, in sentences.
    """

    scores: Matrix
    decoded: Bool[np.ndarray, "images"]
    notes: tuple[str, ...]


def score_images(
    image_set: ImageSet,
    scorers: Sequence[Scorer],
    *,
    cache: str | os.PathLike[str] | None = None,
    batch_size: int = 32,
    workers: int = 2,
    progress: bool | None = None,
    description: str = "Scoring images",
) -> list[Scored]:
    """Return the numbers of every scorer for every image.

    Args:
        image_set: images; those that cannot be decoded get NaN and are listed in its ``skipped``.
        scorers: each is asked for the images that it has not scored before.
        cache: folder that keeps the numbers; None keeps nothing.
        batch_size: images per call of a scorer, >= 1; fewer if they are large.
        workers: threads that decode, >= 0.
        progress: True or False; None: shown on a terminal.
        description: of the progress bar.

    Returns:
        One result per scorer, in their order.

    Raises:
        InputError: a bad number, or a scorer that returns another shape or infinity.
        DataError: an empty set, or not one image that can be decoded.
        RunFolderError: the cache cannot be written.
    """
    if batch_size < 1:
        raise InputError("batch_size", expected=">= 1", got=str(batch_size))
    if len(image_set) == 0:
        raise DataError(f"Image set {image_set.name!r}", expected="non-empty", got="no image")
    first: dict[str, int] = {}
    for position, image_id in enumerate(image_set.ids):
        first.setdefault(image_id, position)
    with contextlib.ExitStack() as stack:
        jobs = [_Job(scorer, image_set, cache, stack) for scorer in scorers]
        missing = [i for i in first.values() if not all(job.known[i] for job in jobs)]
        counted = track(missing, description=description, total=len(missing), visible=progress)
        for rows in decoded_rows(image_set, counted, batch_size=batch_size, workers=workers):
            for job in jobs:
                job.fill(rows)
    originals = np.array([first[image_id] for image_id in image_set.ids], dtype=np.int64)
    results = [job.result(originals) for job in jobs]
    if results and not any(result.decoded.any() for result in results):
        raise DataError(
            f"Image set {image_set.name!r}",
            expected="readable",
            got=f"{len(image_set)} images of which not one can be decoded",
            hint=f"First reason: {image_set.skipped[-1].reason}" if image_set.skipped else "",
        )
    return results


def decoded_rows(
    image_set: ImageSet, indices: Iterable[int], *, batch_size: int = 32, workers: int = 2
) -> Iterator[Rows]:
    """Decode images in threads and yield them in batches, in order.

    Images that cannot be decoded are left out and listed in ``image_set.skipped``. At most a
    batch (256 MB or ``batch_size`` images) and four images per worker are held.

    Args:
        image_set: images.
        indices: positions to decode.
        batch_size: images per batch, >= 1.
        workers: threads that decode, >= 0.

    Raises:
        InputError: a number of workers below 0.
    """

    def decode(index: int) -> tuple[int, Pixels | None]:
        try:
            return index, image_set.image(index)
        except DataError:  # recorded by image()
            return index, None

    held: list[tuple[int, Pixels]] = []
    held_bytes = 0
    for index, pixels in ordered_map(decode, indices, workers=workers):
        if pixels is not None:
            held.append((index, pixels))
            held_bytes += pixels.nbytes
        if len(held) == batch_size or held_bytes >= BATCH_BYTES:
            yield rows_of(image_set, [i for i, _ in held], [p for _, p in held])
            held, held_bytes = [], 0
    if held:
        yield rows_of(image_set, [i for i, _ in held], [p for _, p in held])


class _Job:
    """One scorer, its numbers so far and its cache."""

    def __init__(
        self,
        scorer: Scorer,
        image_set: ImageSet,
        cache: str | os.PathLike[str] | None,
        stack: contextlib.ExitStack,
    ) -> None:
        self._scorer = scorer
        self._cache: ScoreCache | None = None
        count = len(image_set)
        if cache is None:
            self.scores = np.full((count, scorer.width), np.nan, dtype=np.float32)
            self.known = np.zeros(count, dtype=bool)
            return
        opened = ScoreCache(cache, name=scorer.name, identity=scorer.identity, width=scorer.width)
        self._cache = stack.enter_context(opened)
        self.scores, self.known = opened.read(image_set.ids)

    def fill(self, rows: Rows) -> None:
        """Score those of the rows that are not known yet."""
        new = np.flatnonzero(~self.known[rows.indices])
        if not len(new):
            return
        part = rows if len(new) == len(rows) else rows.take(new)
        scores = check_scores(self._scorer.score(part), len(part), self._scorer)
        self.scores[part.indices] = scores
        self.known[part.indices] = True
        if self._cache is not None:
            self._cache.add(part.ids, scores)

    def result(self, originals: np.ndarray) -> Scored:
        """Return the numbers, those of identical images copied from their first one."""
        damaged = self._cache.damaged if self._cache is not None else []
        notes: tuple[str, ...] = ()
        if damaged:
            notes = (
                f"{len(damaged)} damaged blocks of the score cache were set aside and their "
                f"images scored again (first: {damaged[0]})",
            )
        return Scored(scores=self.scores[originals], decoded=self.known[originals], notes=notes)


def check_scores(scores: Matrix, count: int, scorer: Scorer) -> Matrix:
    """Return the scores as float32.

    Raises:
        InputError: not ``[count, width]`` numbers, or infinity among them.
    """
    found = np.asarray(scores, dtype=np.float32)
    if found.shape != (count, scorer.width):
        raise InputError(
            f"The scores of {scorer.name!r}",
            expected=f"of shape {(count, scorer.width)}: (images, numbers per image)",
            got=str(found.shape),
        )
    if np.isinf(found).any():
        raise InputError(f"The scores of {scorer.name!r}", expected="finite or NaN", got="infinity")
    return found
