"""Distance to the k-th nearest training image in feature space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sundog.core.errors import InputError
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

MOST = 50
LEAST_DISTANCE = 1e-7
"""Distances below this are taken for it; in units of the features' root mean square length."""


class NearestNeighbours(PostHoc):
    """``-log r_k``, r_k the distance to the k-th nearest training image.

    The k-nearest-neighbour density in d dimensions is ``k / (n V_d r_k^d)``, so its logarithm is
    ``-d log r_k`` up to a constant: the score rises with the log-density and orders images as it
    does. Epistemic risk is ``r_k`` itself. Features are divided by their length first
    (``normalise``); a vector of zeros stays zero.

    ``k`` is the size of the smallest group that can look common: an image whose group has fewer
    than k members has its k-th neighbour in another group, and looks rare whatever it shows. An
    exact copy of k training images has distance 0, taken as 1e-7. Groups that vary little look
    more common than groups of the same size that vary much: ``reverse_knn`` does not mind.

    Args:
        k: which neighbour, >= 1. None: 50, or fewer where a class is smaller: one less than its
            training images (:attr:`k` says which after the fit).
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
        k: int | None = None,
        normalise: bool = True,
        index: Index = "auto",
        small_classes: SmallClasses = "refuse",
    ) -> None:
        if k is not None and k < 1:
            raise InputError("k", expected=">= 1", got=str(k))
        check_small_classes(small_classes)
        self._asked, self.k, self.small_classes = k, k or MOST, small_classes
        self.neighbours = FeatureNeighbours(normalise=normalise, index=index)

    @property
    def fitted(self) -> bool:
        """Whether it holds training images."""
        return self.neighbours.fitted

    def settings(self) -> dict[str, Any]:
        """Return k, normalise, index and small_classes."""
        return {
            "k": self.k,
            "normalise": self.neighbours.normalise,
            "index": self.neighbours.kind,
            "small_classes": self.small_classes,
        }

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Keep the features of the training images.

        Raises:
            InputError: k training images or fewer, in all or in a class.
            MissingExtraError: an approximate index without faiss.
        """
        features = check_training_rows(table, method=self.name)
        if self._asked is None:
            self.k = _fitting_k(table)
        check_k(table.labels, k=self.k, small_classes=self.small_classes)
        self.neighbours.fit(features, seed=seed)
        return self

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return ``representation = -log r_k`` and ``epistemic = r_k``.

        Raises:
            ModelStateError: not fitted.
            InputError: another number of features, or values that are not finite.
        """
        self.require_fitted()
        features = scored_features(passed, method=self.name, size=self.neighbours.size)
        distances, _ = self.neighbours.nearest(features, k=self.k)
        return self._fields(distances, passed)

    def score_own(self, table: FeatureTable) -> dict[Field, Score]:
        """Score the training images, each left out of its own neighbours.

        Raises:
            InputError: other rows than those it was fitted on, or in another order.
        """
        self.require_fitted()
        passed = Passed(features=table.features, logits=table.logits)
        features = scored_features(passed, method=self.name, size=self.neighbours.size)
        distances, _ = self.neighbours.nearest_others(features, k=self.k, method=self.name)
        return self._fields(distances, passed)

    def tensors(self) -> dict[str, Tensor]:
        """Return the training images' features, scaled and centred, and what scales a new one."""
        self.require_fitted()
        return self.neighbours.tensors()

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self.neighbours.load_tensors(tensors)

    def _fields(self, distances: Tensor, passed: Passed) -> dict[Field, Score]:
        radius = distances[:, self.k - 1]
        density = -radius.clamp_min(LEAST_DISTANCE * self.neighbours.unit).log()
        return {
            "representation": same_device(density, passed),
            "epistemic": same_device(radius, passed),
        }


def _fitting_k(table: FeatureTable) -> int:
    """Return 50, or one less than the images of the smallest class (of all, without labels)."""
    labels = table.labels[table.labels >= 0]
    counts = torch.bincount(labels) if len(labels) else torch.tensor([len(table)])
    return max(1, min(MOST, int(counts[counts > 0].min()) - 1, len(table) - 1))
