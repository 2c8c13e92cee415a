"""Last-layer Laplace: how far the weights of the head could be off, and what that would change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float64
from torch import Tensor

from sundog.core.errors import InputError, ModelStateError
from sundog.core.shapes import Logits
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import (
    check_training_rows,
    same_device,
    scored_features,
    scored_logits,
)
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.information import InformationSplit, RunningSplit
from sundog.risk.laplace_posterior import (
    Posterior,
    Spread,
    best_precision,
    posterior_from_tensors,
    sum_curvature,
    with_constant,
)
from sundog.risk.logit_sampling import CHUNK, fixed_normals
from sundog.risk.output import Field, Score

LEAST_SAMPLES = 100


class Laplace(PostHoc):
    """Gaussian posterior of the last layer's weights around the classifier's own.

    ``w ~ N(w*, (H + t I)^-1)``: w* is the head as it is, H the Gauss-Newton matrix of the
    cross-entropy on the training images, t the prior precision of the largest evidence. The
    logits of an image are then normal with the classifier's own logits as mean (which stay the
    prediction) and ``C_ij = phi^T V_ij phi``. From samples of them ``epistemic`` is the mutual
    information of class and weights and ``aleatoric`` the mean entropy, in nats; higher is
    riskier. The samples are the same for every image.

    H is exact for small heads and in Kronecker factors beyond ``most_weights``; the Jacobian
    ``I x phi^T`` is never made, so a thousand classes need no more memory than their factors.
    Written here because laplace-torch runs the network again for the curvature, holds the
    Jacobian of every image and class (its issue 138), takes no precomputed features, and brings
    eight packages.

    Args:
        prior_precision: t > 0; None seeks the largest evidence.
        samples: of the logits, even and >= 100.
        most_weights: largest classes * (features + 1) for which H is exact, >= 0.

    Raises:
        InputError: an argument out of range.

    Source:
        MacKay, 1992, Neural Computation 4; Daxberger et al., 2021, arXiv 2106.14806; last layer:
        Kristiadi, Hein & Hennig, 2020, arXiv 2002.10118.
    """

    name: ClassVar[str] = "laplace"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic", "aleatoric")

    def __init__(
        self,
        *,
        prior_precision: float | None = None,
        samples: int = 128,
        most_weights: int = 1024,
    ) -> None:
        if prior_precision is not None and not (
            math.isfinite(prior_precision) and prior_precision > 0
        ):
            raise InputError("prior_precision", expected="> 0", got=str(prior_precision))
        if samples < LEAST_SAMPLES or samples % 2:
            raise InputError("samples", expected=f"even and >= {LEAST_SAMPLES}", got=str(samples))
        if most_weights < 0:
            raise InputError("most_weights", expected=">= 0", got=str(most_weights))
        self.prior_precision = prior_precision
        self.samples = samples
        self.most_weights = most_weights
        self._posterior: Posterior | None = None
        self._normals = torch.empty(0)
        self._precision = math.nan

    @property
    def fitted(self) -> bool:
        """Whether it was fitted or loaded."""
        return self._posterior is not None

    @property
    def precision(self) -> float:
        """The prior precision that is used; NaN before the fit."""
        return self._precision

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "prior_precision": self.prior_precision,
            "samples": self.samples,
            "most_weights": self.most_weights,
        }

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Fit on the training images; labels are not needed.

        The curvature depends on the predicted probabilities alone, and the evidence on the labels
        only by a constant.

        Args:
            table: features and logits of the training images.
            head: the classifier's linear head: its weights are the mean of the posterior.
            seed: of the samples.

        Raises:
            InputError: no linear head, another head than that of the features, no image.
        """
        rows = check_training_rows(table, method=self.name, least=1)
        if head is None:
            raise InputError(
                f"Method {self.name!r}",
                expected="given a classifier with a linear head",
                got="none",
                hint="Use 'mc_dropout', an ensemble or 'knn', which need no head.",
            )
        shape = (table.logits.shape[1], rows.shape[1])
        if tuple(head.weight.shape) != shape:
            raise InputError(
                "The head",
                expected=f"of shape {shape}, that of logits and features",
                got=str(tuple(head.weight.shape)),
            )
        free = slice(1, None) if _has_one_logit(head) else slice(None)
        chances = table.logits.double().softmax(dim=1)[:, free]
        curvature = sum_curvature(rows, chances, most_weights=self.most_weights)
        square = float(
            head.weight[free].double().square().sum() + head.bias[free].double().square().sum()
        )
        self._precision = (
            best_precision(curvature.eigenvalues(), square)
            if self.prior_precision is None
            else self.prior_precision
        )
        self._posterior = curvature.posterior(self._precision)
        self._normals = fixed_normals(self.samples, self._posterior.classes, seed=seed)
        return self

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return mutual information (epistemic) and mean entropy (aleatoric), in nats."""
        found = self.split(passed)
        return {
            "epistemic": same_device(found.epistemic, passed),
            "aleatoric": same_device(found.aleatoric, passed),
        }

    def split(self, passed: Passed) -> InformationSplit:
        """Return mean probabilities and all three uncertainties from samples of the logits."""
        parts = []
        for logits, spread in self._spread(passed):
            noise = spread.noise(self._normals)
            if noise.shape[2] < logits.shape[1]:
                noise = torch.cat([torch.zeros_like(noise), noise], dim=2)
            running = RunningSplit()
            running.add((logits + noise).softmax(dim=-1))
            parts.append(running.split())
        return InformationSplit(
            *(
                torch.cat([getattr(part, name) for part in parts])
                for name in ("probabilities", "total", "aleatoric", "epistemic")
            )
        )

    def probabilities(
        self, passed: Passed, *, method: Literal["probit", "samples"] = "probit"
    ) -> Logits:
        """Return ``float64[batch, classes]``, the class probabilities averaged over the weights.

        ``probit`` is MacKay's closed form, ``softmax(mu / sqrt(1 + pi C_ii / 8))`` (for one logit
        z: of its variance); ``samples`` the mean over the samples.

        Source:
            MacKay, 1992; for several classes: Gibbs, 1997, PhD thesis, Cambridge.
        """
        if method == "samples":
            return self.split(passed).probabilities
        if method != "probit":
            raise InputError("method", expected="probit or samples", got=repr(method))
        parts = []
        for logits, spread in self._spread(passed):
            scale = (1 + math.pi / 8 * spread.variances()).sqrt()
            parts.append((logits / scale).softmax(dim=1))
        return torch.cat(parts)

    def tensors(self) -> dict[str, Tensor]:
        """Return the posterior and the samples."""
        state = {name: value.clone() for name, value in self._state().tensors().items()}
        precision = torch.tensor(self._precision, dtype=torch.float64)
        return {**state, "normals": self._normals.clone(), "precision": precision}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self._normals = tensors["normals"].clone()
        self._precision = float(tensors["precision"])
        self._posterior = posterior_from_tensors(tensors)

    def _state(self) -> Posterior:
        self.require_fitted()
        if self._posterior is None:
            raise ModelStateError(f"Risk method {self.name!r}", expected="fitted", got="unfitted")
        return self._posterior

    def _spread(self, passed: Passed) -> Iterator[tuple[Float64[Tensor, "some classes"], Spread]]:
        """Yield logits and their covariance, some images at a time."""
        state = self._state()
        features = scored_features(passed, method=self.name, size=state.inputs - 1)
        logits = scored_logits(passed, method=self.name)
        classes = logits.shape[1]
        pinned = classes - state.classes
        if pinned not in (0, 1) or (pinned and classes != 2):
            raise InputError(
                f"The logits for {self.name!r}",
                expected=f"of {state.classes} classes, as it was fitted on",
                got=str(classes),
            )
        rows = max(1, CHUNK // (classes * max(self.samples, classes)))
        for start in range(0, max(len(logits), 1), rows):
            part = slice(start, start + rows)
            yield logits[part], state.spread(with_constant(features[part]))


def _has_one_logit(head: Head) -> bool:
    """Return whether the network has one logit z for two classes: (0, z) has weights (0, w)."""
    first = head.weight[0].abs().sum() + head.bias[0].abs()
    return len(head.weight) == 2 and float(first) == 0
