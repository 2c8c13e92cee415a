"""The training images' features as a space to look for neighbours in: scaled, centred, indexed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from sundog.core.errors import InputError, ModelStateError
from sundog.core.shapes import Labels
from sundog.risk.neighbour_faiss import ApproximateIndex
from sundog.risk.neighbour_index import ExactIndex, NeighbourIndex, nearest

Index = Literal["auto", "exact", "approximate"]
SmallClasses = Literal["refuse", "allow"]
MOST_EXACT = 1_000_000
"""Vectors beyond which the index is approximate."""
BLOCK = 16_384
OWN_TOLERANCE = 1e-2
"""How far, in units of :attr:`FeatureNeighbours.unit`, a row may lie from the one fitted."""


class FeatureNeighbours:
    """Features of the training images, among which neighbours of any image are found.

    Features are divided by their L2 norm (``normalise``; a vector of zeros stays zero), and the
    mean of the training images is taken off, which changes no distance and keeps more digits.

    Args:
        normalise: divide features by their L2 norm.
        index: ``exact``, ``approximate`` (faiss), or ``auto``: exact up to 1,000,000 vectors.
    """

    def __init__(self, *, normalise: bool, index: Index) -> None:
        if index not in get_args(Index):
            raise InputError(
                "index", expected=f"one of {', '.join(get_args(Index))}", got=repr(index)
            )
        self.normalise, self.kind = normalise, index
        self.centre = torch.zeros(0, dtype=torch.float64)
        self.unit = 1.0
        """Root mean square length of the scaled features."""
        self._index: NeighbourIndex | None = None

    @property
    def fitted(self) -> bool:
        """Whether it holds training images."""
        return self._index is not None

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self.centre)

    @property
    def index(self) -> NeighbourIndex:
        """The vectors.

        Raises:
            ModelStateError: none yet.
        """
        if self._index is None:
            raise ModelStateError("Neighbours", expected="fitted", got="no training images")
        return self._index

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    def fit(self, features: Float[Tensor, "images features"], *, seed: int) -> None:
        """Keep the features of the training images.

        Raises:
            MissingExtraError: an approximate index without faiss.
        """
        total = torch.zeros(features.shape[1], dtype=torch.float64)
        square = 0.0
        for block in torch.split(features, BLOCK):
            scaled = self._scaled(block)
            total += scaled.sum(dim=0)
            square += float(scaled.square().sum())
        self.centre = total / len(features)
        self.unit = max((square / len(features)) ** 0.5, torch.finfo(torch.float32).tiny)
        bank = torch.cat([self._placed(block) for block in torch.split(features, BLOCK)])
        approximate = self.kind == "approximate" or (self.kind == "auto" and len(bank) > MOST_EXACT)
        self._index = ApproximateIndex(bank, seed=seed) if approximate else ExactIndex(bank)

    def nearest(
        self, features: Float[Tensor, "batch features"], *, k: int
    ) -> tuple[Float64[Tensor, "batch k"], Int64[Tensor, "batch k"]]:
        """Return distances to the k nearest training images, ascending, and their positions."""
        return nearest(self.index, self._placed(features), k=k)

    def nearest_others(
        self,
        features: Float[Tensor, "images features"],
        *,
        k: int,
        method: str,
        own: Int64[Tensor, "images"] | None = None,
    ) -> tuple[Float64[Tensor, "images k"], Int64[Tensor, "images k"]]:
        """Return the same for the training images, each left out of its own neighbours.

        Args:
            features: of the training images.
            k: neighbours, below the number of training images.
            method: named in the error.
            own: position of each image among those kept, -1 for one that was not; None: all were
                kept, in this order.

        Raises:
            InputError: other rows than the fitted ones, or in another order.
        """
        queries = self._placed(features)
        places = torch.arange(len(queries)) if own is None else own
        kept = (places >= 0).nonzero()[:, 0]
        off = float("inf")
        if len(kept) == len(self):
            off = 0.0
            for rows in torch.split(kept, BLOCK):
                gap = queries[rows] - self.index.vectors(places[rows])
                off = max(off, float(torch.linalg.vector_norm(gap, dim=1).max()))
        if off > OWN_TOLERANCE * self.unit:
            raise InputError(
                "The rows to score as its own",
                expected=f"those that {method!r} was fitted on, in the same order",
                got="others",
                hint="Use score() for other images.",
            )
        return nearest(self.index, queries, k=k, own=places)

    def tensors(self) -> dict[str, Tensor]:
        """Return the scaled, centred features and what scales new ones."""
        kept = {"centre": self.centre, "unit": torch.tensor(self.unit, dtype=torch.float64)}
        if isinstance(self.index, ApproximateIndex):
            rows = self.index.vectors(torch.arange(len(self)))
            return {**kept, "bank": rows.half(), "cells": self.index.centres}
        if isinstance(self.index, ExactIndex):
            return {**kept, "bank": self.index.bank}
        return kept

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self.centre = tensors["centre"].double()
        self.unit = float(tensors["unit"])
        bank = tensors["bank"].float().contiguous()
        cells = tensors.get("cells")
        self._index = (
            ExactIndex(bank) if cells is None else ApproximateIndex(bank, centres=cells.float())
        )

    def _scaled(self, features: Tensor) -> Float64[Tensor, "batch features"]:
        rows = features.double()
        if not self.normalise:
            return rows
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return rows / torch.where(length > 0, length, 1.0)

    def _placed(self, features: Tensor) -> Float32[Tensor, "batch features"]:
        return (self._scaled(features) - self.centre).float()


def check_k(labels: Labels, *, k: int, small_classes: SmallClasses) -> None:
    """Refuse a k that is too large for the training images, or for a class of them.

    Args:
        labels: of the training images, -1 = unlabelled.
        k: neighbours beside the image that is asked about.
        small_classes: ``allow`` classes with k images or fewer.

    Raises:
        InputError: says which k would do.
    """
    if len(labels) <= k:
        raise InputError(
            "k",
            expected=f"below the number of training images, {len(labels)}",
            got=str(k),
            hint=f"Try k={max(1, (len(labels) - 1) // 2)}, or fit on more images.",
        )
    counts = torch.bincount(labels[labels >= 0])
    small = ((counts > 0) & (counts <= k)).nonzero()[:, 0]
    if small_classes == "refuse" and len(small):
        least = int(counts[small].min())
        smaller = f"k={least - 1}, " if least > 1 else ""
        raise InputError(
            "k",
            expected="below the number of training images of every class",
            got=f"k={k} with {least} images of class {int(small[counts[small].argmin()])}"
            + (f" and {len(small) - 1} more small classes" if len(small) > 1 else ""),
            hint=f"Try {smaller}more images, or small_classes='allow': images of these "
            "classes then look rare whatever they show.",
        )


def check_small_classes(small_classes: SmallClasses) -> None:
    """Refuse any other word than ``refuse`` and ``allow``.

    Raises:
        InputError: says so.
    """
    if small_classes not in get_args(SmallClasses):
        raise InputError("small_classes", expected="refuse, allow", got=repr(small_classes))
