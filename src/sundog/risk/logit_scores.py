"""Scores of the logits alone: nothing to learn, and the baseline that every method must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Logits, Scores
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import same_device, scored_logits
from sundog.risk.estimator import Passed, PostHoc
from sundog.risk.output import Field, Score

ZERO_SUM = 1e-3
"""Logits whose log-sum-exp is this near 0 for every image are log-probabilities."""


def log_odds_parts(logits: Logits) -> tuple[Logits, Logits]:
    """Return ``log p_k`` and ``log(1 - p_k)`` of every class, exact also where ``p_k`` is near 1.

    Args:
        logits: ``[batch, classes >= 2]``; taken to float64.
    """
    log_p = torch.log_softmax(logits.double(), dim=1)
    log_rest = torch.log1p(-log_p.exp().clamp_max(0.5))
    top = log_p.argmax(dim=1, keepdim=True)
    others = log_p.scatter(1, top, -torch.inf).logsumexp(dim=1, keepdim=True)
    return log_p, log_rest.scatter(1, top, others)


def uncertainty(logits: Logits) -> Scores:
    """Return ``1 - max_k p_k``, the score MSP; in [0, 1 - 1/classes], high = risky."""
    _, log_rest = log_odds_parts(logits)
    return log_rest.amin(dim=1).exp()


def entropy(logits: Logits) -> Scores:
    """Return ``-sum_k p_k log p_k`` in nats; in [0, log classes], high = risky."""
    log_p = torch.log_softmax(logits.double(), dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


def energy(logits: Logits, *, temperature: float = 1.0) -> Scores:
    """Return ``-T log sum_k exp(l_k / T)``; high = risky."""
    return -temperature * torch.logsumexp(logits.double() / temperature, dim=1)


def generalised_entropy(logits: Logits, *, gamma: float = 0.1, top: int = 100) -> Scores:
    """Return ``sum_k (p_k (1 - p_k))^gamma`` over the ``top`` most probable classes; high = risky.

    Args:
        logits: ``[batch, classes >= 2]``.
        gamma: in (0, 1).
        top: classes that count, all if there are fewer.
    """
    log_p, log_rest = log_odds_parts(logits)
    kept = log_p.topk(min(top, log_p.shape[1]), dim=1)
    return (gamma * (kept.values + log_rest.gather(1, kept.indices))).exp().sum(dim=1)


def centre_single_logit(logits: Logits) -> Logits:
    """Return logits (0, z) as (-z/2, z/2), others as they are; row by row.

    A network with one output z for two classes has logits (0, z): their sum of exponentials is
    large for one class alone, so that every sure image of the other would look unknown.
    """
    if logits.shape[1] != 2:
        return logits
    single = (logits == 0).any(dim=1, keepdim=True)
    return torch.where(single, logits - logits.mean(dim=1, keepdim=True), logits)


class _LogitScore(PostHoc):
    """A score of the logits; :meth:`fit` only checks them."""

    needs_features: ClassVar[bool] = False

    @property
    def fitted(self) -> bool:
        """Always: nothing is learned."""
        return True

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Check the logits."""
        scored_logits(Passed(features=table.features, logits=table.logits), method=self.name)
        return self

    def settings(self) -> dict[str, Any]:
        """Return nothing: there is nothing to set."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: nothing is learned."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take nothing."""

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return the score of each image under the one field that the method gives.

        Raises:
            InputError: one class, or logits that are not finite.
        """
        scores = self._of(scored_logits(passed, method=self.name))
        return {self.gives[0]: same_device(scores, passed)}

    def _of(self, logits: Logits) -> Scores:
        raise TypeError(type(self).__name__)


class MaximumProbability(_LogitScore):
    """``1 - max_k p_k`` (MSP), as epistemic risk.

    High for what is new and for what is ambiguous alike: it cannot tell the two apart. It stands
    here as the baseline by which scores for new images are judged.

    Source:
        Hendrycks & Gimpel, 2016, arXiv 1610.02136.
    """

    name: ClassVar[str] = "msp"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic",)

    def _of(self, logits: Logits) -> Scores:
        return uncertainty(logits)


class Entropy(_LogitScore):
    """Entropy of the class probabilities in nats, as aleatoric risk.

    Strictly the total uncertainty of one prediction. For images like the training images it is
    the noise of the label; for images unlike them it means nothing, so read it beside a density.

    Source:
        Mukhoti, Kirsch, van Amersfoort, Torr & Gal, 2021, arXiv 2102.11582.
    """

    name: ClassVar[str] = "entropy"
    gives: ClassVar[tuple[Field, ...]] = ("aleatoric",)

    def _of(self, logits: Logits) -> Scores:
        return entropy(logits)


class GeneralisedEntropy(_LogitScore):
    """GEN, ``sum_k (p_k (1 - p_k))^gamma`` over the most probable classes, as epistemic risk.

    Args:
        gamma: in (0, 1); the smaller, the more the small probabilities count.
        top: classes that count.

    Source:
        Liu, Lochman & Zach, 2023, CVPR, "GEN: Pushing the Limits of Softmax-Based
        Out-of-Distribution Detection".
    """

    name: ClassVar[str] = "gen"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic",)

    def __init__(self, *, gamma: float = 0.1, top: int = 100) -> None:
        if not 0 < gamma < 1:
            raise InputError("gamma", expected="in (0, 1)", got=str(gamma))
        if top < 2:
            raise InputError("top", expected=">= 2", got=str(top))
        self.gamma, self.top = gamma, top

    def settings(self) -> dict[str, Any]:
        """Return gamma and top."""
        return {"gamma": self.gamma, "top": self.top}

    def _of(self, logits: Logits) -> Scores:
        return generalised_entropy(logits, gamma=self.gamma, top=self.top)


class Energy(_LogitScore):
    """``-T log sum_k exp(l_k / T)`` as epistemic risk.

    Unlike the others it reads the level of the logits, not only their differences, so it needs
    logits as the network made them. A single logit is first spread to (-z/2, z/2).

    Args:
        temperature: T > 0.

    Source:
        Liu, Wang, Owens & Li, 2020, arXiv 2010.03759.
    """

    name: ClassVar[str] = "energy"
    gives: ClassVar[tuple[Field, ...]] = ("epistemic",)

    def __init__(self, *, temperature: float = 1.0) -> None:
        if not 0 < temperature < float("inf"):
            raise InputError("temperature", expected="> 0", got=str(temperature))
        self.temperature = temperature

    def settings(self) -> dict[str, Any]:
        """Return the temperature."""
        return {"temperature": self.temperature}

    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Check the logits.

        Raises:
            InputError: they are log-probabilities, whose energy is 0 for every image.
        """
        super().fit(table, head=head, seed=seed)
        require_level(table.logits, method=self.name)
        return self

    def _of(self, logits: Logits) -> Scores:
        return energy(centre_single_logit(logits), temperature=self.temperature)


def require_level(logits: Logits, *, method: str) -> None:
    """Refuse log-probabilities: their log-sum-exp is 0, whatever the image.

    Raises:
        InputError: says so.
    """
    if len(logits) and float(energy(logits).abs().max()) < ZERO_SUM:
        raise InputError(
            f"The logits for {method!r}",
            expected="as the network made them",
            got="log-probabilities, whose level says nothing",
            hint="Build the network without its softmax, or use 'msp', 'gen' or 'knn'.",
        )
