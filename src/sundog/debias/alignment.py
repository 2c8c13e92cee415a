"""Alignment of a cue with the labels: can reweighting the training images break it at all?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, wilson_interval
from sundog.debias.groups import make_groups

UNKNOWN, ALIGNED, CONFLICTING, CUE_FREE = -1, 0, 1, 2
"""What an image is, in :attr:`Alignment.kind`."""


@dataclass(frozen=True)
class ClassAlignment:
    """One class and the cue.

    Attributes:
        name: of the class.
        agrees_with: value of the attribute that goes with the class; "" if it has no images.
        n: images with known attribute.
        aligned: images with that value.
        conflicting: images with another value.
        cue_free: images that carry no cue.
        locked: its images share no value with any other class: whatever their weights, the cue
            tells the class.
    """

    name: str
    agrees_with: str
    n: int
    aligned: int
    conflicting: int
    cue_free: int
    locked: bool


@dataclass(frozen=True, eq=False)
class Alignment:
    """How closely a cue follows the labels of the training images.

    Attributes:
        share: aligned images among those with a cue, with Wilson interval; 1 = always.
        classes: one row per class.
        kind: ``int64[images]``, 0 aligned, 1 conflicting, 2 without cue, -1 unknown.
        locked: names of classes that the cue tells for certain.
        reweighting_possible: whether some weights could make the cue say less about every class:
            False as soon as one class is locked.
        unknown: images whose label or attribute is not known.
        advice: one or two sentences to show.
    """

    share: Estimate
    classes: tuple[ClassAlignment, ...]
    kind: Int64[np.ndarray, "images"]
    locked: tuple[str, ...]
    reweighting_possible: bool
    unknown: int
    advice: str

    @property
    def conflicting(self) -> NDArray[np.bool_]:
        """``bool[images]``: the cue speaks for another class."""
        return self.kind == CONFLICTING

    @property
    def table(self) -> pd.DataFrame:
        """One row per class, with the fields of :class:`ClassAlignment`."""
        return pd.DataFrame([asdict(row) for row in self.classes])

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the images as JSON."""
        share = {k: None if v != v else v for k, v in self.share.to_dict().items()}
        return {
            "share": share,
            "classes": [asdict(row) for row in self.classes],
            "locked": list(self.locked),
            "reweighting_possible": self.reweighting_possible,
            "unknown": self.unknown,
            "advice": self.advice,
        }


