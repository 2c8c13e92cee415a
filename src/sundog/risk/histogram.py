"""Density as a product of one histogram per feature: the rule of Capsa and of the face lab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import check_training_rows, same_device, scored_features
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.output import Field, Score

Rule = Literal["product", "max"]
ALPHA: dict[Rule, float] = {"product": 1e-8, "max": 1e-3}
BLOCK = 16_384


class Histogram(PostHoc):
    """``sum_d log p_d(x_d)``, p_d a histogram of feature d over the training images.

    Each histogram has ``num_bins`` bins of equal width between the least and the greatest value;
    the outer ones reach to infinity. ``p_d = (share of images in the bin + alpha) / (1 + num_bins
    alpha)``. Everything stays a logarithm: as a product, 100 features underflow to 0. A feature
    with one value for all images has ``p_d = 1``.

    ``rule="max"`` is the face lab's: the weight of an image is ``max_d w_d``, ``w_d = (1 / p_d) /
    sum over training images of (1 / p_d)``, and the score is minus its logarithm. (The lab adds
    alpha to a density per unit of the feature, which makes its effect depend on the feature's
    scale; here it is added to the share.)

    Features are taken for independent, which they are not: a cheap baseline. Nearest neighbours
    and Gaussian mixtures follow the true density more closely.

    Args:
        num_bins: per feature, >= 2.
        queue_size: at most so many training images, drawn by the seed; None takes all.
        rule: ``product`` or ``max``.
        alpha: added to the share of each bin, > 0; None: 1e-8 for ``product`` (Capsa), 1e-3 for
            ``max`` (the lab).

    Source:
        Lolla et al., 2023, arXiv 2308.00231; Amini, Soleimany, Schwarting, Bhatia & Rus, 2019,
        AIES (weights).
    """

    name: ClassVar[str] = "histogram"
    gives: ClassVar[tuple[Field, ...]] = ("representation",)

    def __init__(
        self,
        *,
        num_bins: int = 5,
        queue_size: int | None = None,
        rule: Rule = "product",
        alpha: float | None = None,
    ) -> None:
        if num_bins < 2:
            raise InputError("num_bins", expected=">= 2", got=str(num_bins))
        if queue_size is not None and queue_size < 2:
            raise InputError("queue_size", expected=">= 2, or None", got=str(queue_size))
        if rule not in get_args(Rule):
            raise InputError("rule", expected="product or max", got=repr(rule))
        if alpha is not None and not 0 < alpha < float("inf"):
            raise InputError("alpha", expected="> 0", got=str(alpha))
        self.num_bins, self.queue_size, self.rule, self.alpha = num_bins, queue_size, rule, alpha
        self._edges = torch.zeros((0, 0), dtype=torch.float64)
        self._shares = torch.zeros((0, 0), dtype=torch.float64)

    @property
    def fitted(self) -> bool:
        """Whether it holds histograms."""
        return self._shares.numel() > 0

    def settings(self) -> dict[str, Any]:
        """Return num_bins, queue_size, rule and alpha."""
        return {
            "num_bins": self.num_bins,
            "queue_size": self.queue_size,
            "rule": self.rule,
            "alpha": self.alpha,
        }

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Count the training images in every bin of every feature.

        Raises:
            InputError: a queue larger than the number of training images.
        """
        features = check_training_rows(table, method=self.name)
        rows = self._queue(len(features), seed=seed)
        low, high = features[rows].double().aminmax(dim=0)
        steps = torch.arange(1, self.num_bins, dtype=torch.float64) / self.num_bins
        edges = low[:, None] + (high - low)[:, None] * steps
        # A feature with one value for all images has one bin.
        self._edges = torch.where((high > low)[:, None], edges, torch.inf)
        counts = torch.zeros((features.shape[1], self.num_bins), dtype=torch.float64)
        for part in torch.split(rows, BLOCK):
            bins = self._bins(features[part]).T
            counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float64))
        self._shares = counts / len(rows)
        return self

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return the log-density of each image, up to a constant, by the rule.

        Raises:
            ModelStateError: not fitted.
            InputError: another number of features, or values that are not finite.
        """
        self.require_fitted()
        features = scored_features(passed, method=self.name, size=len(self._edges))
        found = torch.empty(len(features), dtype=torch.float64)
        for start in range(0, len(features), BLOCK):
            each = self.per_dimension(features[start : start + BLOCK])
            if self.rule == "product":
                found[start : start + BLOCK] = each.sum(dim=1)
            else:
                found[start : start + BLOCK] = (each + self._log_inverse_sums()).amin(dim=1)
        return {"representation": same_device(found, passed)}

    def per_dimension(
        self, features: Float[Tensor, "batch features"]
    ) -> Float64[Tensor, "batch features"]:
        """Return ``log p_d`` of every feature of every image: high = common.

        Rules that need more than the sum (the largest weights, or their product) start here.

        Raises:
            ModelStateError: not fitted.
            InputError: another number of features, or values that are not finite.
        """
        self.require_fitted()
        passed = Passed(features=features, logits=features)
        rows = scored_features(passed, method=self.name, size=len(self._edges))
        return self._log_shares().gather(1, self._bins(rows).T).T

    def tensors(self) -> dict[str, Tensor]:
        """Return inner edges and shares, ``[features, num_bins - 1]`` and ``[.., num_bins]``."""
        self.require_fitted()
        return {"edges": self._edges, "shares": self._shares}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self._edges, self._shares = tensors["edges"].double(), tensors["shares"].double()

    def _queue(self, count: int, *, seed: int) -> Int64[Tensor, "queue"]:
        if self.queue_size is None or self.queue_size == count:
            return torch.arange(count)
        if self.queue_size > count:
            raise InputError(
                "queue_size",
                expected=f"at most the number of training images, {count}",
                got=str(self.queue_size),
                hint="It would never fill. Pass queue_size=None to use every image.",
            )
        draw = np.random.default_rng(derive_seed(seed, "queue"))
        return torch.from_numpy(np.sort(draw.choice(count, size=self.queue_size, replace=False)))

    def _bins(self, features: Tensor) -> Int64[Tensor, "batch features"]:
        columns = features.double().T.contiguous()
        return torch.searchsorted(self._edges, columns, right=True).T

    def _log_shares(self) -> Float64[Tensor, "features bins"]:
        alpha = ALPHA[self.rule] if self.alpha is None else self.alpha
        return ((self._shares + alpha) / (1 + self.num_bins * alpha)).log()

    def _log_inverse_sums(self) -> Float64[Tensor, "features"]:
        """Return ``log(mean over training images of 1 / p_d)`` for every feature."""
        inverse = self._shares.clamp_min(torch.finfo(torch.float64).tiny).log() - self._log_shares()
        return torch.where(self._shares > 0, inverse, -torch.inf).logsumexp(dim=1)
