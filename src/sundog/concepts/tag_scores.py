"""What taggers return: a score per image and tag, names, and thresholds that are applied later."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Int64

from sundog.core.errors import InputError, UnknownNameError
from sundog.core.notebook import Card, InNotebook
from sundog.data.content import Pixels

Thresholds = Float32[np.ndarray, "tags"]
Scores = Float32[np.ndarray, "images tags"]
Present = Bool[np.ndarray, "images tags"]


@dataclass(frozen=True, eq=False, repr=False)
class TagScores(InNotebook):
    """How much of each tag each image shows.

    Attributes:
        tagger: short name, e.g. ``photometric``; joined ones are ``photometric + imagenet``.
        identity: hash of everything that the scores depend on; thresholds are no part of it.
        names: one per tag, distinct and readable.
        thresholds: ``float32[tags]``; a tag is present where its score >= threshold.
        scores: ``float32[images, tags]``, higher = more; NaN = not known for this image.
        ids: content hash of each image.
        previews: small pictures of what a tag looks like, ``uint8[height, width, 3]``, by name.
        notes: what the tagger left out or could not use, in sentences.

    Raises:
        InputError: shapes that do not agree, names that are empty or repeated, an infinite score,
            a NaN threshold, a preview of no tag.
    """

    tagger: str
    identity: str
    names: tuple[str, ...]
    thresholds: Thresholds
    scores: Scores
    ids: tuple[str, ...]
    previews: Mapping[str, Pixels] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores, dtype=np.float32)
        thresholds = np.asarray(self.thresholds, dtype=np.float32)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "thresholds", thresholds)
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "ids", tuple(self.ids))
        shape = (len(self.ids), len(self.names))
        if scores.shape != shape:
            raise InputError(
                "scores", expected=f"of shape {shape}: (ids, names)", got=str(scores.shape)
            )
        if thresholds.shape != shape[1:]:
            raise InputError(
                "thresholds", expected=f"one per tag ({shape[1]})", got=str(thresholds.shape)
            )
        repeated = [name for name, count in Counter(self.names).items() if count > 1]
        if repeated or not all(name.strip() for name in self.names):
            raise InputError(
                "Tag names",
                expected="distinct and not empty",
                got=f"repeats of {repeated[0]!r}" if repeated else "an empty name",
            )
        if np.isnan(thresholds).any():
            raise InputError("thresholds", expected="numbers", got="NaN")
        if np.isinf(scores).any():
            raise InputError("scores", expected="finite, or NaN for unknown", got="infinity")
        stray = sorted(set(self.previews) - set(self.names))
        if stray:
            raise InputError("previews", expected="of tags by name", got=repr(stray[0]))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unknown(self) -> Int64[np.ndarray, "tags"]:
        """Number of images for which each tag is not known (NaN)."""
        return np.isnan(self.scores).sum(axis=0).astype(np.int64)

    def present(self, thresholds: Thresholds | float | None = None) -> Present:
        """Return which image carries which tag: ``score >= threshold``; unknown counts as absent.

        Args:
            thresholds: one per tag or one for all; None: the tagger's own.

        Raises:
            InputError: of another shape, or NaN.
        """
        limits = self.thresholds if thresholds is None else np.asarray(thresholds, np.float32)
        if limits.shape not in ((), self.thresholds.shape) or np.isnan(limits).any():
            raise InputError(
                "thresholds",
                expected=f"one number, or one per tag ({len(self.names)})",
                got="NaN" if np.isnan(limits).any() else str(limits.shape),
            )
        return self.scores >= limits

    def column(self, name: str) -> Float32[np.ndarray, "images"]:
        """Return the scores of one tag.

        Raises:
            UnknownNameError: no such tag; suggests the nearest.
        """
        return self.scores[:, self._positions([name])[0]]

    def select(self, names: Sequence[str]) -> TagScores:
        """Return these tags alone, in this order.

        Raises:
            UnknownNameError: no such tag; suggests the nearest.
        """
        chosen = self._positions(names)
        return replace(
            self,
            names=tuple(names),
            thresholds=self.thresholds[chosen],
            scores=self.scores[:, chosen],
            previews={n: self.previews[n] for n in names if n in self.previews},
        )

    def rows(self, indices: Sequence[int] | Int64[np.ndarray, "chosen"]) -> TagScores:
        """Return these images alone, in this order.

        Raises:
            InputError: a position out of range.
        """
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise InputError(
                "indices", expected=f"in 0..{len(self) - 1}", got=f"{chosen.min()}..{chosen.max()}"
            )
        return replace(self, scores=self.scores[chosen], ids=tuple(self.ids[i] for i in chosen))

    def _positions(self, names: Sequence[str]) -> list[int]:
        table = {name: position for position, name in enumerate(self.names)}
        for name in names:
            if name not in table:
                raise UnknownNameError("tag", name, table)
        return [table[name] for name in names]

    def _card(self) -> Card:
        counts = (self.scores >= self.thresholds).sum(axis=0)
        order = np.argsort(-counts, kind="stable")
        rows = [
            {"tag": self.names[i], "images": int(counts[i]), "threshold": float(self.thresholds[i])}
            for i in order.tolist()
        ]
        return Card(
            headline=f"{len(self.names):,} tags of {len(self.ids):,} images by {self.tagger}",
            tables=[("Images that carry each tag", pd.DataFrame(rows))],
            notes=self.notes,
        )


@dataclass(frozen=True)
class DroppedTag:
    """A tag that was left out of a search, and why.

    Attributes:
        name: the tag.
        support: number of images that carry it.
        images: number of images.
        unknown: number of images for which it is not known.
        reason: one sentence.
    """

    name: str
    support: int
    images: int
    unknown: int
    reason: str


def join_scores(parts: Sequence[TagScores]) -> TagScores:
    """Put the tags of several taggers side by side.

    A name that several taggers use gets its tagger in front: ``imagenet: fence``; a name that
    still stands twice gets a number: ``csv: fence (2)``.

    Args:
        parts: of the same images in the same order, at least one.

    Raises:
        InputError: no part, or parts of other images.
    """
    if not parts:
        raise InputError("parts", expected="at least one", got="none")
    if any(part.ids != parts[0].ids for part in parts):
        raise InputError("parts", expected="scores of the same images in the same order")
    if len(parts) == 1:
        return parts[0]
    counts = Counter(name for part in parts for name in part.names)
    names: list[str] = []
    previews: dict[str, Pixels] = {}
    taken = {name for name, count in counts.items() if count == 1}
    for part in parts:
        for name in part.names:
            joined = name
            if counts[name] > 1:
                base, number = f"{part.tagger}: {name}", 2
                joined = base
                while joined in taken:
                    joined, number = f"{base} ({number})", number + 1
                taken.add(joined)
            names.append(joined)
            if name in part.previews:
                previews[joined] = part.previews[name]
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{part.tagger} {part.identity} {len(part.names)};".encode())
    return TagScores(
        tagger=" + ".join(dict.fromkeys(part.tagger for part in parts)),
        identity=digest.hexdigest(),
        names=tuple(names),
        thresholds=np.concatenate([part.thresholds for part in parts]),
        scores=np.concatenate([part.scores for part in parts], axis=1),
        ids=parts[0].ids,
        previews=previews,
        notes=tuple(f"{part.tagger}: {note}" for part in parts for note in part.notes),
    )


def drop_useless(
    scores: TagScores, present: Present | None = None, *, min_support: int = 1
) -> tuple[TagScores, Present, tuple[DroppedTag, ...]]:
    """Leave out the tags that cannot be compared, and say which.

    A tag stays if at least ``min_support`` images carry it and at least ``min_support`` do not.

    Args:
        scores: of n images and T tags.
        present: ``bool[n, T]``; None: ``scores.present()``.
        min_support: images on each side, >= 1: all-true and all-false tags go in any case.

    Returns:
        The scores and the presence of the tags that stay, and the tags that were dropped.

    Raises:
        InputError: a presence of another shape, or a minimum below 1.
    """
    carried = scores.present() if present is None else np.asarray(present)
    if carried.shape != scores.scores.shape or carried.dtype != np.bool_:
        raise InputError(
            "present",
            expected=f"bool of shape {scores.scores.shape}",
            got=f"{carried.dtype} of shape {carried.shape}",
        )
    if min_support < 1:
        raise InputError("min_support", expected=">= 1", got=str(min_support))
    images, support = len(scores), carried.sum(axis=0)
    kept: list[int] = []
    dropped: list[DroppedTag] = []
    for position, (count, unknown) in enumerate(zip(support, scores.unknown, strict=True)):
        if min(count, images - count) >= min_support:
            kept.append(position)
            continue
        side = "carry" if count < min_support else "lack"
        number = count if count < min_support else images - count
        dropped.append(
            DroppedTag(
                name=scores.names[position],
                support=int(count),
                images=images,
                unknown=int(unknown),
                reason=f"{number} of {images} images {side} it; at least {min_support} are needed",
            )
        )
    return scores.select([scores.names[i] for i in kept]), carried[:, kept], tuple(dropped)
