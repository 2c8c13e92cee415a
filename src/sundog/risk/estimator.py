"""What every risk method is: fitted once, then one value per image from one backbone pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.core.errors import InputError, ModelStateError
from sundog.core.shapes import Images, Labels, Logits
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head
from sundog.risk.output import Field, Score


@dataclass(frozen=True, eq=False)
class Passed:
    """What one backbone pass gives.

    Attributes:
        features: ``float[batch, features]``, the input of the head.
        logits: ``float[batch, classes]``.
        images: ``float[batch, 3, height, width]`` in [0, 1]; None when arrays are scored.
        classifier: None when arrays are scored.
    """

    features: Float[Tensor, "batch features"]
    logits: Logits
    images: Images | None = None
    classifier: Classifier | None = None

    def __len__(self) -> int:
        return len(self.logits)

    def require_images(self, method: str) -> Images:
        """Return the images.

        Raises:
            InputError: only features and logits are there.
        """
        if self.images is None:
            raise InputError(
                f"Method {method!r}",
                expected="images to score",
                got="features and logits alone",
                hint="Use model(images, return_risk=True) or model.predict(image_set).",
            )
        return self.images


class Estimator(ABC):
    """One risk method.

    Class attributes:
        name: as in the table of methods.
        gives: the risks it returns.
        needs_images: it cannot score features and logits alone.
        needs_features: it cannot score logits alone (a network frozen in a file has no others).
        needs_labels: it cannot be fitted on unlabelled images.
    """

    name: ClassVar[str]
    gives: ClassVar[tuple[Field, ...]]
    needs_images: ClassVar[bool] = False
    needs_features: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False

    @property
    @abstractmethod
    def fitted(self) -> bool:
        """Whether it can score."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values: ``cls(**settings)`` rebuilds it."""

    @abstractmethod
    def score(self, passed: Passed) -> dict[Field, Score]:
        """Return one value per image and risk; it does not depend on the rest of the batch.

        Raises:
            ModelStateError: not fitted.
            InputError: features of another number than it was fitted on, or not finite.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return everything that was fitted, for a safetensors file."""

    @abstractmethod
    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""

    def require_fitted(self) -> None:
        """Refuse to score before the fit.

        Raises:
            ModelStateError: not fitted.
        """
        if not self.fitted:
            raise ModelStateError(
                f"Risk method {self.name!r}",
                expected="fitted",
                got="not fitted",
                hint="Call model.fit(training_images) first.",
            )


class PostHoc(Estimator):
    """A method fitted on the features and logits of the training images; no gradient step."""

    @abstractmethod
    def fit(self, table: FeatureTable, *, head: Head | None = None, seed: int = 0) -> Self:
        """Fit on the training images.

        Args:
            table: features, logits and labels of the training images.
            head: the classifier's linear head, for methods that need it.
            seed: of every random choice.
        """

    def score_own(self, table: FeatureTable) -> dict[Field, Score]:
        """Score the images it was fitted on, each left out of its own estimate where that can be.

        Args:
            table: the one that was given to :meth:`fit`.
        """
        return self.score(Passed(features=table.features, logits=table.logits))


class Trained(Estimator):
    """A method with parts that are trained by gradient steps beside the classifier."""

    @abstractmethod
    def build(
        self,
        *,
        features: int,
        classes: int,
        image_size: tuple[int, int],
        head: Head | None = None,
        seed: int = 0,
    ) -> nn.Module:
        """Make, keep and return the trained parts, with weights drawn from the seed."""

    @abstractmethod
    def loss(self, passed: Passed, labels: Labels, draw: torch.Generator) -> Tensor:
        """Return the loss of a batch, a scalar; minimised over the parts from :meth:`build`.

        Args:
            passed: the batch; its features carry gradients if the classifier is trained too.
            labels: ``int64[batch]``, -1 = unlabelled.
            draw: CPU generator for every random number.
        """

    def check_labels(self, labels: Labels) -> None:
        """Refuse training images that do not fit the method; called before the first step.

        Args:
            labels: ``int64[images]`` of all training images, -1 = unlabelled.

        Raises:
            InputError: too few images, or none of a class that it needs.
        """

    def after_step(self, passed: Passed, labels: Labels) -> None:
        """Take note of a finished step."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Take note of how far the training is."""

    def end_fit(self, table: FeatureTable | None) -> None:
        """Finish: the classifier has its final weights; ``table`` holds the training images."""


class Sampling(Estimator):
    """A method that asks a network several times; nothing is fitted."""

    @property
    def fitted(self) -> bool:
        """Always."""
        return True

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: nothing was fitted."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take nothing."""
