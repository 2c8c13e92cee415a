"""Images of each class ranked by each of its concepts, every image looked at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from sundog.concepts.score_images import Scored, Scorer, score_images
from sundog.concepts.sorter import Ranking, Sorter, check_concept
from sundog.core.errors import InputError, UnknownNameError
from sundog.data.image_set import ImageSet

Rankings = dict[str, dict[str, Ranking]]
"""class -> concept -> ``float32[images of the class]``, in the order of the image set."""


def embed_images(
    image_set: ImageSet,
    sorter: Sorter,
    *,
    cache: str | os.PathLike[str] | None = None,
    batch_size: int = 32,
    workers: int = 2,
    progress: bool | None = None,
) -> Scored:
    """Return the sorter's vector of every image, from the cache where it is there.

    Args:
        image_set: images; those that cannot be decoded get NaN and are listed in its ``skipped``.
        sorter: what looks at them.
        cache: folder that keeps the vectors; None keeps nothing.
        batch_size: images per call of the sorter, >= 1.
        workers: threads that decode, >= 0.
        progress: True or False; None: shown on a terminal.

    Raises:
        DataError: an empty set, or not one image that can be decoded.
        RunFolderError: the cache cannot be written.
    """
    if cache is not None:
        sorter.use_cache(cache)
    scorer = Scorer(
        name=sorter.name, identity=sorter.identity(), width=sorter.width, score=sorter.embed
    )
    (found,) = score_images(
        image_set,
        [scorer],
        cache=cache,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
        description=f"Looking at images ({sorter.name})",
    )
    return found


def sort_images(
    image_set: ImageSet,
    sorter: Sorter,
    concepts: Mapping[str, Sequence[str]],
    *,
    class_labels: Int64[np.ndarray, "images"] | None = None,
    cache: str | os.PathLike[str] | None = None,
    batch_size: int = 32,
    workers: int = 2,
    progress: bool | None = None,
) -> Rankings:
    """Return how much of each concept the images of each class show.

    Only the images of the classes that are asked for are looked at.

    Args:
        image_set: images with class names.
        sorter: what ranks them.
        concepts: class -> its concepts.
        class_labels: ``int64[images]``, index of the class of each image, -1 = none; None: the
            labels of the image set.
        cache: folder that keeps the sorter's vectors; None keeps nothing.
        batch_size: images per call of the sorter, >= 1.
        workers: threads that decode, >= 0.
        progress: True or False; None: shown on a terminal.

    Returns:
        class -> concept -> ``float32[images of the class]`` in image-set order, higher = more of
        the concept in contrast with the class; NaN for an image that cannot be decoded. A class
        without images has empty rankings.

    Raises:
        UnknownNameError: a class that the image set does not have, or a concept that the sorter
            does not know.
        InputError: a concept that is no text, no concept, a repeated one, or labels of another
            length.
        DataError: no image at all, or not one that can be decoded.
    """
    positions = {name: index for index, name in enumerate(image_set.class_names)}
    for name, texts in concepts.items():
        if name not in positions:
            raise UnknownNameError("class", str(name), positions)
        _check_texts(name, texts)
    labels = image_set.labels if class_labels is None else np.asarray(class_labels)
    if labels.shape != (len(image_set),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            "class_labels",
            expected=f"one class index per image ({len(image_set)})",
            got=f"{labels.dtype}{list(labels.shape)}",
        )
    chosen = np.flatnonzero(np.isin(labels, [positions[name] for name in concepts]))
    if not concepts or not len(chosen):
        return {
            name: {text: np.empty(0, np.float32) for text in texts}
            for name, texts in concepts.items()
        }
    found = embed_images(
        image_set.subset(chosen),
        sorter,
        cache=cache,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    )
    rankings: Rankings = {}
    for name, texts in concepts.items():
        vectors = found.scores[labels[chosen] == positions[name]]
        rankings[name] = {text: sorter.score(vectors, text, name) for text in texts}
    return rankings


def _check_texts(class_name: str, texts: Sequence[str]) -> None:
    what = f"The concepts of class {class_name!r}"
    if isinstance(texts, str):
        raise InputError(what, expected="a list of texts", got="one text", hint="Put it in [ ].")
    for text in texts:
        check_concept(text, what=f"A concept of class {class_name!r}")
    if len(set(texts)) != len(texts):
        raise InputError(what, expected="distinct", got="repeats")
