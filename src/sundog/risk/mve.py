"""Mean-variance estimation: how noisy a label is, from learned noise on the logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError, ModelStateError
from sundog.core.shapes import Labels, Logits
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.checked_rows import same_device, scored_features, scored_logits
from sundog.risk.estimator import Passed, Trained
from sundog.risk.feature_scale import FeatureScale
from sundog.risk.information import entropy, in_double
from sundog.risk.logit_sampling import fixed_normals, mean_noisy_log_probabilities
from sundog.risk.output import Field, Score

BOUND = 10.0
"""Log-variances stay in (-10, 10): standard deviations of the logits from 0.007 to 148."""
LEAST_TRAIN = 10
LEAST_EVAL = 100


class VarianceHead(nn.Module):
    """A linear layer from features to one log-variance per logit, softly bounded.

    ``s = B tanh((W (f - m) / c + b) / B)``. It starts at ``s = start`` for every image. Two classes
    have one log-variance, that of the difference of their logits, on which alone their
    probabilities depend: so a network with a single logit and one with two get the same noise.

    Args:
        features: length of the feature vector.
        classes: number of logits.
        start: log-variance before training.
    """

    def __init__(self, features: int, classes: int, *, start: float = 0.0) -> None:
        super().__init__()
        self.classes = classes
        self.scale = FeatureScale(features)
        columns = 1 if classes == 2 else classes
        self.weight = nn.Parameter(torch.zeros(columns, features))
        self.bias = nn.Parameter(torch.full((columns,), BOUND * math.atanh(start / BOUND)))

    def forward(self, features: Tensor) -> Tensor:
        """Return standard deviations ``float[batch, classes]``; 0 for the first of two classes."""
        raw = nn.functional.linear(self.scale(features), self.weight, self.bias)
        deviation = (0.5 * BOUND * torch.tanh(raw / BOUND)).exp()
        if self.classes == 2:
            deviation = torch.cat([torch.zeros_like(deviation), deviation], dim=1)
        return deviation


class MVE(Trained):
    """Noise of the label by mean-variance estimation on the logits (heteroscedastic classifier).

    The label is drawn from ``p(y | x) = E softmax(mu(x) + sigma(x) e)``, ``e`` standard normal;
    mu is the classifier's own logit, kept as it is; log sigma^2 is a new linear head on the
    features. Trained by ``-log mean_s softmax(mu + sigma e_s)[y]``. With the backbone frozen only
    the new head learns, and the prediction stays bit-identical.

    ``aleatoric`` is the entropy of ``p(y | x)`` in nats, in [0, log classes]; higher is noisier.
    That is the entropy of the whole predicted distribution, not sigma alone: the same label noise
    can be written as flat logits without variance or as steep ones with variance, and the loss
    sees only their common effect. It is evaluated with the same antithetic Sobol points for every
    image, so that it does not depend on the batch.

    A classifier that has learned its noisy training labels by heart shows no noise on those
    images; fit on images that it was not trained on, stop early, or train both together.

    Args:
        train_samples: draws per image and step, >= 10; with few the loss is biased against the
            large variances that a sure but noisy class needs.
        eval_samples: points at evaluation, even and >= 100.
        start: log-variance of every logit before training, in (-10, 10).

    Raises:
        InputError: an argument out of range.

    Source:
        Kendall & Gal, 2017, arXiv 1703.04977, section 3.3; more than 100 samples at evaluation:
        Valdenegro-Toro & Mori, 2022, arXiv 2204.09308.
    """

    name: ClassVar[str] = "mve"
    gives: ClassVar[tuple[Field, ...]] = ("aleatoric",)
    needs_labels: ClassVar[bool] = True

    def __init__(
        self, *, train_samples: int = 64, eval_samples: int = 128, start: float = 0.0
    ) -> None:
        if train_samples < LEAST_TRAIN:
            raise InputError("train_samples", expected=f">= {LEAST_TRAIN}", got=str(train_samples))
        if eval_samples < LEAST_EVAL or eval_samples % 2:
            raise InputError(
                "eval_samples", expected=f"even and >= {LEAST_EVAL}", got=str(eval_samples)
            )
        if not -BOUND < start < BOUND:
            raise InputError("start", expected=f"in (-{BOUND:g}, {BOUND:g})", got=str(start))
        self.train_samples = train_samples
        self.eval_samples = eval_samples
        self.start = start
        self._head: VarianceHead | None = None
        self._normals: Tensor | None = None
        self._seed = 0

    @property
    def fitted(self) -> bool:
        """Whether it was trained or loaded."""
        return self._head is not None and self._normals is not None

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "train_samples": self.train_samples,
            "eval_samples": self.eval_samples,
            "start": self.start,
        }

    def build(
        self,
        *,
        features: int,
        classes: int,
        image_size: tuple[int, int],
        head: Head | None = None,
        seed: int = 0,
    ) -> nn.Module:
        """Make the variance head; it starts the same for every seed, which draws the points.

        Raises:
            InputError: fewer than two classes.
        """
        if classes < 2:
            raise InputError("classes", expected=">= 2", got=str(classes))
        self._head = VarianceHead(features, classes, start=self.start)
        self._normals = None
        self._seed = seed
        return self._head

    def loss(self, passed: Passed, labels: Labels, draw: torch.Generator) -> Tensor:
        """Return ``-log mean_s softmax(mu + sigma e_s)[y]``, averaged over the labelled images."""
        head = self._require_head()
        known = labels >= 0
        features, logits = passed.features[known], passed.logits[known].float()
        if torch.is_grad_enabled():
            head.scale.observe(features)
        if not len(features):
            return passed.logits.sum() * 0
        half = torch.randn((-(-self.train_samples // 2), *logits.shape), generator=draw)
        normals = torch.cat([half, -half])[: self.train_samples]
        found = mean_noisy_log_probabilities(logits, head(features), normals)
        return nn.functional.nll_loss(found, labels[known])

    def end_fit(self, table: FeatureTable | None) -> None:
        """Draw the points of evaluation."""
        head = self._require_head()
        head.eval()
        self._normals = fixed_normals(self.eval_samples, head.classes, seed=self._seed)

    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return the entropy of ``E softmax(mu + sigma e)`` in nats."""
        return {"aleatoric": same_device(entropy(self.probabilities(passed)), passed)}

    @torch.no_grad()
    def probabilities(self, passed: Passed) -> Logits:
        """Return ``float64[batch, classes]``, the predicted distribution of the noisy label."""
        self.require_fitted()
        head, normals = self._require_head(), self._points()
        features = scored_features(passed, method=self.name, size=head.weight.shape[1])
        scored_logits(passed, method=self.name)
        deviation = head(features.to(head.weight.device))
        logits = in_double(passed.logits)
        scale = in_double(deviation).to(logits.device)
        return mean_noisy_log_probabilities(logits, scale, normals).exp()

    def tensors(self) -> dict[str, Tensor]:
        """Return the head and the points of evaluation."""
        self.require_fitted()
        state = {
            f"head.{name}": value.detach().to("cpu", copy=True).contiguous()
            for name, value in self._require_head().state_dict().items()
        }
        return {**state, "normals": self._points()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        normals = tensors["normals"]
        features, classes = tensors["head.weight"].shape[1], normals.shape[1]
        head = self._head  # built already: the module that others hold is the one that is filled
        if head is None or (head.weight.shape[1], head.classes) != (features, classes):
            head = VarianceHead(features, classes, start=self.start)
        head.load_state_dict(
            {k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")}
        )
        self._head, self._normals = head.eval(), normals.clone()

    def _require_head(self) -> VarianceHead:
        if self._head is None:
            raise ModelStateError(
                f"Risk method {self.name!r}",
                expected="built or loaded",
                got="no trained parts",
                hint="Call model.fit(training_images) first.",
            )
        return self._head

    def _points(self) -> Tensor:
        self.require_fitted()
        if self._normals is None:
            raise ModelStateError(f"Risk method {self.name!r}", expected="fitted", got="no points")
        return self._normals
