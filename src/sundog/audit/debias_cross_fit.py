"""Validation answers of heads that are fitted on the validation images: each image held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int64

from sundog.audit.debias_data import Part
from sundog.audit.debias_measure import Measured, measure
from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.models.classifier import Classifier


def halves(part: Part, *, seed: int = 0) -> Bool[np.ndarray, "images"]:
    """Return which images are in the first of two halves; every group is split evenly.

    Within a group (class, without groups) the order is by a hash of the content, so that copies of
    an image are on one side and the order of the images does not matter.

    Args:
        part: images with labels, and groups where they are known.
        seed: of the hash.

    Raises:
        InputError: a group with one distinct image: no fit without it can know the group.
    """
    ids = part.images.image_set.ids
    groups = part.labels if part.groups is None else part.groups.ids
    names: dict[int, dict[str, None]] = {}
    for group, image_id in zip(groups.tolist(), ids, strict=True):
        names.setdefault(group, {})[image_id] = None
    first: dict[str, bool] = {}
    for group, members in sorted(names.items()):
        if len(members) < 2 and group >= 0:
            raise InputError(
                "Validation images to refit on and to choose by",
                expected="at least 2 different ones of every group",
                got="a group with 1",
                hint="Give more validation images, or use methods that train: they refit nothing.",
            )
        order = sorted(members, key=lambda i: (derive_seed(seed, "cross fit", i), i))
        for place, image_id in enumerate(order):
            first.setdefault(image_id, place % 2 == 0)
    return np.array([first[i] for i in ids], dtype=bool)


def cross_fitted(
    part: Part,
    fit: Callable[[Bool[np.ndarray, "images"]], Classifier],
    *,
    seed: int,
) -> Measured:
    """Return answers about every image from a head that was fitted without it.

    The images are cut into two halves; the head fitted on one answers about the other. The head
    that is kept is fitted on both: its own answers here would praise it for what it was shown.

    Args:
        part: the validation images.
        fit: takes ``bool[images]``, which may be seen; returns the mended classifier.
        seed: of the pasted cues.

    Raises:
        InputError: a group with a single image.
    """
    first = halves(part)
    found = [
        measure(fit(~side), part, seed=seed, positions=np.flatnonzero(side))
        for side in (first, ~first)
    ]
    return _joined(found)


def _joined(parts: list[Measured]) -> Measured:
    indices = np.concatenate([part.indices for part in parts])
    order: Int64[np.ndarray, "images"] = np.argsort(indices, kind="stable")

    def together(name: str) -> np.ndarray | None:
        arrays = [getattr(part, name) for part in parts]
        return None if any(a is None for a in arrays) else np.concatenate(arrays)[order]

    return Measured(
        indices=indices[order],
        labels=np.concatenate([part.labels for part in parts])[order],
        groups=np.concatenate([part.groups for part in parts])[order],
        probabilities=np.concatenate([part.probabilities for part in parts])[order],
        without=together("without"),
        against=together("against"),
    )
