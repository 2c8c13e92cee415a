"""A new linear head, what it was chosen from, and how it is put into a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.models.classifier import Classifier
from sundog.models.feature_table import FeatureTable
from sundog.models.head import with_head


@dataclass(frozen=True, eq=False)
class HeadFit:
    """``logits = features @ weight.T + bias``, on the raw features of the classifier.

    Attributes:
        method: name of the refit.
        weight: ``float64[classes, features]``.
        bias: ``float64[classes]``.
        settings: every parameter and count that decided the fit, as JSON.
        selection: one row per candidate that was compared, with ``worst`` and ``average`` accuracy
            (higher is better), ``n`` and ``chosen``; empty if nothing was chosen.
        warnings: sentences to show; empty if there is nothing to say.
        seconds: wall time of the fit.
    """

    method: str
    weight: Float64[np.ndarray, "classes features"]
    bias: Float64[np.ndarray, "classes"]
    settings: dict[str, Any]
    selection: pd.DataFrame
    warnings: tuple[str, ...]
    seconds: float

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            InputError: shapes that do not fit, or values that are not finite.
        """
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise InputError(
                f"The head of {self.method}",
                expected="weight [classes, features] and bias [classes]",
                got=f"{self.weight.shape} and {self.bias.shape}",
            )
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise InputError(f"The head of {self.method}", expected="finite", got="NaN or infinity")

    def logits(self, features: FeatureTable | ArrayLike) -> Float64[np.ndarray, "images classes"]:
        """Return the new logits of features (or of a table's)."""
        given = features.features.numpy() if isinstance(features, FeatureTable) else features
        made: Float64[np.ndarray, "images classes"] = (
            np.asarray(given, dtype=np.float64) @ self.weight.T + self.bias
        )
        return made

    def apply(self, classifier: Classifier) -> Classifier:
        """Return a copy of the classifier with this head; the original stays as it was.

        Raises:
            InputError: a classifier with other features or classes.
            LayerError: no linear head.
        """
        return with_head(
            classifier,
            weight=torch.from_numpy(self.weight).float(),
            bias=torch.from_numpy(self.bias).float(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what is worth keeping in a record, as JSON; the weights are the model's."""
        return {
            "method": self.method,
            "settings": self.settings,
            "selection": [
                {name: None if value != value else value for name, value in row.items()}
                for row in self.selection.to_dict(orient="records")
            ],
            "warnings": list(self.warnings),
            "seconds": self.seconds,
        }
