"""How far an image is from every class, beyond how far it is from all images (RMDS)."""

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
from sundog.risk.gaussian import Gaussians, Member, Shrinkage, fit_gaussians
from sundog.risk.gaussian_mixture import check_memory, check_shrinkage, class_members
from sundog.risk.output import Field, Score


class RelativeMahalanobis(PostHoc):
    """``min_c M_c(x) - M_0(x)`` as epistemic risk.

    ``M_c`` is the squared Mahalanobis distance from the mean of class c under the covariance that
    the classes share, ``M_0`` that from the mean of all images under their own covariance. The
    difference leaves out the directions in which images vary whatever their class. It is no
    density, so it gives no representation; it can be negative.

    Args:
        shrinkage: share of the scaled identity in both covariances, in [0, 1], or
            ``ledoit-wolf``.

    Source:
        Ren, Fort, Liu, Roy, Padhy & Lakshminarayanan, 2021, arXiv 2106.09022.
    """

    name: ClassVar[str] = "rmds"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic",)
    needs_labels: ClassVar[bool] = True

    def __init__(self, *, shrinkage: Shrinkage = "ledoit-wolf") -> None:
        check_shrinkage(shrinkage)
        self.shrinkage = shrinkage
        self._classes: Gaussians | None = None
        self._all: Gaussians | None = None

    @property
    def fitted(self) -> bool:
        """Whether it holds class means."""
        return self._classes is not None

    def settings(self) -> dict[str, Any]:
        """Return shrinkage."""
        return {"shrinkage": self.shrinkage}

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Fit class means and both covariances; unlabelled images are left out.

        Raises:
            InputError: no labels, fewer than two classes, a class with a single image, or images
                that are all equal.
        """
        features = check_training_rows(table, method=self.name)
        members = class_members(table, method=self.name)
        if len(members) < 2:
            raise InputError(
                f"The training images of {self.name!r}",
                expected="of at least 2 classes",
                got="1 class, for which the relative distance is 0 everywhere",
                hint="Use 'knn' or 'gmm'.",
            )
        check_memory(features.shape[1], 2)
        every: Member = (
            torch.cat([rows for rows, _ in members]),
            torch.cat([weights for _, weights in members]),
        )
        self._classes = fit_gaussians(features, members, tied=True, shrinkage=self.shrinkage)
        self._all = fit_gaussians(features, [every], tied=True, shrinkage=self.shrinkage)
        return self

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return the relative distance of each image.

        Raises:
            ModelStateError: not fitted.
            InputError: another number of features, or values that are not finite.
        """
        classes, everything = self._fitted()
        size = classes.means.shape[1]
        rows = scored_features(passed, method=self.name, size=size).double()
        nearest = classes.squared_distances(rows).amin(dim=1)
        relative = nearest - everything.squared_distances(rows)[:, 0]
        return {"epistemic": same_device(relative, passed)}

    def tensors(self) -> dict[str, Tensor]:
        """Return means and whitening matrices, in float64."""
        classes, everything = self._fitted()
        return {**classes.tensors("class."), **everything.tensors("all.")}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self._classes = Gaussians.from_tensors(tensors, "class.")
        self._all = Gaussians.from_tensors(tensors, "all.")

    def _fitted(self) -> tuple[Gaussians, Gaussians]:
        self.require_fitted()
        if self._classes is None or self._all is None:
            raise InputError(self.name, expected="fitted", got="no class means")
        return self._classes, self._all
