"""Rankings of the images of each class by concepts: from a sorter, or given by a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sundog.audit.align import plain_name
from sundog.audit.observed import Observed
from sundog.audit.subject import Subject
from sundog.concepts.sort_images import embed_images
from sundog.concepts.sorter import Sorter
from sundog.concepts.tagger import identity_hash
from sundog.core.errors import InputError, UnknownNameError

Concepts = Sequence[str] | Mapping[str, Sequence[str]]
"""Concepts for every class, or class -> concepts."""
Scores = dict[str, dict[str, Float[np.ndarray, "images"]]]


@dataclass(frozen=True, eq=False)
class Ranked:
    """What a sorter says.

    Attributes:
        scores: class -> concept -> score per image of the class, as :meth:`Observed.rows` orders
            them; NaN = not known.
        identity: hash of everything that the scores depend on.
        notes: in sentences.
    """

    scores: Scores
    identity: str
    notes: tuple[str, ...] = ()


def rank_images(
    subject: Subject,
    observed: Observed,
    sorter: Sorter,
    concepts: Concepts | None,
    classes: Sequence[str],
    *,
    cache: Path | None = None,
    workers: int = 2,
    progress: bool | None = None,
) -> Ranked:
    """Score the images of each class for its concepts.

    Args:
        subject: images and classifier.
        observed: predictions.
        sorter: looks at each image once.
        concepts: a list for every class, or class -> list; None: what the sorter proposes.
        classes: to look at.
        cache: folder of the sorter's vectors, or None.
        workers: threads that decode.
        progress: None shows it on a terminal.

    Raises:
        InputError: no concepts, and a sorter that proposes none.
        UnknownNameError: concepts of an unknown class.
    """
    given = _given(sorter, concepts, observed, classes)
    if cache is not None:
        sorter.use_cache(cache)
    found = embed_images(
        subject.image_set,
        sorter,
        cache=cache,
        batch_size=subject.batch_size,
        workers=workers,
        progress=progress,
    )
    asked = given if given is not None else _proposed(sorter, found.scores, observed, classes)
    scores: Scores = {}
    for name in classes:
        vectors = found.scores[observed.positions(name)]
        scores[name] = {
            text: sorter.score(vectors, text, name).astype(np.float64)
            for text in asked.get(name, ())
        }
    return Ranked(
        scores=scores,
        identity=identity_hash(
            {"sorter": sorter.score_identity(), "concepts": {k: list(v) for k, v in asked.items()}}
        ),
        notes=(*sorter.notes, *found.notes),
    )


def read_rankings(
    given: Mapping[str, Mapping[str, Any]],
    subject: Subject,
    observed: Observed,
    classes: Sequence[str],
) -> Scores:
    """Return given rankings as scores.

    Args:
        given: class -> concept -> ranking, or concept -> class -> ranking. A ranking is either
            integers, a permutation of ``0..n-1`` or of the positions in the image set of the n
            images of the class, best first; or floats, one score per image of the class in the
            order of the image set.
        subject: images.
        observed: predictions; images that were left out there are left out here.
        classes: that are looked at; classes without a ranking are left out.

    Raises:
        InputError: a ranking of the wrong length, or that is no permutation.
        UnknownNameError: neither the outer nor the inner names are classes.
    """
    plain = {plain_name(name): name for name in subject.class_names}
    by_class = _class_outside(given, plain)
    scores: Scores = {}
    for name, concepts in by_class.items():
        if name not in classes:
            continue
        label = subject.class_names.index(name)
        places = np.flatnonzero(subject.labels == label)
        kept = np.isin(places, observed.positions(name))
        scores[name] = {
            concept: _scores(values, places, f"The ranking of {concept!r} in class {name!r}")[kept]
            for concept, values in concepts.items()
        }
    return scores


def _class_outside(
    given: Mapping[str, Mapping[str, Any]], plain: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    outer = [plain_name(str(name)) in plain for name in given]
    if all(outer):
        return {plain[plain_name(str(name))]: dict(inner) for name, inner in given.items()}
    turned: dict[str, dict[str, Any]] = {}
    for concept, inner in given.items():
        for name, values in inner.items():
            if plain_name(str(name)) not in plain:
                wrong = str(next(n for n, known in zip(given, outer, strict=True) if not known))
                raise UnknownNameError("class", wrong if any(outer) else str(name), plain.values())
            turned.setdefault(plain[plain_name(str(name))], {})[str(concept)] = values
    return turned


def _scores(
    values: Any, places: np.ndarray[Any, np.dtype[np.int64]], what: str
) -> Float[np.ndarray, "images"]:
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    count = len(places)
    if array.shape != (count,):
        raise InputError(
            what,
            expected=f"one entry for each of the {count} images of the class",
            got=f"shape {list(array.shape)}",
        )
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    if array.dtype.kind not in "iu":
        raise InputError(what, expected="integers or floats", got=str(array.dtype))
    order = np.sort(array)
    for known in (np.arange(count), places):
        if np.array_equal(order, known):
            scores = np.empty(count)
            scores[np.searchsorted(known, array)] = np.arange(count, 0, -1)
            return scores
    raise InputError(
        what,
        expected=f"a permutation of 0..{count - 1}, or of the class's positions in the image set",
        got="other integers",
    )


def _given(
    sorter: Sorter, concepts: Concepts | None, observed: Observed, classes: Sequence[str]
) -> dict[str, list[str]] | None:
    """Return class -> concepts, or None if the sorter is to propose them."""
    if concepts is None:
        if type(sorter).propose is not Sorter.propose:
            return None
        raise InputError(
            f"Sorter {sorter.name!r}",
            expected="given concepts to rank by",
            got="none",
            hint="Name some (--concepts water,grass), or use a tagger.",
        )
    if isinstance(concepts, Mapping):
        plain = {plain_name(name): name for name in observed.class_names}
        for name in concepts:
            if plain_name(name) not in plain:
                raise UnknownNameError("class", name, observed.class_names)
        return {plain[plain_name(name)]: list(texts) for name, texts in concepts.items()}
    texts = [concepts] if isinstance(concepts, str) else list(concepts)
    return dict.fromkeys(classes, texts)


def _proposed(
    sorter: Sorter,
    embeddings: Float[np.ndarray, "images features"],
    observed: Observed,
    classes: Sequence[str],
) -> dict[str, list[str]]:
    """Return class -> what the sorter itself proposes for it."""
    labels = np.full(len(embeddings), -1, dtype=np.int64)
    for index, name in enumerate(classes):
        labels[observed.positions(name)] = index
    found = sorter.propose(embeddings.astype(np.float32), labels, list(classes))
    return {name: list(texts) for name, texts in found.items()}
