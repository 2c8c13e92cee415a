"""Log-density of an image's features under a mixture of Gaussians, with labels or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import (
    check_training_rows,
    class_rows,
    same_device,
    scored_features,
)
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.gaussian import Gaussians, Member, Shrinkage, fit_gaussians
from sundog.risk.gaussian_em import choose_mixture, expectation, memberships
from sundog.risk.gaussian_left_out import left_out_log_joint
from sundog.risk.output import Field, Score

Covariance = Literal["full", "tied"]
COMPONENTS = (1, 2, 5, 10, 20)
"""Numbers of components among which BIC chooses."""
MOST_BYTES = 4 << 30
"""Memory for covariances beyond which a fit is refused."""


class _GaussianDensity(PostHoc):
    """``log p(x)`` under fitted Gaussians; what differs is how they are fitted."""

    gives: ClassVar[tuple[Field, ...]] = ("representation", "epistemic")

    def __init__(self, *, covariance: Covariance, shrinkage: Shrinkage) -> None:
        if covariance not in get_args(Covariance):
            raise InputError("covariance", expected="full or tied", got=repr(covariance))
        check_shrinkage(shrinkage)
        self.covariance, self.shrinkage = covariance, shrinkage
        self.gaussians: Gaussians | None = None

    @property
    def fitted(self) -> bool:
        """Whether it holds Gaussians."""
        return self.gaussians is not None

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return ``representation = log p(x)`` in nats and ``epistemic = -log p(x)``.

        Raises:
            ModelStateError: not fitted.
            InputError: another number of features, or values that are not finite.
        """
        gaussians = self._fitted()
        features = scored_features(passed, method=self.name, size=gaussians.means.shape[1])
        return self._fields(gaussians.log_joint(features.double()), passed)

    def score_own(self, table: FeatureTable) -> dict[Field, Score]:
        """Score the training images, each left out of the Gaussians it was fitted into.

        The share of shrinkage and the components that a row belongs to stay.

        Raises:
            InputError: fewer or more rows than it was fitted on, or other classes.
        """
        gaussians = self._fitted()
        passed = Passed(features=table.features, logits=table.logits)
        features = scored_features(passed, method=self.name, size=gaussians.means.shape[1])
        members = self._members(table, gaussians)
        # Where the rows of a fit were drawn from many, or a component was dropped, the counts are
        # those of this table: a row is taken out of what the table itself gives.
        own = fit_gaussians(
            features, members, tied=self.covariance == "tied", shrinkage=self.shrinkage
        )
        return self._fields(left_out_log_joint(features, members, own), passed)

    def tensors(self) -> dict[str, Tensor]:
        """Return weights, means and whitening matrices, in float64."""
        return self._fitted().tensors()

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self.gaussians = Gaussians.from_tensors(tensors)

    def _members(self, table: FeatureTable, gaussians: Gaussians) -> list[Member]:
        raise TypeError(type(self).__name__)

    def _fitted(self) -> Gaussians:
        self.require_fitted()
        if self.gaussians is None:
            raise InputError(self.name, expected="fitted", got="no Gaussians")
        return self.gaussians

    def _fields(self, joint: Tensor, passed: Passed) -> dict[Field, Score]:
        density = same_device(joint.logsumexp(dim=1), passed)
        return {"representation": density, "epistemic": -density}


