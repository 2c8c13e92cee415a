"""Evidential classification: a Dirichlet distribution over class probabilities per image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.core.errors import InputError, ModelStateError
from sundog.core.seeds import generator
from sundog.core.shapes import Labels, Scores
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import same_device, scored_features
from sundog.risk.estimator import Passed, Trained
from sundog.risk.feature_scale import FeatureScale
from sundog.risk.information import in_double
from sundog.risk.output import Field, Score

EvidentialLoss = Literal["squared", "log", "digamma"]
Concentrations = Float[Tensor, "batch classes"]


def evidential_fit(alpha: Concentrations, labels: Labels, *, loss: EvidentialLoss) -> Scores:
    """Return how badly a Dirichlet distribution fits the label of each image.

    With ``S = sum_k alpha_k``, ``p = alpha / S`` and y one-hot: ``squared`` is the expected Brier
    score ``sum_k (y_k - p_k)^2 + p_k (1 - p_k) / (S + 1)``; ``log`` is minus the log of the
    expected probability, ``log S - log alpha_y``; ``digamma`` is the expected cross-entropy,
    ``psi(S) - psi(alpha_y)``.

    Args:
        alpha: > 0.
        labels: ``int64[batch]``.
        loss: one of the three.

    Source:
        Sensoy, Kaplan & Kandemir, 2018, arXiv 1806.01768, equations 3 to 5.
    """
    total = alpha.sum(dim=1)
    chosen = alpha.gather(1, labels[:, None])[:, 0]
    if loss == "log":
        return total.log() - chosen.log()
    if loss == "digamma":
        return torch.digamma(total) - torch.digamma(chosen)
    mean = alpha / total[:, None]
    target = nn.functional.one_hot(labels, alpha.shape[1]).to(alpha)
    variance = mean * (1 - mean) / (total[:, None] + 1)
    return ((target - mean).square() + variance).sum(dim=1)


def divergence_from_uniform(alpha: Concentrations) -> Scores:
    """Return ``KL(Dir(alpha) || Dir(1, ..., 1))`` in nats, >= 0.

    ``log G(S) - log G(K) - sum_k log G(alpha_k) + sum_k (alpha_k - 1) (psi(alpha_k) - psi(S))``.

    Args:
        alpha: > 0.
    """
    total = alpha.sum(dim=1)
    volume = torch.lgamma(total) - math.lgamma(alpha.shape[1]) - torch.lgamma(alpha).sum(dim=1)
    slope = (alpha - 1) * (torch.digamma(alpha) - torch.digamma(total)[:, None])
    return volume + slope.sum(dim=1)


def expected_entropy(alpha: Concentrations) -> Scores:
    """Return ``E H(p) = sum_k (alpha_k / S) (psi(S + 1) - psi(alpha_k + 1))``, p ~ Dir(alpha).

    Args:
        alpha: > 0.

    Returns:
        Nats, in [0, log classes].
    """
    total = alpha.sum(dim=1, keepdim=True)
    gaps = torch.digamma(total + 1) - torch.digamma(alpha + 1)
    return (alpha / total * gaps).sum(dim=1)


class EvidenceHead(nn.Module):
    """A linear layer from features to evidence, ``softplus(W (f - m) / c + b) >= 0``."""

    def __init__(self, features: int, classes: int, *, seed: int) -> None:
        super().__init__()
        self.scale = FeatureScale(features)
        draw = generator(seed, "evidence head")
        reach = 1 / math.sqrt(features)
        self.weight = nn.Parameter(
            (2 * torch.rand((classes, features), generator=draw) - 1) * reach
        )
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, features: Tensor) -> Concentrations:
        """Return ``alpha = evidence + 1``."""
        raw = nn.functional.linear(self.scale(features), self.weight, self.bias)
        return nn.functional.softplus(raw) + 1


class Evidential(Trained):
    """Evidence for each class by a second linear head on the features (evidential deep learning).

    ``alpha = evidence + 1``, ``S = sum alpha``. Trained by the fit of the label plus
    ``min(1, epoch / annealing) * KL(Dir(alpha~) || Dir(1))``, alpha~ being alpha without the
    evidence for the label. The prediction stays the classifier's own.

    ``epistemic`` is the vacuity ``K / S`` in (0, 1]; ``aleatoric`` is the expected entropy of the
    Dirichlet distribution in nats. **Use with care**: the vacuity does not vanish when training
    images are added, as an epistemic uncertainty must; it acts as a score of strangeness. An
    option to compare with, no default.

    Args:
        loss: ``squared`` (the authors' choice), ``log`` or ``digamma``.
        annealing: epochs over which the penalty grows to its full weight, > 0.

    Raises:
        InputError: an argument out of range.

    Source:
        Sensoy, Kaplan & Kandemir, 2018, arXiv 1806.01768; does not vanish with data: Shen et al.,
        2024, "Are uncertainty quantification capabilities of evidential deep learning a mirage?",
        NeurIPS, arXiv 2402.06160.
    """

    name: ClassVar[str] = "evidential"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic", "aleatoric")
    needs_labels: ClassVar[bool] = True

    def __init__(self, *, loss: EvidentialLoss = "squared", annealing: float = 10.0) -> None:
        if loss not in get_args(EvidentialLoss):
            raise InputError("loss", expected=f"one of {get_args(EvidentialLoss)}", got=repr(loss))
        if not (math.isfinite(annealing) and annealing > 0):
            raise InputError("annealing", expected="> 0 epochs", got=str(annealing))
        self.fit_loss: EvidentialLoss = loss
        self.annealing = annealing
        self._head: EvidenceHead | None = None
        self._finished = False
        self._penalty = 0.0

    @property
    def fitted(self) -> bool:
        """Whether it was trained or loaded."""
        return self._head is not None and self._finished

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"loss": self.fit_loss, "annealing": self.annealing}

    def build(
        self,
        *,
        features: int,
        classes: int,
        image_size: tuple[int, int],
        head: Head | None = None,
        seed: int = 0,
    ) -> nn.Module:
        """Make the evidence head, with small random weights from the seed.

        Raises:
            InputError: fewer than two classes.
        """
        if classes < 2:
            raise InputError("classes", expected=">= 2", got=str(classes))
        self._head = EvidenceHead(features, classes, seed=seed)
        self._finished, self._penalty = False, 0.0
        return self._head

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the weight of the penalty; over fewer epochs than ``annealing`` it ends below 1."""
        self._penalty = min(1.0, epoch / self.annealing)

    def loss(self, passed: Passed, labels: Labels, draw: torch.Generator) -> Tensor:
        """Return fit plus penalty, averaged over the labelled images."""
        head = self._require_head()
        known = labels >= 0
        features, chosen = passed.features[known], labels[known]
        if torch.is_grad_enabled():
            head.scale.observe(features)
        if not len(features):
            return passed.features.sum() * 0
        alpha = head(features)
        target = nn.functional.one_hot(chosen, alpha.shape[1]).to(alpha)
        without = target + (1 - target) * alpha
        penalty = self._penalty * divergence_from_uniform(without)
        return (evidential_fit(alpha, chosen, loss=self.fit_loss) + penalty).mean()

    def end_fit(self, table: FeatureTable | None) -> None:
        """Freeze the head."""
        self._require_head().eval()
        self._finished = True

    @torch.no_grad()
    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return vacuity (epistemic) and expected entropy (aleatoric)."""
        self.require_fitted()
        head = self._require_head()
        classes, features = head.weight.shape
        rows = scored_features(passed, method=self.name, size=features)
        alpha = in_double(head(rows.to(head.weight.device)))
        return {
            "epistemic": same_device(classes / alpha.sum(dim=1), passed),
            "aleatoric": same_device(expected_entropy(alpha), passed),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the head."""
        self.require_fitted()
        return {
            name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in self._require_head().state_dict().items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        head = self._head  # built already: the module that others hold is the one that is filled
        if head is None or head.weight.shape != tensors["weight"].shape:
            classes, features = tensors["weight"].shape
            head = EvidenceHead(features, classes, seed=0)
        head.load_state_dict(dict(tensors))
        self._head, self._finished = head.eval(), True

    def _require_head(self) -> EvidenceHead:
        if self._head is None:
            raise ModelStateError(
                f"Risk method {self.name!r}",
                expected="built or loaded",
                got="no trained parts",
                hint="Call model.fit(training_images) first.",
            )
        return self._head
