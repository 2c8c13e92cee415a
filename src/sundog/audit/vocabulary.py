"""Which tags are looked at in which class: not the class's own name, no constant, no tag twice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from sundog.audit.align import plain_name
from sundog.audit.observed import Observed
from sundog.concepts.tag_scores import TagScores
from sundog.core.errors import InputError


@dataclass(frozen=True, eq=False)
class ClassTags:
    """The tags of one class, for its images in the order of :meth:`Observed.classes`.

    Attributes:
        names: one per tag.
        present: ``bool[images, tags]``.
        scores: ``float32[images, tags]``.
        same: tag -> other tags that the very same images of the class carry ("not dark": all but
            those): one test for all.
        dropped: how many tags were left out, by reason.
    """

    names: tuple[str, ...]
    present: Bool[np.ndarray, "images tags"]
    scores: Float32[np.ndarray, "images tags"]
    same: Mapping[str, tuple[str, ...]]
    dropped: Mapping[str, int]


def class_tags(
    scores: TagScores,
    observed: Observed,
    classes: Sequence[str],
    *,
    only: Mapping[str, Sequence[str]] | None = None,
    thresholds: float | None = None,
    min_support: int = 1,
    names_too: bool = False,
) -> dict[str, ClassTags]:
    """Return what is to be tested in each class.

    Left out are tags that fewer than ``min_support`` images of the class carry, or lack; tags that
    name the class itself (that a "tench" without the tag "tench" is harder says nothing about
    bias); and, of tags that the same images of the class carry, or that part the class in the same
    two, all but the first.

    Args:
        scores: for every image of the image set.
        observed: predictions.
        classes: names of the classes to look at.
        only: class -> tags to look at; None: all.
        thresholds: one for all tags instead of the tags' own.
        min_support: images on each side.
        names_too: keep tags that name the class.

    Raises:
        UnknownNameError: ``only`` names a tag that is not there.
        InputError: ``only`` names a class that is not looked at.
    """
    stray = sorted(set(only or {}) - set(classes))
    if stray:
        raise InputError("concept_tags", expected="of classes that are looked at", got=stray[0])
    present = scores.present(thresholds)
    found = {}
    for name in classes:
        rows = observed.positions(name)
        columns = np.arange(len(scores.names))
        if only is not None:
            chosen = scores.select(list(only.get(name, ()))).names
            table = {tag: i for i, tag in enumerate(scores.names)}
            columns = np.array([table[tag] for tag in chosen], dtype=np.int64)
        found[name] = _of_class(
            scores, present[rows], rows, columns, name, min_support=min_support, names_too=names_too
        )
    return found


def shared_tags(
    scores: TagScores,
    observed: Observed,
    classes: Sequence[str],
    *,
    thresholds: float | None = None,
    min_support: int = 1,
) -> dict[str, ClassTags]:
    """Return the same tags for every class, to be compared over all classes together.

    Left out are tags that name one of the classes, tags that fewer than ``min_support`` images of
    all classes carry, or lack, and, of tags that part the images alike, all but the first.
    """
    rows = [observed.positions(name) for name in classes]
    every = np.concatenate([np.empty(0, dtype=np.int64), *rows])
    present = scores.present(thresholds)[every]
    carried = present.sum(axis=0)
    seen: set[bytes] = set()
    kept: list[int] = []
    for column, tag in enumerate(scores.names):
        enough = min(carried[column], len(every) - carried[column]) >= min_support
        if not enough or any(names_the_class(tag, name) for name in observed.class_names):
            continue
        key, other = (np.packbits(p[:, column]).tobytes() for p in (present, ~present))
        if key not in seen and other not in seen:
            seen.add(key)
            kept.append(column)
    ends = np.cumsum([0, *(len(part) for part in rows)])
    return {
        name: ClassTags(
            names=tuple(scores.names[i] for i in kept),
            present=present[start:end][:, kept],
            scores=scores.scores[part][:, kept],
            same={},
            dropped={},
        )
        for name, part, start, end in zip(classes, rows, ends[:-1], ends[1:], strict=True)
    }


def names_the_class(tag: str, class_name: str) -> bool:
    """Return whether a tag says the class's own name, whole: 'imagenet: golf ball', 'golf_ball'."""
    said = plain_name(re.sub(r"^[^:]*:\s*", "", tag))
    return plain_name(class_name) in (said, plain_name(tag))


def _of_class(
    scores: TagScores,
    present: Bool[np.ndarray, "images tags"],
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    columns: np.ndarray[tuple[int], np.dtype[np.int64]],
    class_name: str,
    *,
    min_support: int,
    names_too: bool,
) -> ClassTags:
    kept: list[int] = []
    same: dict[str, list[str]] = {}
    seen: dict[bytes, str] = {}
    dropped = dict.fromkeys(
        ("too few with it", "too few without it", "names the class", "twin", "opposite"), 0
    )
    for column in columns.tolist():
        tag = scores.names[column]
        carried = int(present[:, column].sum())
        if not names_too and names_the_class(tag, class_name):
            dropped["names the class"] += 1
        elif carried < min_support:
            dropped["too few with it"] += 1
        elif len(present) - carried < min_support:
            dropped["too few without it"] += 1
        else:
            key = np.packbits(present[:, column]).tobytes()
            other = np.packbits(~present[:, column]).tobytes()
            if key in seen:
                same.setdefault(seen[key], []).append(tag)
                dropped["twin"] += 1
            elif other in seen:
                same.setdefault(seen[other], []).append(f"not {tag}")
                dropped["opposite"] += 1
            else:
                seen[key] = tag
                kept.append(column)
    return ClassTags(
        names=tuple(scores.names[i] for i in kept),
        present=present[:, kept],
        scores=scores.scores[rows][:, kept],
        same={tag: tuple(others) for tag, others in same.items()},
        dropped={reason: count for reason, count in dropped.items() if count},
    )
