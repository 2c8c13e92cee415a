"""Groups of images: every combination of class and attribute, the unit that is balanced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.notebook import Card, InNotebook


@dataclass(frozen=True, eq=False, repr=False)
class Groups(InNotebook):
    """The group of each image.

    Attributes:
        ids: ``int64[images]``, ``label * attributes + attribute``; -1 where one is unknown.
        names: one per group, such as ``cat x red``, those without images too.
        counts: ``int64[groups]``, images of each group.
        class_names: one per class.
        attribute_names: one per value of the attribute.
    """

    ids: Int64[np.ndarray, "images"]
    names: tuple[str, ...]
    counts: Int64[np.ndarray, "groups"]
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def empty(self) -> tuple[str, ...]:
        """Names of groups without an image: no reweighting can make up for them."""
        return tuple(n for n, c in zip(self.names, self.counts.tolist(), strict=True) if c == 0)

    @property
    def unknown(self) -> int:
        """Images whose group is not known."""
        return int((self.ids < 0).sum())

    @property
    def table(self) -> pd.DataFrame:
        """One row per group: group, class, attribute, n, share of its class."""
        counts = self.counts.reshape(len(self.class_names), len(self.attribute_names))
        with np.errstate(invalid="ignore"):
            share = counts / counts.sum(axis=1, keepdims=True)
        return pd.DataFrame(
            {
                "group": self.names,
                "class": np.repeat(self.class_names, len(self.attribute_names)),
                "attribute": list(self.attribute_names) * len(self.class_names),
                "n": self.counts,
                "share": share.ravel(),
            }
        )

    def _card(self) -> Card:
        rows = [{"group": n, "images": c} for n, c in zip(self.names, self.counts, strict=True)]
        return Card(
            headline=f"{len(self)} groups of {len(self.ids):,} images",
            facts={"empty groups": len(self.empty), "images of unknown group": self.unknown},
            tables=[("Images of each group", pd.DataFrame(rows))],
        )


def make_groups(
    labels: Int64[np.ndarray, "images"],
    attribute: Int64[np.ndarray, "images"],
    *,
    class_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] | None = None,
) -> Groups:
    """Return the group ``label x attribute`` of each image.

    Args:
        labels: ``int64[n]`` class per image, -1 = unlabelled.
        attribute: ``int64[n]`` value of the attribute (colour, age band, cue), -1 = unknown;
            booleans become absent and present.
        class_names: one per class; numbers if None.
        attribute_names: one per value; numbers if None, ``absent`` and ``present`` for booleans.

    Raises:
        InputError: lengths that differ, values outside the names, no image with a known group.
    """
    given = np.asarray(attribute)
    if given.dtype == np.bool_ and attribute_names is None:
        attribute_names = ("absent", "present")
    own = _check_codes(labels, "labels", class_names)
    values = _check_codes(given, "attribute", attribute_names)
    if own.shape != values.shape:
        raise InputError(
            "labels and attribute",
            expected="of one length",
            got=f"{own.size} and {values.size}",
        )
    known = (own >= 0) & (values >= 0)
    if not known.any():
        raise InputError(
            "Groups",
            expected="known for at least one image",
            got=f"label or attribute missing in all {own.size} images",
        )
    classes = _names(class_names, own)
    kinds = _names(attribute_names, values)
    ids = np.where(known, own * len(kinds) + values, -1)
    return Groups(
        ids=ids,
        names=tuple(f"{c} x {a}" for c in classes for a in kinds),
        counts=np.bincount(ids[known], minlength=len(classes) * len(kinds)).astype(np.int64),
        class_names=classes,
        attribute_names=kinds,
    )


def check_groups(
    groups: ArrayLike, names: Sequence[str] | None = None
) -> tuple[Int64[np.ndarray, "images"], tuple[str, ...]]:
    """Return group ids as int64 with one name per group, ``group 0`` and so on if None.

    Raises:
        InputError: not a list of integers >= -1, ids outside the names, no known group.
    """
    ids = _check_codes(groups, "groups", names)
    if not (ids >= 0).any():
        raise InputError(
            "groups", expected="known for at least one image", got=f"-1 in all {ids.size} images"
        )
    return ids, tuple(names) if names is not None else tuple(
        f"group {g}" for g in range(int(ids.max()) + 1)
    )


def _check_codes(
    values: ArrayLike, what: str, names: Sequence[str] | None
) -> Int64[np.ndarray, "images"]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iub":
        raise InputError(
            what,
            expected="one integer per image, -1 = unknown",
            got=f"{array.dtype} of shape {array.shape}",
        )
    codes = array.astype(np.int64)
    limit = len(names) if names is not None else None
    if codes.min() < -1 or (limit is not None and codes.max() >= limit):
        raise InputError(
            what,
            expected=f"in -1..{limit - 1}" if limit is not None else ">= -1",
            got=f"{codes.min()}..{codes.max()}",
        )
    return codes


def _names(names: Sequence[str] | None, codes: Int64[np.ndarray, "images"]) -> tuple[str, ...]:
    if names is not None:
        return tuple(names)
    return tuple(str(value) for value in range(int(codes.max()) + 1))