class ClassGaussians(_GaussianDensity):
    """One Gaussian per class (DDU): ``log p(x) = log sum_c pi_c N(x; mu_c, Sigma_c)``.

    With the priors ``pi_c`` = share of the training images, so that an image of a rare class is
    rare. Covariances are shrunk (Ledoit and Wolf): a class with fewer images than features has a
    proper density all the same.

    Args:
        covariance: ``full``, one per class, or ``tied``, one for all.
        shrinkage: share of the scaled identity, in [0, 1], or ``ledoit-wolf``.

    Source:
        Mukhoti, Kirsch, van Amersfoort, Torr & Gal, 2021, arXiv 2102.11582.
    """

    name: ClassVar[str] = "ddu"
    needs_labels: ClassVar[bool] = True

    def __init__(
        self, *, covariance: Covariance = "full", shrinkage: Shrinkage = "ledoit-wolf"
    ) -> None:
        super().__init__(covariance=covariance, shrinkage=shrinkage)

    def settings(self) -> dict[str, Any]:
        """Return covariance and shrinkage."""
        return {"covariance": self.covariance, "shrinkage": self.shrinkage}

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Fit a Gaussian to each class that has images; unlabelled images are left out.

        Raises:
            InputError: no labels, a class with a single image, images that are all equal, or
                covariances that would need more than 4 GiB.
        """
        features = check_training_rows(table, method=self.name)
        members = class_members(table, method=self.name)
        check_memory(features.shape[1], 1 if self.covariance == "tied" else len(members))
        self.gaussians = fit_gaussians(
            features, members, tied=self.covariance == "tied", shrinkage=self.shrinkage
        )
        return self

    def _members(self, table: FeatureTable, gaussians: Gaussians) -> list[Member]:
        members = class_members(table, method=self.name)
        if [float(len(rows)) for rows, _ in members] != gaussians.counts.tolist():
            raise InputError(
                "The rows to score as its own",
                expected=f"those that {self.name!r} was fitted on",
                got="other numbers of images per class",
                hint="Use score() for other images.",
            )
        return members


class GaussianMixtureDensity(_GaussianDensity):
    """A mixture of Gaussians fitted without labels: ``log p(x) = log sum_c pi_c N(x; mu_c, S_c)``.

    Args:
        components: how many; None takes the number of 1, 2, 5, 10 and 20 with the lowest BIC
            (without those for which a component would have fewer than 10 images per feature).
        covariance: ``full``, one per component, or ``tied``, one for all.
        shrinkage: share of the scaled identity, in [0, 1], or ``ledoit-wolf``.
        most_rows: more training images than this are drawn from, by the seed.

    Source:
        Dempster, Laird & Rubin, 1977, JRSS B 39; Ledoit & Wolf, 2004, J. Multivariate Analysis 88.
    """

    name: ClassVar[str] = "gmm"

    def __init__(
        self,
        *,
        components: int | None = None,
        covariance: Covariance = "full",
        shrinkage: Shrinkage = "ledoit-wolf",
        most_rows: int = 50_000,
    ) -> None:
        super().__init__(covariance=covariance, shrinkage=shrinkage)
        if components is not None and components < 1:
            raise InputError("components", expected=">= 1", got=str(components))
        if most_rows < 2:
            raise InputError("most_rows", expected=">= 2", got=str(most_rows))
        self.components, self.most_rows = components, most_rows

    def settings(self) -> dict[str, Any]:
        """Return components, covariance, shrinkage and most_rows."""
        return {
            "components": self.components,
            "covariance": self.covariance,
            "shrinkage": self.shrinkage,
            "most_rows": self.most_rows,
        }

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Fit the mixture.

        Raises:
            InputError: fewer images than components, images that are all equal, or covariances
                that would need more than 4 GiB.
        """
        features = check_training_rows(table, method=self.name, least=max(2, self.components or 2))
        rows = features[self._drawn(len(features), seed=seed)].double()
        tied = self.covariance == "tied"
        most = len(rows) if tied else len(rows) // (10 * rows.shape[1])
        candidates: Sequence[int] = [c for c in COMPONENTS if c == 1 or c <= most]
        if self.components is not None:
            candidates = [self.components]
        check_memory(rows.shape[1], 1 if tied else max(candidates))
        self.gaussians = choose_mixture(
            rows, candidates=candidates, tied=tied, shrinkage=self.shrinkage, seed=seed
        ).gaussians
        return self

    def _drawn(self, count: int, *, seed: int) -> Int64[Tensor, "drawn"]:
        if count <= self.most_rows:
            return torch.arange(count)
        draw = np.random.default_rng(derive_seed(seed, "mixture rows"))
        return torch.from_numpy(np.sort(draw.choice(count, size=self.most_rows, replace=False)))

    def _members(self, table: FeatureTable, gaussians: Gaussians) -> list[Member]:
        responsibilities, _ = expectation(table.features, gaussians)
        if self.covariance == "tied" and responsibilities.shape[1] > 1:
            chosen = responsibilities.argmax(dim=1, keepdim=True)
            responsibilities = torch.zeros_like(responsibilities).scatter(1, chosen, 1.0)
        return memberships(responsibilities)


def class_members(table: FeatureTable, *, method: str) -> list[Member]:
    """Return the rows of each class that has images, all with weight 1."""
    _, rows = class_rows(table, method=method)
    return [(where, torch.ones(len(where), dtype=torch.float64)) for where in rows]


def check_memory(features: int, covariances: int) -> None:
    """Refuse covariances that need more than 4 GiB.

    Raises:
        InputError: says how much, and what needs less.
    """
    needed = 8 * features**2 * covariances
    if needed > MOST_BYTES:
        raise InputError(
            "Covariances",
            expected=f"at most {MOST_BYTES / 2**30:.0f} GiB",
            got=f"{covariances} of {features} x {features}: {needed / 2**30:.1f} GiB",
            hint="Use covariance='tied', fewer components, or 'knn'.",
        )


def check_shrinkage(shrinkage: Shrinkage) -> None:
    """Refuse a shrinkage that is neither in [0, 1] nor ``ledoit-wolf``.

    Raises:
        InputError: says so.
    """
    known = shrinkage == "ledoit-wolf"
    if not known and (isinstance(shrinkage, str) or not 0 <= shrinkage <= 1):
        raise InputError("shrinkage", expected="in [0, 1] or 'ledoit-wolf'", got=repr(shrinkage))
