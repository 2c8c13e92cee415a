"""How many training images count an image's neighbours among their own nearest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import check_training_rows, same_device, scored_features
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.feature_neighbours import (
    FeatureNeighbours,
    Index,
    SmallClasses,
    check_k,
    check_small_classes,
)
from sundog.risk.output import Field, Score


class ReverseNeighbours(PostHoc):
    """``mean over the m nearest training images j of log(1 + N_k(j))``.

    ``N_k(j)`` is the number of training images that have j among their k nearest. Only ranks of
    distances count, so that a group that varies much is not taken for a rare one, as by any
    density: among the k nearest of an image are at most as many of its group as the group has
    others, and the rest of its list goes to larger groups. Groups with fewer than about k members
    are told apart by their size. Between 0 and ``log(1 + n)``; no density, so it does not say
    how far from all training images an image is: a picture of something else entirely takes over
    the score of the nearest ones. Read it beside ``knn``.

    Fitting compares all training images with each other. Of more than ``most_rows``, so many are
    drawn by the seed and stand for all; k then is a share of these.

    Args:
        k: length of each training image's list, >= 1.
        m: neighbours over which the mean is taken, in 1..k.
        most_rows: training images that are kept.
        normalise: divide features by their L2 norm.
        index: ``exact``, ``approximate`` (faiss), or ``auto``: exact up to 1,000,000 vectors.
        small_classes: ``refuse`` a labelled class with k training images or fewer, or ``allow``.

    Source:
        Radovanovic, Nanopoulos & Ivanovic, 2015, IEEE TKDE 27, 1369-1382 (AntiHub^2).
    """

    name: ClassVar[str] = "reverse_knn"
    gives: ClassVar[tuple[Field, ...]] = ("representation",)

    def __init__(
        self,
        *,
        k: int = 50,
        m: int = 10,
        most_rows: int = 50_000,
        normalise: bool = True,
        index: Index = "auto",
        small_classes: SmallClasses = "refuse",
    ) -> None:
        if k < 1:
            raise InputError("k", expected=">= 1", got=str(k))
        if not 1 <= m <= k:
            raise InputError("m", expected=f"in 1..k = {k}", got=str(m))
        if most_rows <= k:
            raise InputError("most_rows", expected=f"above k = {k}", got=str(most_rows))
        check_small_classes(small_classes)
        self.most_rows = most_rows
        self.k, self.m, self.small_classes = k, m, small_classes
        self.neighbours = FeatureNeighbours(normalise=normalise, index=index)
        self._counts = torch.zeros(0, dtype=torch.int64)
        self._own = torch.zeros(0, dtype=torch.int64)

    @property
    def fitted(self) -> bool:
        """Whether it holds training images."""
        return self.neighbours.fitted

    def settings(self) -> dict[str, Any]:
        """Return k, m, most_rows, normalise, index and small_classes."""
        return {
            "k": self.k,
            "m": self.m,
            "most_rows": self.most_rows,
            "normalise": self.neighbours.normalise,
            "index": self.neighbours.kind,
            "small_classes": self.small_classes,
        }

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Keep the features of the training images, and count how often each is a neighbour.

        Raises:
            InputError: k training images or fewer, in all or in a class.
            MissingExtraError: an approximate index without faiss.
        """
        features = check_training_rows(table, method=self.name)
        check_k(table.labels, k=self.k, small_classes=self.small_classes)
        self._own = _drawn(len(features), self.most_rows, seed=seed)
        features = features[self._own >= 0]
        self.neighbours.fit(features, seed=seed)
        _, lists = self.neighbours.nearest_others(features, k=self.k, method=self.name)
        self._counts = torch.bincount(lists.flatten(), minlength=len(features))
        return self

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return the mean log count of each image's nearest training images.

        Raises:
            ModelStateError: not fitted.
            InputError: another number of features, or values that are not finite.
        """
        self.require_fitted()
        features = scored_features(passed, method=self.name, size=self.neighbours.size)
        _, near = self.neighbours.nearest(features, k=self.m)
        return {"representation": same_device(self._mean_log(near), passed)}

    def score_own(self, table: FeatureTable) -> dict[Field, Score]:
        """Score the training images, each without itself and without its own list.

        Raises:
            InputError: other rows than those it was fitted on, or in another order.
        """
        self.require_fitted()
        passed = Passed(features=table.features, logits=table.logits)
        features = scored_features(passed, method=self.name, size=self.neighbours.size)
        own = self._own if len(self._own) == len(features) else torch.arange(len(features))
        _, near = self.neighbours.nearest_others(features, k=self.m, method=self.name, own=own)
        # Each of the m <= k nearest is on the list of a kept image once.
        scores = self._mean_log(near, without=(own >= 0).long()[:, None])
        return {"representation": same_device(scores, passed)}

    def tensors(self) -> dict[str, Tensor]:
        """Return the kept features, how often each is a neighbour, and which were kept."""
        self.require_fitted()
        return {**self.neighbours.tensors(), "counts": self._counts, "own": self._own}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self.neighbours.load_tensors(tensors)
        self._counts, self._own = tensors["counts"].long(), tensors["own"].long()

    def _mean_log(
        self, near: Int64[Tensor, "batch m"], *, without: Tensor | int = 0
    ) -> Float64[Tensor, "batch"]:
        counts = (self._counts[near] - without).clamp_min(0).double()
        return counts.log1p().mean(dim=1)


def _drawn(count: int, most: int, *, seed: int) -> Int64[Tensor, "count"]:
    """Return the place of each image among those that are drawn, -1 for the others."""
    if count <= most:
        return torch.arange(count)
    draw = np.random.default_rng(derive_seed(seed, "reverse neighbours"))
    chosen = torch.from_numpy(np.sort(draw.choice(count, size=most, replace=False)))
    places = torch.full((count,), -1)
    places[chosen] = torch.arange(most)
    return places
