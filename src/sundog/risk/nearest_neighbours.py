"""Distance to the k-th nearest training image in feature space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Labels
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import check_training_rows, same_device, scored_features
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.neighbour_faiss import ApproximateIndex
from sundog.risk.neighbour_index import ExactIndex, NeighbourIndex, nearest_distances
from sundog.risk.output import Field, Score

Index = Literal["auto", "exact", "approximate"]
SmallClasses = Literal["refuse", "allow"]
MOST_EXACT = 1_000_000
"""Vectors beyond which the index is approximate."""
LEAST_DISTANCE = 1e-7
"""Distances below this are taken for it; in units of the features' root mean square length."""
BLOCK = 16_384
OWN_TOLERANCE = 1e-2
"""How far, in the same units, a row may lie from the row that was fitted."""


class NearestNeighbours(PostHoc):
    """``-log r_k``, r_k the distance to the k-th nearest training image.

    The k-nearest-neighbour density in d dimensions is ``k / (n V_d r_k^d)``, so its logarithm is
    ``-d log r_k`` up to a constant: the score rises with the log-density and orders images as it
    does. Epistemic risk is ``r_k`` itself. Features are divided by their length first
    (``normalise``); a vector of zeros stays zero.

    ``k`` is the size of the smallest group that can look common: an image whose group has fewer
    than k members has its k-th neighbour in another group, and looks rare whatever it shows. An
    exact copy of k training images has distance 0, taken as 1e-7.

    Args:
        k: which neighbour, >= 1.
        normalise: divide features by their L2 norm.
        index: ``exact``, ``approximate`` (faiss), or ``auto``: exact up to 1,000,000 vectors.
        small_classes: ``refuse`` a labelled class with fewer than k + 1 training images (k beside
            the one that is asked about), or ``allow`` it, whose images then look rare.

    Source:
        Sun, Ming, Zhu & Li, 2022, arXiv 2204.06507; Loftsgaarden & Quesenberry, 1965.
    """

    name: ClassVar[str] = "knn"
    gives: ClassVar[tuple[Field, ...]] = ("representation", "epistemic")

    def __init__(
        self,
        *,
        k: int = 50,
        normalise: bool = True,
        index: Index = "auto",
        small_classes: SmallClasses = "refuse",
    ) -> None:
        if k < 1:
            raise InputError("k", expected=">= 1", got=str(k))
        for what, value, kinds in (
            ("index", index, get_args(Index)),
            ("small_classes", small_classes, get_args(SmallClasses)),
        ):
            if value not in kinds:
                raise InputError(what, expected=f"one of {', '.join(kinds)}", got=repr(value))
        self.k, self.normalise = k, normalise
        self.index, self.small_classes = index, small_classes
        self._index: NeighbourIndex | None = None
        self._centre = torch.zeros(0, dtype=torch.float64)
        self._unit = 1.0

    @property
    def fitted(self) -> bool:
        """Whether it holds training images."""
        return self._index is not None

    def settings(self) -> dict[str, Any]:
        """Return k, normalise, index and small_classes."""
        return {
            "k": self.k,
            "normalise": self.normalise,
            "index": self.index,
            "small_classes": self.small_classes,
        }

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Keep the features of the training images.

        Raises:
            InputError: k training images or fewer, in all or in a class.
            MissingExtraError: an approximate index without faiss.
        """
        features = check_training_rows(table, method=self.name)
        self._check_counts(table.labels)
        self._centre = torch.zeros(features.shape[1], dtype=torch.float64)
        total = torch.zeros_like(self._centre)
        square = 0.0
        for block in torch.split(features, BLOCK):
            scaled = self._scaled(block)
            total += scaled.sum(dim=0)
            square += float(scaled.square().sum())
        self._centre = total / len(features)
        self._unit = max((square / len(features)) ** 0.5, torch.finfo(torch.float32).tiny)
        bank = torch.cat([self._placed(block) for block in torch.split(features, BLOCK)])
        self._index = self._make_index(bank, seed=seed)
        return self

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return ``representation = -log r_k`` and ``epistemic = r_k``.

        Raises:
            ModelStateError: not fitted.
            InputError: another number of features, or values that are not finite.
        """
        self.require_fitted()
        features = scored_features(passed, method=self.name, size=len(self._centre))
        return self._fields(self._radius(self._placed(features)), passed)

    def score_own(self, table: FeatureTable) -> dict[Field, Score]:
        """Score the training images, each left out of its own neighbours.

        Raises:
            InputError: other rows than those it was fitted on, or in another order.
        """
        self.require_fitted()
        passed = Passed(features=table.features, logits=table.logits)
        queries = self._placed(scored_features(passed, method=self.name, size=len(self._centre)))
        own = torch.arange(len(queries))
        self._check_own(queries)
        return self._fields(self._radius(queries, own=own), passed)

    def tensors(self) -> dict[str, Tensor]:
        """Return the training images' features, scaled and centred, and what scales a new one."""
        self.require_fitted()
        kept = {"centre": self._centre, "unit": torch.tensor(self._unit, dtype=torch.float64)}
        if isinstance(self._index, ApproximateIndex):
            rows = self._index.vectors(torch.arange(len(self._index)))
            return {**kept, "bank": rows.half(), "cells": self._index.centres}
        if isinstance(self._index, ExactIndex):
            return {**kept, "bank": self._index.bank}
        return kept

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self._centre = tensors["centre"].double()
        self._unit = float(tensors["unit"])
        bank = tensors["bank"].float().contiguous()
        cells = tensors.get("cells")
        self._index = (
            ExactIndex(bank) if cells is None else ApproximateIndex(bank, centres=cells.float())
        )

    def _make_index(self, bank: Tensor, *, seed: int) -> NeighbourIndex:
        if self.index == "approximate" or (self.index == "auto" and len(bank) > MOST_EXACT):
            return ApproximateIndex(bank, seed=seed)
        return ExactIndex(bank)

    def _scaled(self, features: Tensor) -> Float64[Tensor, "batch features"]:
        rows = features.double()
        if not self.normalise:
            return rows
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return rows / torch.where(length > 0, length, 1.0)

    def _placed(self, features: Tensor) -> Float32[Tensor, "batch features"]:
        # About their mean, float32 dot products lose less.
        return (self._scaled(features) - self._centre).float()

    def _radius(
        self, queries: Tensor, *, own: Int64[Tensor, "batch"] | None = None
    ) -> Float64[Tensor, "batch"]:
        if self._index is None:
            raise InputError(self.name, expected="fitted", got="no neighbours")
        return nearest_distances(self._index, queries, k=self.k, own=own)[:, self.k - 1]

    def _fields(self, radius: Tensor, passed: Passed) -> dict[Field, Score]:
        density = -radius.clamp_min(LEAST_DISTANCE * self._unit).log()
        return {
            "representation": same_device(density, passed),
            "epistemic": same_device(radius, passed),
        }

    def _check_counts(self, labels: Labels) -> None:
        if len(labels) <= self.k:
            raise InputError(
                "k",
                expected=f"below the number of training images, {len(labels)}",
                got=str(self.k),
                hint=f"Try k={max(1, (len(labels) - 1) // 2)}, or fit on more images.",
            )
        counts = torch.bincount(labels[labels >= 0])
        small = ((counts > 0) & (counts <= self.k)).nonzero()[:, 0]
        if self.small_classes == "refuse" and len(small):
            least = int(counts[small].min())
            smaller = f"k={least - 1}, " if least > 1 else ""
            raise InputError(
                "k",
                expected="below the number of training images of every class",
                got=f"k={self.k} with {least} images of class {int(small[counts[small].argmin()])}"
                + (f" and {len(small) - 1} more small classes" if len(small) > 1 else ""),
                hint=f"Try {smaller}more images, or small_classes='allow': images of these "
                "classes then look rare whatever they show.",
            )

    def _check_own(self, queries: Tensor) -> None:
        off = torch.inf
        if self._index is not None and len(self._index) == len(queries):
            off = 0.0
            for rows in torch.split(torch.arange(len(queries)), BLOCK):
                gap = queries[rows] - self._index.vectors(rows)
                off = max(off, float(torch.linalg.vector_norm(gap, dim=1).max()))
        if off > OWN_TOLERANCE * self._unit:
            raise InputError(
                "The rows to score as its own",
                expected=f"those that {self.name!r} was fitted on, in the same order",
                got="others",
                hint="Use score() for other images.",
            )
