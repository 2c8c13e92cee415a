"""Just Train Twice: images that a first model gets wrong weigh more in the second training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import ArrayLike
from torch import Tensor

from sundog.core.errors import InputError
from sundog.debias.array_hash import array_hash
from sundog.debias.error_sets import GateDecision
from sundog.debias.weight_report import SamplingWeights, report_weights
from sundog.debias.weighted_order import weighted_order
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import TrainingRecipe


def error_set(
    predictions: Int64[np.ndarray, "images"], labels: Int64[np.ndarray, "images"]
) -> Bool[np.ndarray, "images"]:
    """Return which labelled images a model gets wrong; images with label -1 are not in the set.

    Args:
        predictions: class predicted for each training image by the first model.
        labels: class per image.

    Raises:
        InputError: lists of different length.
    """
    guessed, own = np.asarray(predictions), np.asarray(labels)
    if guessed.ndim != 1 or guessed.shape != own.shape:
        raise InputError(
            "predictions and labels", expected="of one length", got=f"{guessed.shape}, {own.shape}"
        )
    return np.asarray((guessed != own) & (own >= 0))


class Upweighting(TrainingRecipe):
    """Draws the images of a set ``factor`` times as often as the others, with replacement.

    ``p_i ∝ factor`` in the set and 1 outside, which equals repeating the set, while an epoch keeps
    its number of steps: the same budget as plain training.

    Args:
        images: ``bool[n]`` per training image, True in the set.
        factor: > 0; below 1 the set is drawn less often.
        name: in the run's records.

    Raises:
        InputError: an empty set, a factor that is not positive.
    """

    name = "upweighting"

    def __init__(self, images: ArrayLike, *, factor: float, name: str = "upweighting") -> None:
        chosen = np.asarray(images)
        if chosen.ndim != 1 or chosen.dtype != np.bool_:
            raise InputError(
                "images", expected="one True or False per training image", got=f"{chosen.dtype}"
            )
        if not chosen.any():
            raise InputError(
                "images", expected="a set of at least one image", got=f"none of {chosen.size}"
            )
        if not (math.isfinite(factor) and factor > 0):
            raise InputError("factor", expected="> 0", got=str(factor))
        self.images, self.factor, self.name = chosen, float(factor), name

    def describe(self) -> dict[str, Any]:
        """Return name, hash of the set and factor."""
        return {"name": self.name, "images": array_hash(self.images), "factor": self.factor}

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Check that the set is about these training images.

        Raises:
            InputError: another number of images.
        """
        if self.images.size != len(images):
            raise InputError(
                "images",
                expected=f"one value per training image ({len(images)})",
                got=f"{self.images.size}",
            )

    @property
    def weights(self) -> SamplingWeights:
        """The probabilities and what they are worth."""
        p = np.where(self.images, self.factor, 1.0)
        return report_weights(p / p.sum(), settings={"factor": self.factor})

    def order(self, epoch: int, count: int, seed: int) -> Int64[Tensor, "visited"]:
        """Return ``count`` positions, drawn with replacement."""
        p = np.where(self.images, self.factor, 1.0)
        return weighted_order(p, count=count, seed=seed, epoch=epoch)

    def notes(self) -> dict[str, Any]:
        """Return size of the set, its share of the draws and the effective size."""
        weights = self.weights
        return {
            **weights.notes(),
            "set_size": int(self.images.sum()),
            "set_share": float(weights.probabilities[self.images].sum()),
        }


def just_train_twice(
    errors: Bool[np.ndarray, "images"], *, gate: GateDecision, factor: float = 20.0
) -> Upweighting:
    """Return the second training of JTT: the first model's errors are drawn more often.

    Args:
        errors: ``bool[n]`` per training image, see :func:`error_set`.
        gate: what :func:`sundog.debias.error_sets.gate_error_set` decided about the first model.
        factor: published grid 20, 50, 100.

    Raises:
        InputError: the gate refused, with its reason; no errors at all.

    Source: Liu, Haghgoo, Chen, Raghunathan, Koh, Sagawa, Liang & Finn, 2021, arXiv 2107.09044.
    """
    gate.require()
    return Upweighting(errors, factor=factor, name="jtt")
