"""Tag the images of a set with several taggers in one pass."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from sundog.concepts.score_images import Scorer, check_scores, score_images
from sundog.concepts.tag_scores import Scores, TagScores, join_scores
from sundog.concepts.tagger import Tagger, identity_hash, rows_of
from sundog.core.errors import DataError, InputError
from sundog.data.image_set import ImageSet

_ROWS_WITHOUT_IMAGES = 4096


def tag_images(
    image_set: ImageSet,
    taggers: Sequence[Tagger],
    *,
    cache: str | os.PathLike[str] | None = None,
    batch_size: int = 32,
    workers: int = 2,
    seed: int = 0,
    progress: bool | None = None,
) -> TagScores:
    """Return the scores of all tags of all taggers for every image.

    Each image is decoded once for all taggers (and not at all if the cache has its scores).
    Taggers that are not fitted yet are fitted to this set first. Thresholds are those of
    :meth:`Tagger.calibrate <sundog.concepts.tagger.Tagger.calibrate>` for the scores of this set.

    Args:
        image_set: images. One that cannot be decoded gets NaN from the taggers that look at
            images, and is listed in ``image_set.skipped``.
        taggers: at least one.
        cache: folder that keeps scores by image id and tagger, so that a killed run continues and
            another set with the same images is tagged at once; None keeps nothing. Several
            processes may share it.
        batch_size: images per call of a tagger, >= 1; no score depends on it.
        workers: threads that decode, >= 0.
        seed: of what taggers learn from the set.
        progress: True or False; None: shown on a terminal.

    Raises:
        InputError: no tagger, a bad number, or a tagger that returns another shape.
        DataError: an empty set, or taggers that need images and not one can be decoded.
        RunFolderError: the cache cannot be written.
    """
    if not taggers:
        raise InputError("taggers", expected="at least one", got="none")
    if len(image_set) == 0:
        raise DataError(f"Image set {image_set.name!r}", expected="non-empty", got="no image")
    ready = [t if t.fitted else t.fit(image_set, seed=seed, progress=progress) for t in taggers]
    scorers = [scorer_of(tagger) for tagger in ready]
    looking = [i for i, tagger in enumerate(ready) if tagger.needs_images]
    found = score_images(
        image_set,
        [scorers[i] for i in looking],
        cache=cache,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
        description="Tagging images",
    )
    by_position = dict(zip(looking, found, strict=True))
    parts: list[TagScores] = []
    for position, (tagger, scorer) in enumerate(zip(ready, scorers, strict=True)):
        scored = by_position.get(position)
        scores = _without_images(image_set, scorer) if scored is None else scored.scores
        parts.append(
            TagScores(
                tagger=tagger.name,
                identity=identity_hash(scorer.identity),
                names=tagger.tag_names,
                thresholds=tagger.calibrate(scores),
                scores=scores,
                ids=image_set.ids,
                previews=tagger.previews,
                notes=tuple(tagger.notes) + (() if scored is None else scored.notes),
            )
        )
    return join_scores(parts)


def scorer_of(tagger: Tagger) -> Scorer:
    """Return what :func:`~sundog.concepts.score_images.score_images` asks of a fitted tagger.

    Whoever scores images for other purposes too can score them for the tagger in the same pass:
    :func:`tag_images` then finds the scores in the cache.
    """
    names = list(tagger.tag_names)
    return Scorer(
        name=tagger.name,
        identity={"tagger": tagger.identity(), "tags": names},
        width=len(names),
        score=tagger.score,
    )


def _without_images(image_set: ImageSet, scorer: Scorer) -> Scores:
    """Return the scores of a tagger that does not look at the images."""
    parts = []
    for start in range(0, len(image_set), _ROWS_WITHOUT_IMAGES):
        stop = min(start + _ROWS_WITHOUT_IMAGES, len(image_set))
        rows = rows_of(image_set, np.arange(start, stop))
        parts.append(check_scores(scorer.score(rows), stop - start, scorer))
    return np.concatenate(parts)
