"""Adaptive resampling that also notes how many of its draws go to conflicting images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sundog.debias.adaptive_resampling import AdaptiveResampling
from sundog.debias.sampling_weights import sampling_weights
from sundog.models.training_recipe import TrainingRecipe
from sundog.risk.histogram_vae import HistogramVAE
from sundog.risk.vae_recipe import HistogramVAETraining

RULES: dict[str, dict[str, Any]] = {
    "product": {"rule": "product"},
    "max": {"rule": "max"},
    "inverse + 1e-7": {"rule": "inverse", "alpha": 1e-7},
    "tempered": {"rule": "tempered"},
}
"""What the densities of the last epoch would give by each rule."""
KEPT = "conflicting_mass"


class WatchedResampling(AdaptiveResampling):
    """The truth is used for the notes alone, never for the weights."""

    def __init__(self, inner: HistogramVAETraining, conflicting: np.ndarray, *, rule: str) -> None:
        super().__init__(inner, inner.log_density, rule=rule)  # type: ignore[arg-type]
        self.conflicting = conflicting
        self.densities = inner.log_density
        self.mass: list[float] = []

    def begin_epoch(self, epoch: int) -> None:
        """Keep the share of the epoch's draws that goes to conflicting images."""
        super().begin_epoch(epoch)
        if self.weights is not None:
            self.mass.append(float(self.weights.probabilities[self.conflicting].sum()))

    def state(self) -> dict[str, Tensor]:
        """Add the shares."""
        return {**super().state(), KEPT: torch.tensor(self.mass, dtype=torch.float64)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the shares out."""
        self.mass = tensors[KEPT].tolist()
        super().load_state({name: value for name, value in tensors.items() if name != KEPT})

    def notes(self) -> dict[str, Any]:
        """Add the share of draws of conflicting images, by this rule and by the others."""
        said = super().notes()
        if self.weights is None:
            return said
        density, rules = self.densities(), {}
        for name, options in RULES.items():
            made = sampling_weights(density, labels=self._labels, **options)
            rules[name] = {
                "conflicting_mass": float(made.probabilities[self.conflicting].sum()),
                "effective_share": made.effective_size / len(made),
                "warnings": list(made.warnings),
            }
        return {
            **said,
            "base_rate": float(self.conflicting.mean()),
            KEPT: self.mass,
            "rules": rules,
        }


def histogram_resampling(conflicting: np.ndarray, *, rule: str) -> TrainingRecipe:
    """Return the practical's method: a histogram VAE of the features gives the densities."""
    inner = HistogramVAETraining(HistogramVAE(num_bins=10, latent_dim=32))
    return WatchedResampling(inner, conflicting, rule=rule)
