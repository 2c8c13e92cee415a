"""Features outside the directions in which training images vary, as one more logit (ViM)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import (
    check_training_rows,
    same_device,
    scored_features,
    scored_logits,
)
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.logit_scores import centre_single_logit, energy, require_level
from sundog.risk.output import Field, Score

DIRECTIONS = 256
BLOCK = 8192
LEAST_RESIDUAL = 1e-6
"""Residual of the training images, in units of their root mean square length, that is none."""


class VirtualLogit(PostHoc):
    """``alpha |residual of x| - log sum_k exp(l_k)`` (ViM) as epistemic risk.

    Features are centred where all logits vanish, ``u = -W^+ b``. The residual is what lies
    outside the ``directions`` principal directions of the training images about ``u``; ``alpha``
    makes its mean length over the training images equal their mean largest logit.

    Args:
        directions: principal directions; None: 256, or half the features if there are fewer than
            512.

    Source:
        Wang, Li, Feng & Zhang, 2022, arXiv 2203.10807.
    """

    name: ClassVar[str] = "vim"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic",)

    def __init__(self, *, directions: int | None = None) -> None:
        if directions is not None and directions < 1:
            raise InputError("directions", expected=">= 1", got=str(directions))
        self.directions = directions
        self._origin = torch.zeros(0, dtype=torch.float64)
        self._residual = torch.zeros((0, 0), dtype=torch.float64)
        self._alpha = 0.0

    @property
    def fitted(self) -> bool:
        """Whether it holds residual directions."""
        return self._residual.numel() > 0

    def settings(self) -> dict[str, Any]:
        """Return directions."""
        return {"directions": self.directions}

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Find the residual directions and the scale of the virtual logit.

        Raises:
            InputError: no head, fewer images or features than directions, no residual, or logits
                without a level (log-probabilities).
        """
        features = check_training_rows(table, method=self.name)
        size = features.shape[1]
        if head is None or head.weight.shape[1] != size:
            raise InputError(
                f"Method {self.name!r}",
                expected=f"given the classifier's linear head of {size} features",
                got="none" if head is None else f"one of {head.weight.shape[1]} features",
                hint="Wrap a classifier with a linear last layer, or pass head=read_head(...).",
            )
        require_level(table.logits, method=self.name)
        kept = self.directions or (DIRECTIONS if size >= 2 * DIRECTIONS else max(1, size // 2))
        if kept >= min(size, len(features)):
            raise InputError(
                "directions",
                expected=f"below {min(size, len(features))}, the number of features and of images",
                got=str(kept),
                hint="Pass fewer directions, or fit on more images.",
            )
        weight, bias = head.weight.double(), head.bias.double()
        origin = -torch.linalg.lstsq(weight, bias[:, None], driver="gelsd").solution[:, 0]
        second = torch.zeros((size, size), dtype=torch.float64)
        for block in torch.split(features, BLOCK):
            rows = block.double() - origin
            second += rows.T @ rows
        vectors = torch.linalg.eigh(second).eigenvectors
        residual = vectors[:, : size - kept].contiguous()
        lengths = torch.cat([_length(b, origin, residual) for b in torch.split(features, BLOCK)])
        typical = float(second.trace() / len(features)) ** 0.5
        if not float(lengths.mean()) > LEAST_RESIDUAL * typical:
            raise InputError(
                "The training images' features",
                expected=f"with a part outside {kept} directions",
                got="none: they lie in fewer",
                hint=f"Pass fewer than {kept} directions, or fit on more images.",
            )
        level = centre_single_logit(table.logits.double()).amax(dim=1).mean()
        alpha = float(level / lengths.mean())
        if not alpha > 0:
            raise InputError(
                "The largest logit",
                expected="positive on average over the training images",
                got=f"{float(level):.4g}",
                hint="ViM measures residuals in units of it; use 'knn' or 'rmds' here.",
            )
        self._origin, self._residual, self._alpha = origin, residual, alpha
        return self

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return the virtual logit minus the log-sum-exp of the others.

        Raises:
            ModelStateError: not fitted.
            InputError: another number of features, or values that are not finite.
        """
        self.require_fitted()
        features = scored_features(passed, method=self.name, size=len(self._origin))
        logits = centre_single_logit(scored_logits(passed, method=self.name))
        virtual = self._alpha * _length(features, self._origin, self._residual)
        return {"epistemic": same_device(virtual + energy(logits), passed)}

    def tensors(self) -> dict[str, Tensor]:
        """Return origin, residual directions and scale, in float64."""
        self.require_fitted()
        return {
            "origin": self._origin,
            "residual": self._residual,
            "alpha": torch.tensor(self._alpha, dtype=torch.float64),
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self._origin = tensors["origin"].double()
        self._residual = tensors["residual"].double()
        self._alpha = float(tensors["alpha"])


def _length(features: Tensor, origin: Tensor, residual: Tensor) -> Tensor:
    return torch.linalg.vector_norm((features.double() - origin) @ residual, dim=1)