def measure_alignment(
    labels: Int64[np.ndarray, "images"],
    attribute: Shaped[np.ndarray, "images"],
    *,
    class_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] | None = None,
    agrees_with: Sequence[int] | None = None,
    absent: int | None = None,
    level: float = 0.95,
) -> Alignment:
    """Return how many images carry the cue that agrees with their label, and what follows.

    A class is locked if no other class has an image with any of its values: reweighting then
    cannot take the cue away from it. If every class is locked (alignment 1, no conflicting and no
    cue-free image) only new images help: pairs with and without the cue, a mask of it, or clean
    data.

    Args:
        labels: ``int64[n]`` class per training image, -1 = unlabelled.
        attribute: ``int64[n]`` value of the cue per image, -1 = unknown; booleans: cue present.
        class_names: one per class.
        attribute_names: one per value.
        agrees_with: value that agrees with each class; None takes the value whose share in the
            class exceeds its mean share in the other classes by most.
        absent: value that means "no cue"; such images are neither aligned nor conflicting. None:
            every value counts.
        level: confidence level.

    Raises:
        InputError: lists or values that do not fit, fewer than two classes with images.
    """
    groups = make_groups(
        labels, attribute, class_names=class_names, attribute_names=attribute_names
    )
    kinds = len(groups.attribute_names)
    counts = groups.counts.reshape(-1, kinds)
    sizes = counts.sum(axis=1)
    filled = np.flatnonzero(sizes)
    if filled.size < 2:
        raise InputError(
            "labels", expected="at least two classes with images", got=f"{filled.size}"
        )
    if absent is not None and not 0 <= absent < kinds:
        raise InputError("absent", expected=f"in 0..{kinds - 1}", got=str(absent))
    with_class = _agreeing(counts, agrees_with, absent)
    known = groups.ids >= 0
    own, value = groups.ids // kinds, groups.ids % kinds
    kind = np.where(value == with_class[own], ALIGNED, CONFLICTING)
    if absent is not None:
        kind[value == absent] = CUE_FREE
    kind[~known] = UNKNOWN
    kind = kind.astype(np.int64)
    support = counts > 0
    rows = []
    for c, name in enumerate(groups.class_names):
        others = np.delete(support, c, axis=0).any(axis=0)
        mine = kind[known & (own == c)]
        rows.append(
            ClassAlignment(
                name=name,
                agrees_with=groups.attribute_names[with_class[c]] if sizes[c] else "",
                n=int(sizes[c]),
                aligned=int((mine == ALIGNED).sum()),
                conflicting=int((mine == CONFLICTING).sum()),
                cue_free=int((mine == CUE_FREE).sum()),
                locked=bool(sizes[c]) and not bool((support[c] & others).any()),
            )
        )
    aligned, cued = int((kind == ALIGNED).sum()), int(np.isin(kind, (ALIGNED, CONFLICTING)).sum())
    share = wilson_interval(aligned, cued, level=level)
    locked = tuple(row.name for row in rows if row.locked)
    return Alignment(
        share=share,
        classes=tuple(rows),
        kind=kind,
        locked=locked,
        reweighting_possible=not locked,
        unknown=groups.unknown,
        advice=_advise(rows, locked, share, varies=int(support.any(axis=0).sum()) > 1),
    )


def _agreeing(
    counts: Int64[np.ndarray, "classes values"],
    given: Sequence[int] | None,
    absent: int | None,
) -> Int64[np.ndarray, "classes"]:
    classes, kinds = counts.shape
    if given is not None:
        chosen = np.asarray(given)
        if chosen.shape != (classes,) or chosen.dtype.kind not in "iu":
            raise InputError(
                "agrees_with", expected=f"one value per class ({classes})", got=f"{chosen.shape}"
            )
        if chosen.min() < 0 or chosen.max() >= kinds:
            raise InputError(
                "agrees_with", expected=f"in 0..{kinds - 1}", got=f"{chosen.min()}..{chosen.max()}"
            )
        return chosen.astype(np.int64)
    sizes = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(sizes, 1)
    filled = max(int((sizes > 0).sum()) - 1, 1)
    excess = share - (share.sum(axis=0) - share) / filled
    if absent is not None:
        excess[:, absent] = -np.inf
    return np.asarray(excess.argmax(axis=1), dtype=np.int64)


def _advise(
    rows: Sequence[ClassAlignment], locked: Sequence[str], share: Estimate, *, varies: bool
) -> str:
    if not varies:
        return "The cue does not vary among these images: it cannot tell the classes apart."
    filled = sum(1 for row in rows if row.n)
    repair = (
        "Use a method that makes new images or needs pairs, a mask or clean images: "
        "cue_augmentation, right_reasons, projection, or dfr on clean validation images."
    )
    if len(locked) == filled:
        return (
            f"In every class the cue tells the label for certain (alignment {share.value:.3g}): no "
            f"image conflicts and none lacks the cue, so no reweighting can work. {repair}"
        )
    if locked:
        shown = ", ".join(locked[:5]) + (", ..." if len(locked) > 5 else "")
        return (
            f"{len(locked)} of {filled} classes share no value of the cue with any other class "
            f"({shown}): reweighting cannot help them. {repair}"
        )
    freed = [row.conflicting + row.cue_free for row in rows if row.n]
    return (
        f"Reweighting can work: every class has images that share the cue with another class "
        f"(conflicting or cue-free: {min(freed)} to {max(freed)} per class)."
    )
